"""The dashboard for Grafana: it asks for what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from gateway.telemetry.families import FAMILIES

DASHBOARD: Any = json.loads(
    (Path(__file__).parents[3] / "docs" / "gateway" / "grafana-dashboard.json").read_text(encoding="utf-8")
)
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
SAMPLES = {name: family for family in FAMILIES for name in family.samples}


def test_every_name_and_label_in_it_is_told() -> None:
    """A metric that is renamed leaves no empty panel behind."""
    assert len(QUERIES) > 15
    asked = {name for query in QUERIES for name in re.findall(r"penstock_\w+", query)}
    assert asked - SAMPLES.keys() == set()
    for query in QUERIES:
        known = {label for name in re.findall(r"penstock_\w+", query) for label in SAMPLES[name].labels} | {"le"}
        named = {label for by in re.findall(r"by \(([^)]*)\)", query) for label in by.split(", ")}
        named |= set(re.findall(r"(\w+)=\"", query))
        assert named <= known, query


def test_nothing_that_is_told_is_missing_in_it() -> None:
    """Each metric has a place."""
    shown = {SAMPLES[name].name for query in QUERIES for name in re.findall(r"penstock_\w+", query) if name in SAMPLES}
    assert {family.name for family in FAMILIES} - shown == set()


def test_the_documentation_names_them_all() -> None:
    """And none that is not."""
    page = (Path(__file__).parents[3] / "docs" / "gateway" / "observability.md").read_text(encoding="utf-8")
    rows = {
        name for line in page.splitlines() if line.startswith("| `") for name in re.findall(r"`(penstock_\w+)`", line)
    }
    assert rows == {f"{family.name}_total" if family.kind == "counter" else family.name for family in FAMILIES}
