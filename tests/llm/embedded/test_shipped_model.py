"""The shipped weights still do what the card says: the graphs' calls on a few of the held-out prompts."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from llm.embedded import FOLDER, Engine
from llm.embedded.training.calls import Calls
from llm.embedded.training.evaluate import HELDOUT, THRESHOLDS, below, measure

FEW = 8


@cache
def figures() -> dict[str, Any]:
    prompts = json.loads((HELDOUT / "dev.json").read_text("utf-8"))
    few = {
        section: items[:FEW] for section, items in prompts.items() if section in {"trips", "weather", "decline", "talk"}
    }
    few["routing"] = {label: texts[:FEW] for label, texts in prompts["routing"].items()}
    return measure(Calls(Engine.load(FOLDER)), few)


def test_the_graphs_calls_are_right() -> None:
    """No figure is further below its threshold than so few items may bring it."""
    assert below(figures(), leeway=12) == []


def test_the_evaluation_belongs_to_these_weights() -> None:
    """evaluation.json has every figure with a threshold, on both held-out sets, and none below it on the test set."""
    recorded = json.loads((FOLDER / "evaluation.json").read_text("utf-8"))
    assert set(THRESHOLDS) <= set(recorded["dev"])
    assert below(recorded["test"]) == []
