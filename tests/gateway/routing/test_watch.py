"""Watch: pulls that take too long, and cancellations that are somebody else's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from math import inf

import pytest

from gateway.routing.watch import Watch
from llm import ChatChunk, UpstreamTimeout


async def numbers(*gates: asyncio.Event) -> AsyncGenerator[ChatChunk, None]:
    """A chunk as soon as each gate is open."""
    for number, gate in enumerate(gates):
        await gate.wait()
        yield ChatChunk(str(number))


def gate(*, opened: bool) -> asyncio.Event:
    """A gate."""
    made = asyncio.Event()
    if opened:
        made.set()
    return made


@pytest.mark.parametrize(("idle", "total"), [(0.01, inf), (inf, 0.01)])
async def test_a_pull_that_takes_too_long_is_given_up(idle: float, total: float) -> None:
    """What came before it came, and the task is not cancelled afterwards."""
    watch, chunks = Watch(idle, total), numbers(gate(opened=True), gate(opened=False))
    assert await watch.pull(chunks) == ChatChunk("0")
    with pytest.raises(UpstreamTimeout):
        await watch.pull(chunks)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)
    watch.close()


async def test_time_between_pulls_is_the_readers() -> None:
    """A client that reads slowly is not an upstream that is silent."""
    watch, go = Watch(0.02, inf), gate(opened=True)
    chunks = numbers(go, go)
    assert await watch.pull(chunks) is not None
    async with asyncio.timeout(5):
        while watch._timer is not None:
            await asyncio.sleep(0)
    assert await watch.pull(chunks) == ChatChunk("1")
    assert await watch.pull(chunks) is None
    watch.close()


async def test_a_cancellation_by_others_goes_through() -> None:
    """A client that leaves cancels, and that is no timeout."""
    watch, chunks = Watch(60, 60), numbers(gate(opened=False))
    pulling = asyncio.create_task(watch.pull(chunks))
    await asyncio.sleep(0)
    pulling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pulling
    watch.close()
