"""Streams inside a run: the part of a path that chunks walk, composed of async generators that are pulled."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from graph.compiled.node import Node
from graph.compiled.paths import get_path, set_path
from graph.compiled.results import STREAMS, as_stream, settled
from graph.compiled.tail import stream_on_stream
from graph.errors import StreamOnStream
from graph.event import Event
from graph.running.ahead import ahead

if TYPE_CHECKING:
    from graph.recording.tape import Tape


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
    origin, seen, plain = event.at, event, []
    for node in nodes:
        if not node.expands and node.ahead < 2:
            plain.append(node)
            continue
        source = _mapped(source, plain, seen, origin) if plain else source
        plain = []
        if node.expands:
            source = _expanded(source, node, seen, origin)
        else:
            before, seen = seen, seen.having(None)
            source = _ahead(source, node, before, seen, origin)
    source = _mapped(source, plain, seen, origin) if plain else source
    return source if seen is event else _seen(source, seen, event)


async def _mapped(
    source: AsyncGenerator[Any, None], nodes: Sequence[Node], event: Event, origin: str
) -> AsyncGenerator[Any, None]:
    """One chunk for each, or none."""
    way = [(node, node.name, _call(node, event), node.is_async) for node in nodes]
    async with aclosing(source) as chunks:
        async for chunk in chunks:
            walked = chunk
            for node, name, call, is_async in way:
                event.at = name
                walked = call(walked)
                if is_async or type(walked) is CoroutineType:
                    walked = await walked
                if type(walked) in _SPECIAL:
                    walked = _unwrapped(walked, node, origin)
                    if walked is DROPPED:
                        break
            event.at = origin
            if walked is not DROPPED:
                yield walked


async def _ahead(
    source: AsyncGenerator[Any, None], node: Node, event: Event, after: Event, origin: str
) -> AsyncGenerator[Any, None]:
    """One chunk for each, or none, of a node that may have several in hand."""
    own = event.having(None)
    own.at = node.name
    call = _call(node, own)

    async def make(chunk: Any) -> Any:
        try:
            made = await settled(call(chunk))
            return _unwrapped(made, node, origin) if type(made) in _SPECIAL else made
        except Exception as error:
            raise _Failed(error) from error

    try:
        async with aclosing(ahead(source, node.ahead, make, event, after)) as chunks:
            async for made in chunks:
                if made is not DROPPED:
                    yield made
    except _Failed as failed:
        after.at = node.name
        raise failed.error from failed.error.__cause__


class _Failed(Exception):
    """Around the error of a node that is ahead, to tell it from those of the stream that it is given."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


async def _seen(source: AsyncGenerator[Any, None], seen: Event, event: Event) -> AsyncGenerator[Any, None]:
    """The stream; where an error came from, which ``seen`` knows, is told to the event."""
    try:
        async with aclosing(source) as chunks:
            async for chunk in chunks:
                yield chunk
    except Exception:
        event.at = seen.at
        raise


def _call(node: Node, event: Event) -> Callable[[Any], Any]:
    """What makes of a chunk, or makes something to await that makes of a chunk, what follows."""
    call = node.call if node.bare else partial(_by_options, node, event)
    tape = event.tape
    if tape is None or not node.outside:
        return call
    return lambda chunk: tape.value(node.name, chunk, lambda: settled(call(chunk)))


async def _by_options(node: Node, event: Event, chunk: Any) -> Any:
    """The chunk that a node makes of one, by its paths and by what it works on."""
    event = event.having(chunk)
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
            async with aclosing(_pieces(node, event.tape, given, chunk)) as pieces:
                async for piece in pieces:
                    event.at = origin
                    yield piece
                    event.at = node.name
            event.at = origin


def _pieces(node: Node, tape: Tape | None, given: Any, chunk: Any) -> AsyncGenerator[Any, None]:
    """What a node makes of one chunk, over the tape if there is one and it goes to the outside."""
    if tape is None or not node.outside:
        return as_stream(node.call(given))
    return tape.stream(node.name, chunk, lambda: as_stream(node.call(given)))


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
