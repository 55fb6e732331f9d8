"""Ahead: a step that may have several of a stream's chunks in hand at once, and gives them back in their order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeAlias

from graph.event import Event

Making: TypeAlias = asyncio.Task[Any] | None


async def ahead(
    source: AsyncGenerator[Any, None], most: int, make: Callable[[Any], Awaitable[Any]], event: Event, after: Event
) -> AsyncGenerator[Any, None]:
    """What ``make`` makes of each chunk, ``most`` of them at once, in the order of the chunks.

    The source is pulled as long as there is room; what has been made and not been pulled takes room too. So whoever
    leaves stops the source at most ``most`` chunks later, and everything that is being made with it.

    Args:
        source: the stream.
        most: how many chunks may be on their way here.
        make: the step.
        event: the event as those before the step see it. They work while those after it do, so
        after: is the event as those after the step see it; its ``at`` says where an error came from.
    """
    room = asyncio.Semaphore(most)
    begun: asyncio.Queue[Making] = asyncio.Queue()
    pump = asyncio.create_task(_pump(source, make, room, begun))
    making: Making = None
    try:
        while (making := await begun.get()) is not None:
            yield await making
            room.release()
        after.at = event.at
        await pump
    finally:
        await _end(pump, making, begun)


async def _pump(
    source: AsyncGenerator[Any, None],
    make: Callable[[Any], Awaitable[Any]],
    room: asyncio.Semaphore,
    begun: asyncio.Queue[Making],
) -> None:
    """Pulls the source while there is room, and begins to make something of each chunk."""
    try:
        async with aclosing(source) as chunks:
            await room.acquire()
            async for chunk in chunks:
                begun.put_nowait(asyncio.ensure_future(make(chunk)))
                await room.acquire()
    finally:
        begun.put_nowait(None)


async def _end(pump: asyncio.Task[None], making: Making, begun: asyncio.Queue[Making]) -> None:
    """Cancels what is still going, and waits until it is closed."""
    pump.cancel()
    await asyncio.gather(pump, return_exceptions=True)
    left = [making, *(begun.get_nowait() for _ in range(begun.qsize()))]
    tasks = [task for task in left if task is not None]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
