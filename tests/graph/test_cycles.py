"""Cycles: cases 1 to 12 of the behaviour of serving graphs, and the caps of a run."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from graph import (
    Choice,
    Collector,
    Complete,
    Event,
    Filter,
    FlatMap,
    Flow,
    GraphError,
    InvalidOutlet,
    LimitExceeded,
    MaxIterationsExceeded,
    MaxStepsExceeded,
    Merge,
    MoneyExceeded,
    RunTimeout,
    TokensExceeded,
)
from graph.steps.responder import ResponderStep
from llm import ChatRequest, Model, Usage
from llm.testing import ScriptedProvider, say


class Count:
    """Adds one to the counter."""

    def do(self, body: dict[str, int]) -> dict[str, int]:
        return {**body, "counter": body["counter"] + 1}


class Route(Choice):
    """Goes back until the counter is at ``until``."""

    def __init__(self, back: str = "count", until: int = 5) -> None:
        self.back = back
        self.until = until

    def select_outlets(self, body: dict[str, int]) -> list[str]:
        return [self.back] if body["counter"] < self.until else ["end"]


def start(body: Any) -> Any:
    return body


def end(body: Any) -> Any:
    return body


def counting(**options: Any) -> Flow:
    """start → count → route (cycle to count) → end."""
    flow = Flow("counting", allow_cyclic=True, **options)
    flow.to(start).to(Count(), name="count").to(Route(), name="route").cycle_to("count").to(end).respond()
    return flow


async def test_case_1_a_cycle_built_with_to() -> None:
    """The loop runs while the counter is below five."""
    assert await counting().run({"counter": 1}) == {"counter": 5}


async def test_case_1_a_cycle_built_with_add_step() -> None:
    """The same graph, built step by step, behaves the same."""
    flow = Flow(allow_cyclic=True)
    flow.add_step(start)
    flow.add_step(Count(), "count", after="start")
    flow.add_step(Route(), "route", after="$prev", cycle_to=["count"])
    flow.add_step(end, after="route").respond()
    assert await flow.run({"counter": 1}) == {"counter": 5}


async def test_case_1_a_loop_that_is_not_needed_is_not_run() -> None:
    """A counter that is already there goes through once."""
    assert await counting().run({"counter": 9}) == {"counter": 10}


async def test_case_2_the_cycle_goes_back_to_the_first_step() -> None:
    """A cycle may lead to the step that the flow starts with."""
    flow = Flow(allow_cyclic=True)
    flow.to(Count(), name="count").to(Route(), name="route").cycle_to("count").to(end).respond()
    assert await flow.run({"counter": 1}) == {"counter": 5}


async def test_case_3_the_limit_of_the_graph_names_the_step_that_passed_it() -> None:
    """With max_iterations=1 for all, count is the first to be entered twice."""
    with pytest.raises(MaxIterationsExceeded, match="'count'"):
        await counting(max_iterations=1).run({"counter": 1})


async def test_case_3_the_limit_of_a_step_beats_that_of_the_graph() -> None:
    """A step's own limit counts for it, lower or higher than the graph's."""
    flow = Flow(allow_cyclic=True)
    flow.to(Count(), name="count").to(Route(), name="route", max_iterations=1).cycle_to("count").to(end).respond()
    with pytest.raises(MaxIterationsExceeded, match="'route'"):
        await flow.run({"counter": 1})
    wide = Flow(allow_cyclic=True, max_iterations=1)
    wide.to(Count(), name="count", max_iterations=4).to(Route(), name="route", max_iterations=4).cycle_to("count").to(
        end
    ).respond()
    assert await wide.run({"counter": 1}) == {"counter": 5}


async def test_case_3_the_default_limit_is_a_hundred() -> None:
    """A graph that sets no limit lets a step be entered a hundred times."""
    flow = Flow(allow_cyclic=True)
    flow.to(Count(), name="count").to(Route(until=100), name="route").cycle_to("count").to(end).respond()
    assert await flow.run({"counter": 0}) == {"counter": 100}
    with pytest.raises(MaxIterationsExceeded):
        await flow.run({"counter": -1})


async def test_case_4_the_message_and_the_next_request() -> None:
    """The error has the known wording and is a RuntimeError; the next event is not affected."""
    flow = counting(max_iterations=4)
    event = Event({"counter": 0})
    with pytest.raises(RuntimeError) as raised:
        await flow.start(event).result()
    assert str(raised.value) == f"Max iterations exceeded in step 'count' for event {event.id}"
    assert await flow.run({"counter": 1}) == {"counter": 5}


async def test_case_5_the_handler_of_the_graph_answers() -> None:
    """At the limit the answer is what the error handler says, and it is told where it happened."""
    seen: list[Event] = []

    def sorry(event: Event) -> dict[str, Any]:
        seen.append(event)
        return {"sorry": type(event.error).__name__}

    flow = counting(max_iterations=1).error_handler(sorry, full_event=True)
    assert await flow.run({"counter": 1}) == {"sorry": "MaxIterationsExceeded"}
    assert seen[0].origin_state == "count"


async def test_case_6_a_looping_responder_leaves_by_complete() -> None:
    """A responder that goes back to itself answers when it selects Complete."""

    class Loop(Count):
        def select_outlets(self, body: dict[str, int]) -> list[str]:
            return ["loop"] if body["counter"] < 3 else [Complete]

    flow = Flow(allow_cyclic=True)
    flow.to(Loop(), name="loop").cycle_to("loop").respond()
    assert await flow.run({"counter": 0}) == {"counter": 3}


async def test_case_7_a_model_step_with_two_tools() -> None:
    """A step that routes to one of two tools, both of which lead back to it, sees every result."""

    class Model:
        def do(self, body: dict[str, int]) -> dict[str, int]:
            return {**body, "counter": body["counter"] + 1}

        def select_outlets(self, body: dict[str, int]) -> list[str]:
            return [Complete] if body["counter"] == 5 else ["tool_a" if body["counter"] % 2 else "tool_b"]

    def tool(name: str) -> Any:
        return lambda body: {**body, name: body.get(name, 0) + 1}

    flow = Flow(allow_cyclic=True)
    model = flow.to(Model(), name="llm").respond()
    model.to(tool("tool_a"), name="tool_a").cycle_to("llm")
    model.to(tool("tool_b"), name="tool_b").cycle_to("llm")
    assert await flow.run({"counter": 0}) == {"counter": 5, "tool_a": 2, "tool_b": 2}


async def test_case_8_five_thousand_iterations() -> None:
    """A long loop neither recurses nor collects memory."""
    flow = Flow(allow_cyclic=True, max_iterations=6000)
    flow.to(Count(), name="count").to(Route(until=5000), name="route").cycle_to("count").to(end).respond()
    await flow.run({"counter": 4000})
    tracemalloc.start()
    try:
        assert await flow.run({"counter": 0}) == {"counter": 5000}
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000


def zero(body: Any) -> dict[str, int]:
    return {"counter": 0}


async def passes_by(body: Any) -> Any:
    return body


async def spelled(body: Any) -> AsyncGenerator[str, None]:
    for letter in "ab":
        yield letter


class Back(Choice):
    """Always goes back to ``x``."""

    def select_outlets(self, body: Any) -> str:
        return "x"


def inner() -> Flow:
    flow = Flow("inner")
    flow.to(start).respond()
    return flow


@pytest.mark.parametrize(
    "kind",
    [start, passes_by, Count(), spelled, FlatMap(lambda body: [body]), Filter(lambda body: True), Merge(), inner()],
    ids=["def", "async", "class", "stream", "FlatMap", "Filter", "Merge", "flow"],
)
async def test_case_9_the_limit_of_a_step_holds_for_every_kind(kind: Any) -> None:
    """Whatever it is, with max_iterations=2 it is entered twice, and the third time is the error that names it."""
    flow = Flow(allow_cyclic=True)
    step = flow.to(zero, name="first").to(kind, name="x", max_iterations=2).to(Collector(), name="collector")
    step.to(zero, name="again").to(Back(), name="back").cycle_to("x").to(end)
    run = flow.start(Event())
    with pytest.raises(MaxIterationsExceeded, match="'x'"):
        await run.result()
    assert run.visits("back") == 2


async def test_case_9_the_limit_of_a_choice_holds() -> None:
    """A Choice counts like any other step, also where it is the step that the cycle comes back to."""

    class Itself(Choice):
        def select_outlets(self, body: Any) -> str:
            asked.append(body)
            return "x"

    asked: list[Any] = []
    flow = Flow(allow_cyclic=True)
    flow.to(Itself(), name="x", max_iterations=3).cycle_to("x").to(end)
    with pytest.raises(MaxIterationsExceeded, match="'x'"):
        await flow.run(1)
    assert asked == [1, 1, 1]


async def test_case_9_the_limit_of_a_model_step_holds() -> None:
    """The model is asked as often as the step may be entered, and no more."""
    provider = ScriptedProvider([say("one"), say("two")])
    flow = Flow(allow_cyclic=True)
    model = flow.to(ResponderStep(Model("scripted", provider, "scripted")), name="x", max_iterations=2).respond()
    model.to(Back(), name="back").cycle_to("x")
    with pytest.raises(MaxIterationsExceeded, match="'x'"):
        await flow.run(ChatRequest("agent", [{"role": "user", "content": "Hello"}], {}, stream=True))
    assert len(provider.requests) == 2


async def test_case_10_visits_are_counted_once_an_event_never_per_chunk() -> None:
    """Two passes of a stream of two hundred chunks are two visits of every step that the chunks walk."""

    async def many(body: list[int]) -> AsyncGenerator[int, None]:
        for _ in range(200):
            yield body[0] + 1

    class Twice(Choice):
        def select_outlets(self, body: list[int]) -> str:
            return "many" if body[0] < 2 else "end"

    flow = Flow(allow_cyclic=True, max_iterations=2)
    each = flow.to(lambda body: [0], name="zero").to(many).to(start, name="each")
    each.to(Collector(), name="collector").to(Twice(), name="twice").cycle_to("many").to(end).respond()
    run = flow.start(Event())
    assert await run.result() == [2] * 200
    assert [run.visits(name) for name in ("many", "each", "collector", "twice")] == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("caps", "error"),
    [
        ({"max_iterations": 3}, MaxIterationsExceeded),
        ({"max_steps": 5}, MaxStepsExceeded),
        ({"max_seconds": 0.01}, RunTimeout),
        ({"max_tokens": 5}, TokensExceeded),
        ({"max_usd": 0.5}, MoneyExceeded),
    ],
)
async def test_case_11_each_cap_has_an_error_of_its_own(caps: dict[str, Any], error: type[GraphError]) -> None:
    """The same endless loop ends by whichever cap there is; the next run has all of it again."""

    async def ask(event: Event) -> None:
        await asyncio.sleep(0)
        event.account("model", Usage.of(1, 1), 0.2)
        event.meter.check(event.at)

    flow = Flow(allow_cyclic=True, **{"max_iterations": 1_000_000, **caps})
    flow.to(ask, name="x", full_event=True).to(Back(), name="back").cycle_to("x").to(end).respond()
    for _ in range(2):
        with pytest.raises(LimitExceeded) as raised:
            await flow.run()
        assert type(raised.value) is error


async def test_case_11_steps_of_a_run_are_capped_in_all() -> None:
    """max_steps counts every step of a run, whichever it is."""
    flow = counting(max_steps=6)
    assert await flow.run({"counter": 3}) == {"counter": 5}
    with pytest.raises(MaxStepsExceeded, match="more than 6 steps, the last 'route'"):
        await flow.run({"counter": 1})


async def test_case_11_seconds_of_a_run_are_capped() -> None:
    """A run that takes too long is cancelled where it is, and the error says where that was."""
    closed = asyncio.Event()

    async def stuck(body: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            closed.set()

    flow = Flow("slow", max_seconds=0.01)
    flow.to(stuck).respond()
    with pytest.raises(RunTimeout, match=r"longer than 0\.01 s; it was in step 'stuck'"):
        await flow.run()
    assert closed.is_set()


async def test_a_steps_own_timeout_is_not_the_runs() -> None:
    """A TimeoutError that a step raises stays what it is, and a handler may take it."""

    async def late(body: Any) -> Any:
        raise TimeoutError("mine")

    flow = Flow("slow", max_seconds=60)
    flow.to(late).respond()
    with pytest.raises(TimeoutError, match="mine"):
        await flow.run()


@pytest.mark.parametrize(
    ("selected", "message"),
    [
        (["nope"], r"Invalid outlet 'nope' for 'route'. Allowed outlets are: Complete, end."),
        (["end", "end"], "selected an outlet twice"),
    ],
)
async def test_case_12_a_wrong_outlet_is_named(selected: list[str], message: str) -> None:
    """An outlet that is not there is an error that lists those that are."""

    class Wrong(Choice):
        def select_outlets(self, body: Any) -> list[str]:
            return selected

    flow = Flow()
    flow.to(Wrong(), name="route").to(end).respond()
    with pytest.raises(InvalidOutlet, match=message):
        await flow.run(1)


async def test_no_outlet_ends_the_run_with_the_body() -> None:
    """A Choice that selects nothing ends the run; the answer is what there is."""

    class Nowhere(Choice):
        def select_outlets(self, body: Any) -> list[str]:
            return []

    flow = Flow()
    flow.to(Nowhere(), name="route").to(end).respond()
    assert await flow.run("as it came") == "as it came"
