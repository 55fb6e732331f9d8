"""The record of runs: bounded, step by step, also of flows inside flows, and how each of them ended."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from gateway.telemetry.runs import KEPT, MAX_STEPS, RunRecorder
from graph import Choice, Event, Flow, Hooks
from graph.steps.responder import ResponderStep
from llm import ChatRequest, Model
from llm.testing import ScriptedProvider, say


async def recorded(flow: Flow, body: Any, recorder: RunRecorder, event_id: str | None = None) -> dict[str, Any]:
    """The record of one run of a flow, as the admin API shows it."""
    event = Event(body, id=event_id, caller="app")
    run = flow.start(event, Hooks.of([recorder]))
    async with aclosing(run.chunks()) as chunks:
        async for _ in chunks:
            pass
    found = recorder.find(event.id)
    assert found is not None
    return found.to_json()


def echo(name: str = "echo") -> Flow:
    flow = Flow(name)
    flow.to(lambda body: body, name="step").respond()
    return flow


def speaking(provider: ScriptedProvider) -> Flow:
    """A flow with a model, to stand in another."""
    flow = Flow("inner")
    flow.to(lambda body: body, name="prepare")
    flow.steps["prepare"].to(ResponderStep(Model("served", provider, "theirs")), name="speaker").respond()
    return flow


class Until(Choice):
    """Goes round until the counter in the body has come so far."""

    def __init__(self, end: int) -> None:
        self.end = end

    def select_outlets(self, body: dict[str, int]) -> str:
        return "count" if body["n"] < self.end else "end"


def counting(end: int) -> Flow:
    flow = Flow("counting", allow_cyclic=True, max_iterations=end + 1, max_steps=None)
    count = flow.to(lambda body: {"n": body["n"] + 1}, name="count")
    until = count.to(Until(end), name="until").cycle_to("count")
    until.to(lambda body: body, name="end").respond()
    return flow


async def test_only_so_many_steps_of_a_run_are_kept() -> None:
    """A loop that goes round for long does not fill the memory: the first visits are kept, the others are counted."""
    rounds = MAX_STEPS // 2 + 10
    record = await recorded(counting(rounds), {"n": 0}, RunRecorder())
    assert record["outcome"] == "answered"
    assert len(record["steps"]) == MAX_STEPS
    assert record["steps_left_out"] == 2 * rounds + 1 - MAX_STEPS
    assert [step["step"] for step in record["steps"][:3]] == ["count", "until", "count"]
    assert [step for step in record["steps"] if step["seconds"] is None] == []


async def test_only_so_many_runs_are_kept() -> None:
    """The oldest is forgotten, the latest comes first."""
    recorder = RunRecorder(kept=2)
    for run in ("a", "b", "c"):
        await recorded(echo(), {}, recorder, run)
    assert [record.id for record in recorder.recent()] == ["c", "b"]
    assert [record.id for record in recorder.recent(1)] == ["c"]
    assert recorder.find("a") is None
    assert KEPT == 200


async def test_steps_of_a_flow_inside_another_stand_under_it() -> None:
    """They are called ``outer/inner``, and so is what their models cost; it is counted once."""
    with ScriptedProvider.of(say("hello there")) as provider:
        outer = Flow("outermost")
        outer.to(speaking(provider).as_step(), name="outer").respond()
        recorder = RunRecorder()
        record = await recorded(outer, ChatRequest.of_text("m", "hi"), recorder)
    steps = {step["step"]: step for step in record["steps"]}
    assert set(steps) == {"outer", "outer/prepare", "outer/speaker"}
    cost = {"source": "real", "usd": None, "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    assert steps["outer/speaker"]["usage"] == [{"model": "served", **cost}]
    assert steps["outer/prepare"]["usage"] == []
    assert record["graph"] == "outermost"
    assert record["usage"] == cost
    assert len(list(recorder.recent())) == 1


async def test_flows_nest_as_deeply_as_one_likes() -> None:
    """Each level is one more part of the name."""
    with ScriptedProvider.of(say("hello")) as provider:
        middle = Flow("middle")
        middle.to(speaking(provider).as_step(), name="b").respond()
        outer = Flow("outermost")
        outer.to(middle.as_step(), name="a").respond()
        record = await recorded(outer, ChatRequest.of_text("m", "hi"), RunRecorder())
    assert [step["step"] for step in record["steps"]] == ["a", "a/b", "a/b/prepare", "a/b/speaker"]
    assert [step["step"] for step in record["steps"] if step["usage"]] == ["a/b/speaker"]


async def test_a_step_that_fails_is_named_with_its_error() -> None:
    """Also inside another flow; the words of the error are not kept."""
    inner = Flow("inner")
    inner.to(lambda body: 1 / body["secret"], name="divide").respond()
    outer = Flow("outermost")
    outer.to(inner.as_step(), name="outer").respond()
    recorder = RunRecorder()
    with pytest.raises(ZeroDivisionError):
        await recorded(outer, {"secret": 0}, recorder)
    (record,) = [record.to_json() for record in recorder.recent()]
    assert (record["outcome"], record["error"], record["caller"]) == ("failed", "ZeroDivisionError", "app")
    assert {step["step"]: step["error"] for step in record["steps"]} == {
        "outer": "ZeroDivisionError",
        "outer/divide": "ZeroDivisionError",
    }
    assert "division" not in str(record)


async def test_a_run_that_is_left_in_the_middle_is_recorded_as_far_as_it_came() -> None:
    """The step that was under way has a time, and no error of its own."""
    entered = asyncio.Event()

    async def wait(body: Any) -> None:
        entered.set()
        await asyncio.Event().wait()

    flow = Flow("waiting")
    flow.to(wait).respond()
    recorder = RunRecorder()
    task = asyncio.create_task(recorded(flow, {}, recorder))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (record,) = [record.to_json() for record in recorder.recent()]
    assert record["outcome"] == "left"
    assert [(step["step"], step["seconds"] >= 0) for step in record["steps"]] == [("wait", True)]
