"""Memory: what runs leave behind, however they end, is nothing.

Objects that the garbage collector knows are counted, after a collection, and after a warm-up: that number does not
depend on the machine. The size of the process is a second look, and a loose one.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from itertools import pairwise
from typing import Any

import pytest

from graph import Choice, Collector, Flow, Merge

RUNS, ITERATIONS = 10_000, 50
FEW = 300
SPARE = 50
"""Objects that may come and go for reasons that are not runs, such as a cache of the interpreter that grows."""


class Again(Choice):
    """Goes back until it has been fifty rounds."""

    def select_outlets(self, body: int) -> str:
        return "count" if body < ITERATIONS else "end"


def count(body: int) -> int:
    return body + 1


def same(body: Any) -> Any:
    return body


def cycle() -> Flow:
    flow = Flow(allow_cyclic=True)
    flow.to(count, name="count").to(Again(), name="again").cycle_to("count").to(same, name="end").respond()
    return flow


def objects() -> int:
    """How many objects the garbage collector knows once it has taken what it can."""
    gc.collect()
    return len(gc.get_objects())


def megabytes() -> float:
    """The largest size that the process has had so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


async def growth(once: Callable[[], Awaitable[Any]], times: int) -> int:
    """How many objects more there are after so many runs than before them, a few having been. The least of three
    times: what runs leave they leave each time, and what else the process does comes once."""
    gc.enable()  # as it is but in tests, see tests/conftest.py
    counts = []
    for runs in (20, times, times, times):
        for _ in range(runs):
            await once()
        counts.append(objects())
    return min(after - before for before, after in pairwise(counts))


async def test_ten_thousand_runs_of_a_cycle_leave_memory_where_it_was() -> None:
    """Fifty iterations each, and afterwards there are as many objects as before, and the process has not grown."""
    flow = cycle()
    assert await flow.run(0) == ITERATIONS
    before = megabytes()
    assert await growth(lambda: flow.run(0), RUNS) < SPARE
    assert megabytes() - before < 8


async def test_one_long_run_takes_no_more_than_a_short_one() -> None:
    """A hundred thousand iterations keep nothing of each other: near the end as much is alive as at the start."""
    seen: list[int] = []

    class Long(Choice):
        def select_outlets(self, body: int) -> str:
            if body in (1_000, 50_000, 99_000):
                seen.append(objects())
            return "count" if body < 100_000 else "end"

    flow = Flow(allow_cyclic=True, max_iterations=100_000)
    flow.to(count, name="count").to(Long(), name="again").cycle_to("count").to(same, name="end").respond()
    assert await flow.run(0) == 100_000
    assert max(seen) - min(seen) < SPARE


# --- other ways to end


async def words(body: Any) -> AsyncGenerator[int, None]:
    for index in range(20):
        await asyncio.sleep(0)
        yield index


def broken(body: Any) -> Any:
    raise ValueError("broken")


async def stuck(body: Any) -> Any:
    await asyncio.Event().wait()


def failing() -> Flow:
    flow = Flow()
    flow.to(same, name="first").to(broken, name="broken").respond()
    return flow


def handled() -> Flow:
    flow = Flow().error_handler(lambda body: "sorry", name="sorry")
    flow.to(same, name="first").to(broken, name="broken").respond()
    return flow


def over_its_limit() -> Flow:
    flow = cycle()
    flow.max_iterations = 3
    return flow


def failing_in_a_branch() -> Flow:
    flow = Flow()
    split = flow.to(same, name="split")
    split.to(broken, name="broken")
    split.to(stuck, name="stuck")
    flow.add_step(Merge(), "merge", after=["broken", "stuck"]).respond()
    return flow


def failing_beside() -> Flow:
    flow = Flow()
    split = flow.to(same, name="split")
    split.to(words, name="words").respond()
    split.to(broken, name="broken")
    return flow


async def fail_late(body: Any) -> AsyncGenerator[int, None]:
    yield 1
    raise ValueError("broken")


def failing_late() -> Flow:
    flow = Flow()
    stream = flow.to(fail_late, name="stream")
    stream.to(same, name="out").respond()
    stream.to(Collector(), name="collector").to(same, name="log")
    return flow


@pytest.mark.parametrize("build", [failing, handled, over_its_limit, failing_in_a_branch, failing_beside, failing_late])
async def test_runs_that_fail_leave_nothing(build: Callable[[], Flow]) -> None:
    """In a line, under a cap, on a branch, beside the answer, after the first chunk; handled or not."""
    flow = build()

    async def once() -> None:
        with suppress(ValueError, RuntimeError):
            await flow.run(0)

    assert await growth(once, FEW) < SPARE


def in_a_branch() -> Flow:
    flow = Flow()
    split = flow.to(same, name="split")
    split.to(stuck, name="one")
    split.to(stuck, name="two")
    flow.add_step(Merge(), "merge", after=["one", "two"]).respond()
    return flow


def in_a_line() -> Flow:
    flow = Flow(max_seconds=60)
    flow.to(same, name="first").to(stuck, name="stuck", timeout=60).respond()
    return flow


def in_a_flow_inside() -> Flow:
    flow = Flow("outer")
    flow.to(in_a_branch(), name="inner").respond()
    return flow


@pytest.mark.parametrize("build", [in_a_line, in_a_branch, in_a_flow_inside])
async def test_runs_that_are_cancelled_leave_nothing(build: Callable[[], Flow]) -> None:
    """A run that is cancelled while a step waits, in a line, on parallel paths, in a flow inside."""
    flow = build()

    async def once() -> None:
        task = asyncio.create_task(flow.run(0))
        for _ in range(8):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    assert await growth(once, FEW) < SPARE


def streaming() -> Flow:
    flow = Flow()
    stream = flow.to(words, name="words")
    stream.to(same, name="out").respond()
    stream.to(Collector(), name="collector").to(same, name="log")
    return flow


def streaming_inside() -> Flow:
    flow = Flow("outer")
    flow.to(streaming(), name="inner").to(same, name="out").respond()
    return flow


def streaming_drafts() -> Flow:
    flow = Flow(allow_cyclic=True)

    class Back(Choice):
        def select_outlets(self, body: Any) -> str:
            return "words"

    flow.to(words, name="words").respond(drafts="live").to(Back(), name="back").cycle_to("words")
    return flow


@pytest.mark.parametrize("build", [streaming, streaming_inside, streaming_drafts])
@pytest.mark.parametrize("reads", [0, 1, 3])
async def test_streams_that_are_left_leave_nothing(build: Callable[[], Flow], reads: int) -> None:
    """A client that goes before the first chunk, after it, or later."""
    flow = build()

    async def once() -> None:
        async with aclosing(flow.stream(0)) as chunks:
            for _ in range(reads):
                await anext(chunks)

    assert await growth(once, FEW) < SPARE
