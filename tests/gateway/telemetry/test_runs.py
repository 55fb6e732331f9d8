"""The record of runs: bounded, step by step, also of flows inside flows, and how each of them ended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from gateway.telemetry.runs import KEPT, MAX_STEPS, RunRecorder
from graph import Batch, Choice, Event, Flow, Hooks, LLModel, ModelRunnerStep, Unbatch
from graph.steps.responder import ResponderStep
from llm import CharacterCounter, ChatRequest, Model
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


def counting(end: int, *, responds: bool = True) -> Flow:
    flow = Flow("counting", allow_cyclic=True, max_iterations=end + 1, max_steps=None)
    count = flow.to(lambda body: {"n": body["n"] + 1}, name="count")
    until = count.to(Until(end), name="until").cycle_to("count")
    last = until.to(lambda body: body, name="end")
    if responds:
        last.respond()
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


def figures(record: Any) -> Iterator[dict[str, Any]]:
    """Every usage in a record, wherever it stands."""
    if isinstance(record, list):
        for each in record:
            yield from figures(each)
    elif isinstance(record, dict):
        if "total_tokens" in record:
            yield record
        for each in record.values():
            yield from figures(each)


async def test_every_figure_of_usage_says_whether_it_is_real() -> None:
    """Of the run, of its steps, and of steps that the record has no place for, as the run went on for so long."""
    rounds = MAX_STEPS // 2 + 10
    flow = counting(rounds, responds=False)
    with ScriptedProvider.of(say("one two"), say("three", usage=None)) as provider:
        model = Model("served", provider, "theirs")
        counted = replace(model, counter=CharacterCounter())
        first = ModelRunnerStep("first").add_model("m", LLModel, model_artifact=model)
        flow.steps["end"].to(lambda body: "hi", name="asks").to(first).to(
            lambda body: ChatRequest.of_text("m", "and?"), name="again"
        ).to(ResponderStep(counted), name="second").respond()
        record = await recorded(flow, {"n": 0}, RunRecorder())
    others = [(row["step"], row["model"], row["source"]) for row in record["usage_of_other_steps"]]
    assert others == [("first", "served", "real"), ("second", "served", "estimated")]
    assert [step for step in record["steps"] if step["usage"]] == []
    assert record["usage"]["source"] == "estimated"
    assert record["usage"]["total_tokens"] == sum(row["total_tokens"] for row in record["usage_of_other_steps"])
    assert [figure["source"] for figure in figures(record)] == ["estimated", "real", "estimated"]
    assert all(figure.get("estimated", False) == (figure["source"] == "estimated") for figure in figures(record))


async def test_in_a_batch_each_run_has_its_share() -> None:
    """One run walks the batch, and its record has the step; for the others the call is one of other steps."""
    flow = Flow("batched")
    with ScriptedProvider.of(say("a"), say("b")) as provider:
        model = Model("served", provider, "theirs")
        runner = ModelRunnerStep("models").add_model("m", LLModel, model_artifact=model)
        flow.to(Batch(2), name="batch").to(runner).to(Unbatch(), name="unbatch").respond()
        recorder = RunRecorder()
        first, second = await asyncio.gather(*(recorded(flow, text, recorder, text) for text in ("x", "y")))
    walked, waited = (first, second) if any(step["usage"] for step in first["steps"]) else (second, first)
    assert walked["usage_of_other_steps"] == []
    assert {(row["step"], row["source"]) for row in waited["usage_of_other_steps"]} == {("models", "real")}
    assert first["usage"]["total_tokens"] + second["usage"]["total_tokens"] == 30


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
