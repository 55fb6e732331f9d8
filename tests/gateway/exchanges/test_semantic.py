"""What a worker knows of questions in other words: how many, how long, and who makes its embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gateway.app import create_app
from gateway.catalog.catalog import Catalog
from gateway.config import Settings
from gateway.config.exchanges import SemanticEntry
from gateway.config.faults import InvalidSettings
from gateway.exchanges.rows import Place
from gateway.exchanges.semantic import MOST_KNOWN, Meant, Semantic
from graph import Hooks


def known(number: int, seconds: float = 60) -> Semantic:
    """So many questions, each with a direction of its own."""
    semantic = Semantic("up", SemanticEntry(model="penstock-demo"), Catalog.of(Settings()), Hooks.of([]))
    for each in range(number):
        semantic.add(meant(each), Place("cache:up", str(each)), seconds)
    return semantic


def meant(number: int) -> Meant:
    angle = number / 1000
    return Meant("agreed", np.asarray([np.cos(angle), np.sin(angle)], dtype=np.float32))


def test_the_oldest_go() -> None:
    """Of one more than it knows the first is gone, and the others are found, the most alike first."""
    semantic = known(MOST_KNOWN + 1)
    found = semantic.near(meant(0))
    assert [place.id for place in found[:3]] == ["1", "2", "3"]
    assert semantic.near(meant(MOST_KNOWN))[0].id == str(MOST_KNOWN)


def test_what_is_over_is_not_found() -> None:
    """As its answer is not there any more."""
    assert not known(3, seconds=0).near(meant(0))


def faulty(cache: Any, **tree: Any) -> Settings:
    cloud = {"name": "cloud", "kind": "anthropic", "api_key": "sk-secret"}
    models = [
        {"name": "up", "provider": "mini", "cache": {"ttl_seconds": 60, "semantic": cache}},
        {"name": "claude", "provider": "cloud"},
    ]
    providers = [{"name": "mini", "kind": "embedded"}, cloud]
    return Settings.model_validate({"providers": providers, "models": models, "graphs": [], **tree})


@pytest.mark.parametrize(
    ("cache", "message"),
    [
        ({"model": "nothing"}, "models.0.cache.semantic.model\n  there is no model 'nothing'; there are: up, claude"),
        ({"model": "up", "similarity": 1.5}, "less than or equal to 1"),
        ({"similarity": 0.9}, "Field required"),
    ],
)
def test_faults_are_named(cache: Any, message: str) -> None:
    """With their place, and what there is instead."""
    with pytest.raises(ValueError, match="models") as raised:
        faulty(cache)
    assert message in str(raised.value)


def test_a_model_that_makes_no_embeddings_is_refused_at_the_start() -> None:
    """By name, with what to do."""
    message = "cache of 'up': semantic.model 'claude' makes no embeddings; name a model that does"
    with pytest.raises(InvalidSettings, match=message):
        create_app(faulty({"model": "claude"}))


def test_a_budget_needs_the_price_of_the_embeddings_too() -> None:
    """Also where the key may not name the model that makes them."""
    key = {"name": "app", "key": "sk-app-key", "models": ["up"], "budget_usd": 1}
    with pytest.raises(ValueError, match="a budget limits key 'app', and what model 'claude' costs is not known"):
        faulty({"model": "claude"}, auth={"keys": [key]})
