"""Cycles: cases 1 to 8 of the behaviour of serving graphs, and the caps of a run."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import Any

import pytest

from graph import (
    Choice,
    Complete,
    Event,
    Flow,
    InvalidOutlet,
    MaxIterationsExceeded,
    MaxStepsExceeded,
    RunTimeout,
)


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


async def test_steps_of_a_run_are_capped_in_all() -> None:
    """max_steps counts every step of a run, whichever it is."""
    flow = counting(max_steps=6)
    assert await flow.run({"counter": 3}) == {"counter": 5}
    with pytest.raises(MaxStepsExceeded, match="more than 6 steps, the last 'route'"):
        await flow.run({"counter": 1})


async def test_seconds_of_a_run_are_capped() -> None:
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
async def test_a_wrong_outlet_is_named(selected: list[str], message: str) -> None:
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
