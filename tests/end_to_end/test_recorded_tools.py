"""Recordings of graphs with tools: what servers of tools offer is on the tape, so that a replay needs none of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from gateway.catalog.catalog import Catalog
from gateway.config import Settings
from gateway.job import started
from gateway.telemetry.recordings import replay
from graph import Flow, ReplayDiffers, ToolsetUnavailable, ToolsStep
from graph.parts import Parts
from graph.steps.responder import ResponderStep
from graph.steps.router import RouterStep
from tests.gateway.catalog.test_toolsets import COMMAND, saying
from tests.graph.steps.test_remote import serving as service
from tests.serving import serving_upstream

DOCUMENT = {"openapi": "3.1.0", "paths": {"/stock": {"put": {"operationId": "stock"}}}}
REPLIES = (saying(None, ("shop_add", '{"a": 1, "b": 2}'), ("depot_stock", "{}")), saying("done"), saying("3 and 7"))
ASKED = {"model": "agent", "messages": [{"role": "user", "content": "hi"}]}
MODEL = {"name": "up", "provider": "scripted", "model": "upstream-model"}
GONE = {"name": "scripted", "kind": "openai", "base_url": "http://127.0.0.1:1/v1"}
GRAPHS = [{"name": "agent", "build": f"{__name__}:agent"}]


def agent(parts: Parts) -> Flow:
    """Router, the tools of a server and of a document, responder."""
    sources = [parts.tools("shop"), parts.tools("depot")]
    flow = Flow("agent", allow_cyclic=True, max_iterations=8)
    planner = parts.llm("router", "planner")
    router = flow.to(RouterStep(planner, planner, {"all": sources}, done="responder"), name="router")
    router.to(ToolsStep(sources), name="tools").cycle_to("router")
    flow.add_step(ResponderStep(parts.llm("responder")), name="responder", after="router").respond()
    return flow


def rows(folder: Path, base_url: str, command: list[str], **shop: Any) -> list[Mapping[str, Any]]:
    document = folder / "depot.yaml"
    document.write_text(yaml.safe_dump(DOCUMENT))
    return [
        {"name": "shop", "kind": "mcp", "command": command, "only": ["add"], **shop},
        {"name": "depot", "kind": "openapi", "document": document, "base_url": base_url},
    ]


def without_servers(folder: Path, **tree: Any) -> Catalog:
    """The same settings, with everything outside gone."""
    tools = rows(folder, "http://127.0.0.1:1", ["no-such-program"])
    given = {"providers": [GONE], "models": [MODEL], "graphs": GRAPHS, "tools": tools, **tree}
    return Catalog.of(Settings.model_validate(given))


async def record(folder: Path) -> tuple[bytes, Path]:
    """What a run answered, and its recording."""
    path = folder / "recordings"
    async with service(stock) as url:
        tools = rows(folder, url, COMMAND)
        async with serving_upstream(*REPLIES, graphs=GRAPHS, tools=tools, record={"path": path}) as (gateway, _):
            answer = await gateway.http.post(f"{gateway.address}/v1/chat/completions", json=ASKED)
            sent = await answer.read()
    (file,) = path.glob("*.json")
    return sent, file


async def stock(_: web.Request) -> web.Response:
    return web.json_response({"left": 7})


async def test_tools_are_replayed_without_their_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wire is the same with the program gone, the service gone and the package mcp not installed."""
    sent, file = await record(tmp_path)
    assert b"3 and 7" in sent
    assert r"{\"left\": 7}" in file.read_text()
    monkeypatch.setitem(sys.modules, "mcp", None)
    assert await replay(file, without_servers(tmp_path)) == sent


async def test_offers_that_were_not_recorded_are_named(tmp_path: Path) -> None:
    """A run that was recorded with other sets of tools differs."""
    _, file = await record(tmp_path)
    file.write_text(file.read_text().replace("the tools of 'shop'", "the tools of 'shed'"))
    with pytest.raises(ReplayDiffers, match="this run needs the tools of 'shop', which the recorded run did not"):
        await replay(file, without_servers(tmp_path))


async def test_without_the_package_a_server_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything else can be done with the settings; the start says what to install."""
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(ToolsetUnavailable, match=r"tools 'shop': .* pip install 'penstock\[mcp\]'"):
        async with started(without_servers(tmp_path)):
            pass
