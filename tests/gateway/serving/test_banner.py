"""What the start says."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.catalog.catalog import Catalog
from gateway.config import Settings
from gateway.serving.banner import banner


def text(**tree: Any) -> str:
    settings = Settings.model_validate(tree)
    return banner(settings, Catalog.of(settings), "http://127.0.0.1:8080")


def test_the_embedded_start_shows_what_is_served_and_how_to_connect_a_real_model() -> None:
    """Everything by name, a curl line to paste, and the lines that replace the demonstration model by a real one."""
    shown = text()
    assert "listens on http://127.0.0.1:8080 (no key needed, this machine only)" in shown
    for name in ("trip-planner", "reviewed-answer", "penstock-demo"):
        assert f"\n  {name}" in shown
    assert "Demonstration model" in shown
    assert "curl -N http://127.0.0.1:8080/v1/chat/completions -H 'content-type: application/json' \\" in shown
    assert '"model": "trip-planner"' in shown
    assert "penstock-demo is a demonstration model" in shown
    assert "OPENAI_API_KEY" in shown


def test_with_keys_the_curl_line_shows_one() -> None:
    """Keys themselves are never printed."""
    shown = text(auth={"keys": [{"name": "a", "key": "secret-key-1"}]})
    assert '-H "authorization: Bearer $KEY"' in shown
    assert "(keys: 1 in the settings)" in shown
    assert "secret-key-1" not in shown


def test_with_a_real_model_there_is_nothing_to_connect() -> None:
    """The advice goes when the agents use a real model; the curl line asks what is there."""
    far = {"name": "far", "kind": "openai", "base_url": "http://127.0.0.1:1/v1"}
    shown = text(providers=[far], models=[{"name": "m", "provider": "far"}], graphs=[])
    assert "OPENAI_API_KEY" not in shown
    assert '"model": "m"' in shown


@pytest.mark.parametrize("name", ["[red]mine[/red]", "[/nope]", "a\\b"])
def test_names_are_printed_as_they_are(name: str) -> None:
    """What looks like the markup of a terminal library is none."""
    far = {"name": "far", "kind": "openai", "base_url": "http://127.0.0.1:1/v1"}
    graphs = [{"name": name, "build": "tests.end_to_end.own_graphs:spelling", "description": "[bold]ours[/bold]"}]
    shown = text(providers=[far], models=[{"name": "m", "provider": "far"}], graphs=graphs)
    assert f"\n  {name}  graph, streams live. [bold]ours[/bold]\n" in shown


def test_with_nothing_to_serve_there_is_nothing_to_try() -> None:
    """No model and no graph: where it listens, no curl line, no advice about a model that is not there."""
    shown = text(models=[], graphs=[])
    assert "listens on http://127.0.0.1:8080" in shown
    assert "curl" not in shown
    assert "demonstration" not in shown
