"""Leaving: case 30 of the behaviour of serving graphs, through everything that a stream can come through.

A client that has read 3 of 20 chunks and goes stops whoever makes them at the 4th at most, and closes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import pytest

from graph import Choice, Collector, Complete, Event, FlatMap, Flow, Merge, RunError

READ, ALL = 3, 20


def same(body: Any) -> Any:
    return body


async def later(body: Any) -> Any:
    await asyncio.sleep(0)
    return body


class Producer:
    """Makes chunks and counts them; after ``READ`` of them it waits for ever, where it is told to."""

    def __init__(self, *, waits: bool = False) -> None:
        self.made = 0
        self.closed = 0
        self.waits = waits
        self.waiting = asyncio.Event()

    async def do(self, body: Any) -> AsyncGenerator[int, None]:
        try:
            for index in range(ALL):
                if self.waits and index == READ:
                    self.waiting.set()
                    await asyncio.Event().wait()
                self.made += 1
                yield index
        finally:
            await asyncio.sleep(0)
            self.closed += 1


class Again(Choice):
    """Would send every draft back."""

    def select_outlets(self, body: Any) -> str:
        return "producer"


def straight(producer: Producer) -> Flow:
    flow = Flow()
    flow.to(producer, name="producer").respond()
    return flow


def chain(producer: Producer) -> Flow:
    flow = Flow()
    flow.to(same, name="a").to(later, name="b").to(producer, name="producer").respond().to(same, name="after")
    return flow


def mapped(producer: Producer) -> Flow:
    flow = Flow()
    flow.to(producer, name="producer").to(same, name="plain").to(later, name="async").respond()
    return flow


def expanded(producer: Producer) -> Flow:
    flow = Flow()
    flow.to(producer, name="producer").to(FlatMap(lambda chunk: [chunk]), name="each").to(same, name="out").respond()
    return flow


def tee(producer: Producer) -> Flow:
    flow = Flow()
    stream = flow.to(producer, name="producer")
    stream.to(same, name="out").respond()
    stream.to(later, name="side")
    stream.to(Collector(), name="collector").to(same, name="log")
    return flow


def beside(producer: Producer) -> Flow:
    flow = Flow()
    split = flow.to(same, name="split")
    split.to(producer, name="producer").respond()
    split.to(later, name="side").to(same, name="log")
    return flow


def sub_flow(producer: Producer) -> Flow:
    flow = Flow("outer")
    flow.to(mapped(producer), name="inner").to(same, name="out").respond()
    return flow


def sub_flow_in_a_sub_flow(producer: Producer) -> Flow:
    flow = Flow("outermost", max_seconds=60)
    flow.to(sub_flow(producer), name="outer").respond()
    return flow


def after_a_merge(producer: Producer) -> Flow:
    flow = Flow()
    split = flow.to(same, name="split")
    split.to(same, name="one")
    split.to(later, name="two")
    flow.add_step(Merge(), "merge", after=["one", "two"]).to(producer, name="producer").to(same, name="out").respond()
    return flow


def judged(producer: Producer) -> Flow:
    flow = Flow(allow_cyclic=True)
    writer = flow.to(producer, name="producer").respond(drafts="live")
    writer.to(Again(), name="judge").cycle_to("producer")
    return flow


def judged_while_it_grows(producer: Producer) -> Flow:
    class Content(Choice):
        def select_outlets(self, body: Any) -> str:
            return Complete

    flow = Flow(allow_cyclic=True)
    writer = flow.to(producer, name="producer").respond(drafts="live", judge_every=1)
    writer.to(Content(), name="judge").cycle_to("producer")
    return flow


def with_options(producer: Producer) -> Flow:
    flow = Flow(max_seconds=60, max_steps=9)
    step = flow.to(producer, name="producer", timeout=60, retries=2, max_in_flight=1)
    step.to(same, name="out", max_in_flight=1).respond()
    return flow


def with_a_handler(producer: Producer) -> Flow:
    flow = Flow().error_handler(same, name="handler")
    flow.to(producer, name="producer").respond()
    return flow


SHAPES = [
    *(straight, chain, mapped, expanded, tee, beside, sub_flow, sub_flow_in_a_sub_flow, after_a_merge),
    *(judged, judged_while_it_grows, with_options, with_a_handler),
]
shapes = pytest.mark.parametrize("shape", SHAPES)


@shapes
async def test_case_30_leaving_after_three_chunks_stops_the_producer_at_the_fourth(
    shape: Callable[[Producer], Flow],
) -> None:
    """What is made is what was read, and at most one more; closing the answer returns when the producer is closed."""
    producer = Producer()
    flow = shape(producer)
    assert flow.streaming.kind == "live"
    before = asyncio.all_tasks()
    async with aclosing(flow.stream("x")) as chunks:
        assert [await anext(chunks) for _ in range(READ)] == list(range(READ))
        assert producer.closed == 0
    assert producer.made in (READ, READ + 1)
    assert producer.closed == 1
    assert asyncio.all_tasks() == before


@shapes
async def test_case_30_leaving_while_a_chunk_is_made_stops_the_producer_there(
    shape: Callable[[Producer], Flow],
) -> None:
    """A client that is cancelled while it waits for the next chunk closes the producer at once."""
    producer = Producer(waits=True)
    flow = shape(producer)
    got: list[int] = []

    async def read() -> None:
        async with aclosing(flow.stream("x")) as chunks:
            async for chunk in chunks:
                got.append(chunk)

    reading = asyncio.create_task(read())
    await producer.waiting.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert got == list(range(READ))
    assert (producer.made, producer.closed) == (READ, 1)


async def test_case_30_leaving_between_two_drafts_makes_no_third() -> None:
    """In a judged loop whose drafts are live, a client may leave in the second pass; the first has been closed."""
    producer = Producer()
    flow = judged(producer)
    async with aclosing(flow.stream("x")) as chunks:
        for _ in range(ALL + READ):
            await anext(chunks)
        assert producer.closed == 1
    assert producer.made in (ALL + READ, ALL + READ + 1)
    assert producer.closed == 2


async def test_case_30_leaving_before_the_first_chunk_is_asked_for_makes_none() -> None:
    """A run that nobody has pulled has not begun."""
    producer = Producer()
    async with aclosing(mapped(producer).stream("x")):
        pass
    assert (producer.made, producer.closed) == (0, 0)


# --- mechanisms


def to_file(body: str) -> Generator[int, None, None]:
    """Chunks from wherever it runs; what is made and that it was closed are written down."""
    with Path(body).open("a") as log:
        try:
            for index in range(ALL):
                print("made", file=log, flush=True)
                yield index
        finally:
            print("closed", file=log, flush=True)


async def to_file_later(body: str) -> AsyncGenerator[int, None]:
    """The same, async."""
    with closing(to_file(body)) as chunks:
        for chunk in chunks:
            yield chunk


class Inner:
    """A class whose method streams."""

    def do(self, body: str) -> Generator[int, None, None]:
        yield from to_file(body)


MECHANISMS = [
    *(
        ("naive", to_file),
        ("naive", Inner),
        ("asyncio", to_file_later),
        ("thread_pool", to_file),
        ("thread_pool", Inner),
    ),
    *(("process_pool", to_file), ("process_pool", to_file_later), ("dedicated_process", Inner)),
]


@pytest.fixture
def flow() -> Iterator[Flow]:
    """A flow whose processes end with the test."""
    flow = Flow(max_processes=1)
    yield flow
    flow.close()


@pytest.mark.parametrize(("mechanism", "step"), MECHANISMS)
async def test_case_30_leaving_reaches_every_mechanism(flow: Flow, tmp_path: Path, mechanism: Any, step: Any) -> None:
    """On the loop, in a thread, in a process: three chunks are read, four at most are made, and it is closed."""
    log = tmp_path / "log"
    flow.to(step, name="step", execution_mechanism=mechanism).to(same, name="out").respond()
    async with aclosing(flow.stream(str(log))) as chunks:
        assert [await anext(chunks) for _ in range(READ)] == list(range(READ))
    assert log.read_text().split() in (["made"] * READ + ["closed"], ["made"] * (READ + 1) + ["closed"])


async def test_what_a_step_waits_for_may_be_cancelled_without_the_run() -> None:
    """That is an error of the run, as any other; nobody has left it."""

    async def waits(body: Any) -> None:
        given_up = asyncio.get_running_loop().create_future()
        given_up.cancel()
        await given_up

    flow = Flow("waiting")
    flow.to(waits, name="waits").respond()
    run = flow.start(Event({}))
    with pytest.raises(RunError, match="step 'waits': what it waited for was cancelled"):
        await run.result()
    assert isinstance(run.error, RunError)
