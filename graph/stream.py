"""Streams inside a run: the part of a path that chunks walk, composed of async generators that are pulled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import aclosing, closing
from types import AsyncGeneratorType, CoroutineType
from typing import Any, Final

from graph.errors import StreamOnStream
from graph.event import Event
from graph.plan import DYNAMIC, Node, stream_on_stream


class _Dropped:
    """The type of :data:`DROPPED`."""

    def __repr__(self) -> str:
        return "DROPPED"


DROPPED: Final = _Dropped()
"""What a step returns to end the way of an event, or of one chunk, without an answer (see :class:`graph.Filter`)."""


def as_async(source: Any) -> AsyncGenerator[Any, None]:
    """The generator, async; a sync one lets the loop breathe after each chunk."""
    return source if isinstance(source, AsyncGeneratorType) else _stepped(source)


async def _stepped(source: Generator[Any, None, None]) -> AsyncGenerator[Any, None]:
    with closing(source):
        for chunk in source:
            yield chunk
            await asyncio.sleep(0)


async def through(source: AsyncGenerator[Any, None], nodes: Iterable[Node], event: Event) -> AsyncGenerator[Any, None]:
    """The stream after each of its chunks has walked ``nodes``; a chunk that one of them drops goes no further."""
    origin = event.at
    async with aclosing(source) as chunks:
        async for chunk in chunks:
            walked = chunk
            for node in nodes:
                event.at = node.name
                walked = await _apply(node, walked, event, origin)
                if walked is DROPPED:
                    break
            event.at = origin
            if walked is not DROPPED:
                yield walked


async def _apply(node: Node, chunk: Any, event: Event, origin: str) -> Any:
    made = node.call(event.having(chunk) if node.full_event else chunk)
    if isinstance(made, DYNAMIC):
        if not isinstance(made, CoroutineType):
            raise StreamOnStream(stream_on_stream(node.name, origin))
        made = await made
    return made.body if isinstance(made, Event) else made
