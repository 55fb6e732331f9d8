"""``max_in_flight=``: how many runs may be in a step at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any
from weakref import WeakKeyDictionary

from graph.compiled.results import as_stream, is_generator_function, settled


def limited(call: Callable[[Any], Any], most: int) -> Callable[[Any], Any]:
    """The call, in which at most so many runs are at once; the others wait in the order of their coming.

    A stream keeps its slot until it ends or is closed.
    """
    slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    def slot() -> asyncio.Semaphore:
        return slots.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(most))

    async def value(given: Any) -> Any:
        async with slot():
            return await settled(call(given))

    async def stream(given: Any) -> AsyncGenerator[Any, None]:
        async with slot(), aclosing(as_stream(call(given))) as chunks:
            async for chunk in chunks:
                yield chunk

    return stream if is_generator_function(call) else value
