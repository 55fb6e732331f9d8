"""Reduce."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import aclosing
from operator import add
from typing import Any

import pytest

from graph import Cache, Collector, Flow, InvalidStep
from graph.steps.flat_map import Flatten
from graph.steps.reduce import Reduce


def reducing(initial: Any, fn: Any) -> Flow:
    flow = Flow()
    flow.to(Flatten(), name="chunks").to(Reduce(initial, fn), name="reduce").to(
        lambda body: {"got": body}, name="end"
    ).respond()
    return flow


@pytest.mark.parametrize(("body", "reduced"), [([1, 2, 3], 16), ([5], 15), ([], 10)])
async def test_a_stream_becomes_one_body(body: list[int], reduced: int) -> None:
    """Chunk by chunk from the initial value on, which is what a stream of nothing becomes."""
    flow = reducing(10, add)
    assert await flow.run(body) == {"got": reduced}
    assert flow.streaming.kind == "collected"


def counted(so_far: Counter[str], chunk: str) -> Counter[str]:
    so_far[chunk] += 1
    return so_far


@pytest.mark.parametrize("initial", [Counter(), Counter])
async def test_every_run_begins_anew(initial: Any) -> None:
    """A value is copied, a function makes a new one; runs at the same time do not meet in it."""
    flow = reducing(initial, counted)
    answers = list(await asyncio.gather(flow.run("aab"), flow.run("b")))
    assert answers == [{"got": {"a": 2, "b": 1}}, {"got": {"b": 1}}]


async def test_an_event_that_was_not_streamed_is_one_chunk() -> None:
    """It is added to the initial value, with full_event too."""
    for full_event in (False, True):
        flow = Flow()
        flow.to(Reduce(10, add), name="reduce", full_event=full_event).respond()
        assert await flow.run(1) == 11


async def test_a_reduce_that_responds_answers_with_one_body() -> None:
    """What it makes of the stream is the answer, as a run and as a stream."""
    flow = Flow()
    flow.to(Flatten(), name="chunks").to(Reduce(0, add), name="reduce").respond()
    assert await flow.run([1, 2, 3]) == 6
    async with aclosing(flow.stream([1, 2, 3])) as chunks:
        assert [chunk async for chunk in chunks] == [6]
    assert flow.streaming.kind == "collected"


def test_only_a_plain_function_folds() -> None:
    """An async one, and what cannot be called, are refused when the step is made."""

    async def later(so_far: Any, chunk: Any) -> Any:
        return so_far

    for fn in (later, 3):
        with pytest.raises(InvalidStep, match="fn must be a plain function of two arguments"):
            Reduce(0, fn)  # type: ignore[arg-type]


@pytest.mark.parametrize(("step", "made"), [(Reduce(0, add), 3), (Collector(), [1, 2])])
async def test_what_gathers_a_stream_is_given_the_path_of_each_chunk(step: Any, made: Any) -> None:
    """As of a whole event."""
    flow = Flow()
    flow.to(Flatten(), name="chunks").to(step, name="gather", input_path="n").respond()
    assert await flow.run([{"n": 1}, {"n": 2}]) == made


async def test_an_error_in_folding_is_one_of_the_step_that_folds() -> None:
    """Its own handler takes it, and not that of the step that streams."""
    flow = Flow()
    chunks = flow.to(Flatten(), name="chunks").error_handler(lambda body: "wrong", name="wrong")
    folding = chunks.to(Reduce(0, add), name="sum").respond()
    folding.error_handler(lambda event: event.origin_state, name="handler", full_event=True)
    assert await flow.run([1, "two"]) == "sum"


@pytest.mark.parametrize(
    "options", [{"retries": 1}, {"max_in_flight": 2}, {"execution_mechanism": "thread_pool"}, {"cache": Cache(str)}]
)
def test_options_of_calls_are_refused_where_a_stream_is_gathered(options: dict[str, Any]) -> None:
    """They did nothing."""
    flow = Flow()
    flow.to(Flatten(), name="chunks").to(Reduce(0, add), name="sum", **options).respond()
    with pytest.raises(InvalidStep, match="step 'sum' gathers a stream"):
        flow.validate()
