"""Tools that the settings name: graphs are given them, and the gateway starts and ends what is behind them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from gateway.catalog.catalog import Catalog
from gateway.catalog.toolsets import toolset_of
from gateway.config import Settings, load
from gateway.config.faults import InvalidSettings
from gateway.job import started
from graph import Flow, Tool, ToolsetUnavailable, ToolsStep
from graph.parts import Parts
from graph.steps.responder import ResponderStep
from graph.steps.router import RouterStep
from llm.testing import Json
from tests.serving import serving_upstream

COMMAND = [sys.executable, "-m", "tests.graph.toolsets.mcp_server"]


def shout(text: str) -> str:
    """Says it louder."""
    return text.upper()


LIMITED = Tool.of(shout, timeout=9.0, max_calls=7)


@pytest.mark.parametrize(
    ("row", "limits"),
    [({}, (9.0, 7)), ({"max_calls": 1}, (9.0, 1)), ({"timeout_seconds": 2, "max_calls": 3}, (2.0, 3))],
)
def test_what_a_row_says_of_its_tools_holds_for_those_with_limits_of_their_own(
    row: Mapping[str, Any], limits: tuple[float, int]
) -> None:
    """What it does not say stays as the author of the tool has it."""
    (entry,) = settings({"name": "own", "kind": "python", "functions": [f"{__name__}:LIMITED"], **row}).tools
    (tool,) = toolset_of(entry)
    assert (tool.timeout, tool.max_calls) == limits


def agent(parts: Parts) -> Flow:
    """Router, the tools of two rows, responder."""
    sources = [*parts.tools("own"), parts.tools("shop")]
    flow = Flow("agent", allow_cyclic=True, max_iterations=8)
    planner = parts.llm("router", "planner")
    router = flow.to(RouterStep(planner, planner, {"all": sources}, done="responder"), name="router")
    router.to(ToolsStep(sources), name="tools").cycle_to("router")
    flow.add_step(ResponderStep(parts.llm("responder")), name="responder", after="router").respond()
    return flow


ROWS: list[Mapping[str, Any]] = [
    {"name": "own", "kind": "python", "functions": [f"{__name__}:shout"]},
    {"name": "shop", "kind": "mcp", "command": COMMAND, "only": ["add"], "env": {"TOKEN": "tool-secret-1"}},
]
GRAPH = {"name": "agent", "build": f"{__name__}:agent"}


def saying(content: str | None, *called: tuple[str, str]) -> Json:
    """An upstream's answer, that perhaps calls tools."""
    wire = [
        {"id": f"call_{at}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for at, (name, arguments) in enumerate(called)
    ]
    message = {"role": "assistant", "content": content, **({"tool_calls": wire} if wire else {})}
    return Json({"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


async def test_a_graph_calls_functions_and_servers_of_the_settings() -> None:
    """Over HTTP, with the tools that the model was told of, and their results before the answer."""
    replies = (
        saying(None, ("shout", '{"text": "hi"}'), ("shop_add", '{"a": 1, "b": 2}')),
        saying("done"),
        saying("HI, 3"),
    )
    async with serving_upstream(*replies, graphs=[GRAPH], tools=ROWS) as (gateway, upstream):
        asked = {"model": "agent", "messages": [{"role": "user", "content": "hi, and 1 + 2?"}]}
        status, _, answer = await gateway.post("/v1/chat/completions", asked)
    assert (status, answer["choices"][0]["message"]["content"]) == (200, "HI, 3")
    assert [tool["function"]["name"] for tool in upstream.received[0].body["tools"]] == ["shout", "shop_add"]
    results = [message["content"] for message in upstream.received[1].body["messages"] if message["role"] == "tool"]
    assert list(map(json.loads, results)) == [{"result": "HI"}, {"result": 3}]


def settings(*rows: Mapping[str, Any]) -> Settings:
    far = {"name": "far", "kind": "openai", "base_url": "http://127.0.0.1:1/v1"}
    tree = {"providers": [far], "models": [], "graphs": [], "tools": rows}
    return Settings.model_validate(tree)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"name": "a_b", "kind": "mcp", "command": ["x"]}, "1 to 32 letters"),
        ({"name": "a", "kind": "mcp"}, "either command, for stdio, or url"),
        ({"name": "a", "kind": "openapi", "document": "x"}, "kind openapi needs base_url"),
        ({"name": "a", "kind": "python"}, "kind python needs functions"),
        ({"name": "a", "kind": "python", "functions": ["m:f"], "url": "http://x"}, "'url' says nothing to kind python"),
        (
            {"name": "a", "kind": "mcp", "command": ["x"], "headers": {"k": "v"}},
            "'headers' says nothing .* without url",
        ),
        ({"name": "a", "kind": "mcp", "url": "http://x", "env": {"K": "v"}}, "'env' says nothing .* without command"),
        ({"name": "a", "kind": "mcp", "url": "http://x", "cwd": "/srv"}, "'cwd' says nothing .* without command"),
    ],
)
def test_wrong_rows_are_refused(row: Mapping[str, Any], said: str) -> None:
    """With what to write."""
    with pytest.raises(ValueError, match=said):
        settings(row)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            {"name": "a", "kind": "python", "functions": ["nowhere:f"]},
            "tools 'a': No module named 'nowhere'; modules are looked for in",
        ),
        ({"name": "a", "kind": "python", "functions": ["builtins:print"]}, "cannot be given by name"),
        (
            {"name": "a", "kind": "openapi", "document": "no-such-file", "base_url": "http://x"},
            "tools 'a': no-such-file: .*No such file",
        ),
        ({"name": "a", "kind": "mcp", "url": "http://user:pw@host/mcp"}, "write the url as an address"),
    ],
)
def test_rows_that_cannot_be_built_stop_the_start(row: Mapping[str, Any], said: str) -> None:
    """With the name of the row."""
    with pytest.raises(InvalidSettings, match=said):
        Catalog.of(settings(row))


async def test_a_server_that_is_not_there_stops_the_start() -> None:
    """And nothing stays open."""
    catalog = Catalog.of(settings({"name": "a", "kind": "mcp", "command": ["no-such-program"]}))
    with pytest.raises(ToolsetUnavailable, match="tools 'a'"):
        async with started(catalog):
            pass


def test_keys_of_tools_are_secrets() -> None:
    """They are taken out of logs and recordings, and not printed."""
    made = settings({"name": "a", "kind": "mcp", "url": "http://x/mcp", "headers": {"authorization": "Bearer sk-1"}})
    assert "Bearer sk-1" in made.secrets
    assert "Bearer sk-1" not in repr(made)


def test_two_rows_of_one_name_are_refused(tmp_path: Any) -> None:
    """With the line."""
    path = tmp_path / "penstock.yaml"
    row = "  - {name: a, kind: python, functions: ['m:f']}\n"
    path.write_text(f"tools:\n{row}{row}")
    with pytest.raises(InvalidSettings, match=r"penstock\.yaml:3: .*same name of tools 'a'"):
        load(path)
