"""What the README shows is what happens."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import aclosing
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from gateway.catalog.catalog import Catalog
from gateway.config import load
from llm import ChatRequest
from tests.serving import serving_upstream

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
MESSAGES: Any = [{"role": "user", "content": "a poem"}]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def block(language: str, part: str) -> str:
    (found,) = [text for text in blocks(language) if part in text]
    return found


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The graph of one's own from the README, and its settings file, in a folder that Python looks into."""
    (tmp_path / "my_graphs.py").write_text(block("python", "my_graphs.py"))
    (tmp_path / "penstock.yaml").write_text(block("yaml", "my_graphs:build"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_graphs", raising=False)
    return tmp_path


async def test_the_graph_of_ones_own_streams(own: Path) -> None:
    """It loops as it says, is proved to stream live, and its words reach the SDK one by one."""
    flow = import_module("my_graphs").build()
    assert flow.streaming.kind == "live"
    async with aclosing(flow.stream(ChatRequest.of_text("m", "a poem"))) as words:
        assert [word async for word in words] == ["draft ", "3 ", "of: ", "a ", "poem "]
    graphs = [{"name": "third-time-lucky", "build": "my_graphs:build"}]
    async with serving_upstream(graphs=graphs) as (gateway, _), gateway.sdk() as client:
        answer = await client.chat.completions.create(model="third-time-lucky", messages=MESSAGES)
    assert answer.choices[0].message.content == "draft 3 of: a poem "


def test_the_graph_of_ones_own_is_shown_as_the_readme_shows_it(own: Path) -> None:
    """The command line prints the drawing and the verdict."""
    command = [sys.executable, "-m", "gateway", "graph", "show", "third-time-lucky", "--config", "penstock.yaml"]
    shown = subprocess.run(command, cwd=own, capture_output=True, text=True, check=True, env={"PYTHONPATH": "."})
    promised = block("console", "graph show third-time-lucky").splitlines()[1:]
    for line in promised:
        assert line.strip() == "..." or line in shown.stdout.splitlines()


def test_the_settings_are_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every YAML block of the README is accepted as it stands."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-nobody")
    monkeypatch.setenv("APP_KEY", "app-key-123")
    monkeypatch.setenv("OPS_KEY", "ops-key-123")
    for text in blocks("yaml"):
        path = tmp_path / "penstock.yaml"
        path.write_text(text)
        settings = load(path)
        if "my_graphs" not in text:
            assert list(Catalog.of(settings))


def test_the_upstream_of_ones_own_takes_six_lines() -> None:
    """As few as the README says."""
    assert len(block("yaml", "name: cloud").splitlines()) <= 6


def test_every_endpoint_of_the_readme_is_served() -> None:
    """The table of what is served names what the table of endpoints holds."""
    served = set(re.findall(r"`(?:GET |POST )?(/(?:v1|v2|admin)[^` ]*)`", README.split("## What is served")[1]))
    assert len(served) > 10
    from gateway.app import create_app  # noqa: PLC0415

    listed = {re.sub(r"\{\w+\}", "{}", endpoint.path) for endpoint in create_app(load()).table.endpoints}
    assert {re.sub(r"\{\w+\}", "{}", path) for path in served} <= listed
