"""Streams inside a run: the part of a path that chunks walk, composed of async generators that are pulled."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from types import CoroutineType
from typing import Any, Final

from graph.errors import StreamOnStream
from graph.event import Event
from graph.node import Node
from graph.paths import get_path, set_path
from graph.results import STREAMS, as_stream, settled
from graph.tail import stream_on_stream


class _Dropped:
    """The type of :data:`DROPPED`."""

    def __repr__(self) -> str:
        return "DROPPED"

    def __reduce__(self) -> str:
        return "DROPPED"  # copies of it, and what another process sends, are the same object


_SPECIAL = frozenset((Event, _Dropped, *STREAMS))
DROPPED: Final = _Dropped()
"""What a step returns to end the way of an event, or of one chunk, without an answer (see :class:`graph.Filter`)."""


def through(source: AsyncGenerator[Any, None], nodes: Sequence[Node], event: Event) -> AsyncGenerator[Any, None]:
    """The stream after each of its chunks has walked ``nodes``; a chunk that one of them drops goes no further."""
    origin, plain = event.at, []
    for node in nodes:
        if not node.expands:
            plain.append(node)
            continue
        source = _expanded(_mapped(source, plain, event, origin) if plain else source, node, event, origin)
        plain = []
    return _mapped(source, plain, event, origin) if plain else source


async def _mapped(
    source: AsyncGenerator[Any, None], nodes: Sequence[Node], event: Event, origin: str
) -> AsyncGenerator[Any, None]:
    """One chunk for each, or none."""
    way = [(node, node.name, node.call if node.bare else None, node.is_async) for node in nodes]
    async with aclosing(source) as chunks:
        async for chunk in chunks:
            walked = chunk
            for node, name, call, is_async in way:
                event.at = name
                if call is not None:
                    walked = call(walked)
                    if is_async or type(walked) is CoroutineType:
                        walked = await walked
                else:
                    walked = await _by_options(node, event.having(walked))
                if type(walked) in _SPECIAL:
                    walked = _unwrapped(walked, node, origin)
                    if walked is DROPPED:
                        break
            event.at = origin
            if walked is not DROPPED:
                yield walked


async def _by_options(node: Node, event: Event) -> Any:
    """The chunk that a node makes of one, which is the body of ``event``, by its paths and by what it works on."""
    given = event if node.full_event else get_path(event.body, node.input_path)
    made = await settled(node.call(given))
    if node.full_event and made is None:
        return event.body
    if node.result_path and type(made) not in _SPECIAL:
        set_path(event.body, node.result_path, made)
        return event.body
    return made


async def _expanded(
    source: AsyncGenerator[Any, None], node: Node, event: Event, origin: str
) -> AsyncGenerator[Any, None]:
    """Any number of chunks for each."""
    async with aclosing(source) as chunks:
        async for chunk in chunks:
            event.at = node.name
            given = event.having(chunk) if node.full_event else get_path(chunk, node.input_path)
            async with aclosing(as_stream(node.call(given))) as pieces:
                async for piece in pieces:
                    event.at = origin
                    yield piece
                    event.at = node.name
            event.at = origin


def _unwrapped(made: Any, node: Node, origin: str) -> Any:
    """The chunk in what a step returned that is no plain chunk."""
    if isinstance(made, STREAMS):
        raise StreamOnStream(stream_on_stream(node.name, origin))
    return made.body if isinstance(made, Event) else made


# --- a stream for several readers


WINDOW = 16
"""How many chunks a side branch may be behind the main one before that waits for it."""


class Window:
    """A bounded window between the stream and a side branch that reads it too."""

    def __init__(self, size: int = WINDOW) -> None:
        self._chunks: deque[Any] = deque()
        self._size = size
        self._changed = asyncio.Event()
        self._ended = False
        self._abandoned = False

    async def put(self, chunk: Any) -> None:
        """Adds a chunk, once there is room; nothing when nobody reads any more."""
        while len(self._chunks) >= self._size and not self._abandoned:
            await self._change()
        if not self._abandoned:
            self._chunks.append(chunk)
            self._changed.set()

    def end(self) -> None:
        """Says that no chunk will follow."""
        self._ended = True
        self._changed.set()

    async def chunks(self) -> AsyncGenerator[Any, None]:
        """The chunks, for the one reader."""
        try:
            while self._chunks or not self._ended:
                if not self._chunks:
                    await self._change()
                    continue
                chunk = self._chunks.popleft()
                self._changed.set()
                yield chunk
        finally:
            self._abandoned = True
            self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


async def fed(
    source: AsyncGenerator[Any, None], windows: Sequence[Window], readers: Iterable[asyncio.Task[Any]]
) -> AsyncGenerator[Any, None]:
    """The stream, each chunk of which is put into the windows too. When it breaks, the readers are cancelled."""
    whole = False
    try:
        async with aclosing(source) as chunks:
            async for chunk in chunks:
                for window in windows:
                    await window.put(chunk)
                yield chunk
        whole = True
    finally:
        for window in windows:
            window.end()
        if not whole:
            for reader in readers:
                reader.cancel()
