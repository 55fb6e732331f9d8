"""Calls of tools, as who runs the gateway sees them: a model is told little of what went wrong."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from llm.testing.upstream import answer
from tests.end_to_end.test_metrics import scraped
from tests.end_to_end.test_traces import Collector, traced
from tests.serving import serving

GRAPHS = [{"name": "calling", "build": "tests.end_to_end.own_graphs:calling"}]
SECRET = "sk-gateways-own"
CALLS = [
    ["divide", '{"a": 1, "b": 2}'],
    ["divide", '{"a": 1, "b": 0}'],
    ["divide", '{"a": "x", "b": 0}'],
    ["divide", '{"a": 1, "b": 1}'],
    ["decline", ""],
    ["wait", "{}"],
    ["invent", "{}"],
]
ENDED = {
    ("divide", "answered"): 1,
    ("divide", "failed"): 1,
    ("divide", "wrong_arguments"): 1,
    ("divide", "refused"): 1,
    ("decline", "error"): 1,
    ("wait", "timeout"): 1,
    ("", "unknown"): 1,
}


def asked(calls: list[list[str]]) -> dict[str, Any]:
    """A request for these calls."""
    return {"model": "calling", "messages": [{"role": "user", "content": orjson.dumps(calls).decode()}]}


async def test_each_call_is_counted_timed_and_recorded(capfd: pytest.CaptureFixture[str]) -> None:
    """By how it ended; what failed is in the log with its trace, what took too long without."""
    async with serving(graphs=GRAPHS) as gateway:
        _, headers, answered = await gateway.post("/v1/chat/completions", asked(CALLS))
        samples = await scraped(gateway)
        _, _, recorded = await gateway.get("/admin/runs?limit=1")
    assert "no tool 'invent'" in answered["choices"][0]["message"]["content"]
    counted = {(labels["tool"], labels["outcome"]): value for labels, value in samples.of("tool_calls_total")}
    assert counted == ENDED
    timed = {labels["tool"]: value for labels, value in samples.of("tool_seconds_count")}
    assert timed == {"divide": 2, "decline": 1, "wait": 1}
    (visit,) = [step for step in recorded["runs"][0]["steps"] if step["step"] == "tools"]
    assert {(row["tool"], row["outcome"]): row["calls"] for row in visit["tools"]} == ENDED
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    failed, late = sorted(lines, key=lambda line: str(line["event"]))
    where = {"request_id": headers["x-request-id"], "graph": "calling", "step": "tools"}
    assert failed.items() >= {**where, "event": "tool_failed", "tool": "divide"}.items()
    assert "ZeroDivisionError: division by zero" in failed["exception"]
    assert late.items() >= {**where, "event": "tool_timeout", "tool": "wait"}.items()
    assert "exception" not in late


@pytest.mark.parametrize("contents", [False, True])
async def test_each_call_is_a_span_of_its_step(contents: bool) -> None:
    """With the conventional attributes; what was given and returned only where the operator wants it, and no key."""
    collector = Collector()
    calls = [["divide", '{"a": 1, "b": 2}'], ["invent", f'{{"key": "{SECRET}"}}']]
    async with traced(collector, contents=contents, graphs=GRAPHS) as (gateway, _):
        await gateway.post("/v1/chat/completions", asked(calls))
    divided, invented = collector.named("execute_tool divide"), collector.named("execute_tool")
    assert divided.parent == invented.parent == collector.named("step tools").id
    assert divided.attributes["gen_ai.operation.name"] == "execute_tool"
    assert (divided.attributes["gen_ai.tool.call.id"], divided.failed) == ("call_0", False)
    assert (invented.attributes["error.type"], invented.failed) == ("unknown", True)
    said = {name: value for name, value in divided.attributes.items() if name.startswith("gen_ai.tool.call.")}
    if contents:
        assert said["gen_ai.tool.call.arguments"] == '{"a": 1, "b": 2}'
        assert said["gen_ai.tool.call.result"] == '{"result": 0.5}'
        assert SECRET not in invented.attributes["gen_ai.tool.call.arguments"]
    else:
        assert said.keys() == {"gen_ai.tool.call.id"}


@pytest.mark.parametrize("does", ["redact", "refuse"])
async def test_a_span_tells_what_a_model_was_told(does: str) -> None:
    """Where a policy changes what a tool returned, that is not what leaves for the traces either."""
    rule = {"rule": "personal_data", "action": does, "message": "No.", "places": ["tool_results"]}
    policy = {"name": "private", "everywhere": True, "rules": [rule]}
    graphs = [{"name": "mailing", "build": "tests.end_to_end.own_graphs:mailing"}]
    call = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    replies = (answer("", tool_calls=[call]), answer("done"))
    collector = Collector()
    async with traced(collector, *replies, graphs=graphs, guardrails=[policy], contents=True) as (gateway, _):
        body = {"model": "mailing", "messages": [{"role": "user", "content": "Who is it?"}]}
        await gateway.post("/v1/chat/completions", body)
    told = collector.named("execute_tool look_up").attributes["gen_ai.tool.call.result"]
    assert told == ('{"result": "[EMAIL]"}' if does == "redact" else '{"error": "No."}')
