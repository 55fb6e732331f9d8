"""FlatMap and Flatten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterable
from contextlib import aclosing
from typing import Any

import pytest

from graph import Batch, Collector, Event, Filter, Flow, InvalidStep, RunError
from graph.steps.flat_map import FlatMap, Flatten


def one(step: Any, **options: Any) -> Flow:
    flow = Flow()
    flow.to(step, name="step", **options).respond()
    return flow


async def read(flow: Flow, body: Any) -> list[Any]:
    async with aclosing(flow.stream(body)) as chunks:
        return [chunk async for chunk in chunks]


def split(body: str) -> Generator[str, None, None]:
    yield from body.split()


async def split_later(body: str) -> list[str]:
    await asyncio.sleep(0)
    return body.split()


async def split_as_it_comes(body: str) -> AsyncGenerator[str, None]:
    for word in body.split():
        await asyncio.sleep(0)
        yield word


def not_awaited(body: str) -> Any:
    return split_later(body)


def not_seen(body: str) -> Any:
    return split_as_it_comes(body)


class Counting:
    """An async iterator that is no generator."""

    def __init__(self, body: str) -> None:
        self.words = iter(body.split())

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        for word in self.words:
            return word
        raise StopAsyncIteration


async def counting(body: str) -> Counting:
    return Counting(body)


@pytest.mark.parametrize("fn", [str.split, split, split_later, split_as_it_comes, counting])
async def test_every_element_is_a_chunk(fn: Any) -> None:
    """Whatever way the function makes them: a list, a generator, later, or as they come."""
    flow = one(FlatMap(fn))
    assert await read(flow, "a b c") == ["a", "b", "c"]
    assert flow.streaming.kind == "live"


async def test_elements_leave_before_the_next_is_made() -> None:
    """The client has the first while the function is at the second."""
    go_on = asyncio.Event()

    async def halting(body: Any) -> AsyncGenerator[str, None]:
        yield "first"
        await go_on.wait()
        yield "second"

    async with aclosing(one(FlatMap(halting)).stream()) as chunks:
        assert await anext(chunks) == "first"
        go_on.set()
        assert await anext(chunks) == "second"


@pytest.mark.parametrize("awaited", [False, True])
async def test_a_client_that_leaves_closes_the_generator(awaited: bool) -> None:
    """What the function has open is closed, and no element more than needed is made."""
    made: list[Any] = []

    def plain(body: Any) -> Generator[int, None, None]:
        try:
            for number in range(20):
                made.append(number)
                yield number
        finally:
            made.append("closed")

    async def later(body: Any) -> Any:
        return plain(body)

    async with aclosing(one(FlatMap(later if awaited else plain)).stream()) as chunks:
        assert [await anext(chunks) for _ in range(3)] == [0, 1, 2]
    assert made == [0, 1, 2, "closed"]


@pytest.mark.parametrize("fn", [str.split, split_as_it_comes])
async def test_case_16_nothing_is_an_empty_stream(fn: Any) -> None:
    """A FlatMap to nothing ends the run with a defined answer."""
    flow = one(FlatMap(fn))
    assert await read(flow, "") == []
    assert await flow.run("") == []


@pytest.mark.parametrize("fn", [str.split, split_as_it_comes])
async def test_of_the_chunks_of_a_stream_it_makes_any_number(fn: Any) -> None:
    """None, one or several for each, in order, between other steps on chunks."""

    async def lines(body: str) -> AsyncGenerator[str, None]:
        for line in body.split("\n"):
            yield line

    flow = Flow()
    flow.to(lines).to(str.lower, name="lower").to(FlatMap(fn), name="words").to(
        Filter(lambda word: word != "b"), name="filter"
    ).to(str.title, name="title").respond()
    assert flow.streaming.kind == "live"
    assert await read(flow, "A B\n\nC\nB") == ["A", "C"]


async def test_two_in_a_row_make_one_stream() -> None:
    """A FlatMap after a FlatMap is no stream on a stream."""
    flow = Flow()
    flow.to(Flatten(), name="lists").to(Flatten(), name="elements").to(Collector(), name="collector").respond()
    assert await flow.run([[1, 2], [], [3]]) == [1, 2, 3]


async def test_with_the_event_and_an_expression() -> None:
    """MLRun's line for the elements of a body, word for word."""
    flow = Flow()
    flow.to(FlatMap, name="elements", _fn="(event.body)", full_event=True).respond()
    assert await flow.run([1, 2]) == [1, 2]
    chunks = Flow()
    chunks.to(Flatten(), name="a").to(FlatMap, name="b", _fn="(event.body)", full_event=True).respond()
    assert await chunks.run([[1], [2, 3]]) == [1, 2, 3]


@pytest.mark.parametrize("full_event", [False, True])
async def test_case_17_after_a_batch_each_run_gets_its_element(full_event: bool) -> None:
    """Events of three requests, two of which went together, all have an answer of their own."""

    async def model(bodies: list[Any]) -> list[Any]:
        return bodies

    flow = Flow()
    flow.to(Batch(2, flush_after_seconds=0.01), name="batch", full_event=full_event).to(model).to(
        FlatMap, name="flat", _fn="(event.body)", full_event=True
    ).respond()
    assert await asyncio.gather(*(flow.run(name) for name in "abc")) == ["a", "b", "c"]


async def test_an_event_among_the_elements_is_its_body() -> None:
    """As where a step before has gathered whole events."""
    assert await one(Flatten()).run([Event(1), Event(2), 3]) == [1, 2, 3]


async def test_a_plain_function_can_have_a_thread() -> None:
    """The function follows the options of the step."""
    assert await one(FlatMap(split), execution_mechanism="thread_pool").run("a b") == ["a", "b"]
    with pytest.raises(InvalidStep, match="a plain def cannot be stopped"):
        one(FlatMap(split), timeout=1).validate()
    assert await one(FlatMap(split_as_it_comes), timeout=1).run("a b") == ["a", "b"]


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (len, "was given a int"),
        (not_awaited, "was given a coroutine; write async def"),
        (not_seen, "was given a async_generator; write async def"),
    ],
)
async def test_what_cannot_be_iterated_over_is_named(fn: Any, message: str) -> None:
    """The error says what there was instead, and a remedy where there is one."""
    with pytest.raises(RunError, match=message):
        await one(FlatMap(fn)).run("a b")


async def test_flatten_takes_any_iterable() -> None:
    """The body itself is iterated over."""
    bodies: list[Iterable[int]] = [(1, 2), range(1, 3), iter([1, 2])]
    for body in bodies:
        assert await one(Flatten()).run(body) == [1, 2]
