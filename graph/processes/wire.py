"""The wire between a run and a worker process: a length, then a pickle. One asks, the other replies, by turns."""

from __future__ import annotations

import asyncio
import pickle
import socket
from struct import Struct
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from graph.event import Event
    from graph.processes.parcel import Changes

HEADER = Struct("!Q")
READ_AT_ONCE = 1 << 16
Kind: TypeAlias = Literal["value", "event", "chunk", "end", "error"]


class Reply(NamedTuple):
    """What a worker answers.

    Attributes:
        kind: ``value``; ``event`` for the event that it was given; ``chunk`` when more may follow; ``end`` of a stream;
            ``error``.
        value: the value or the chunk; of an error its :class:`graph.processes.failure.Failure`.
        changes: what the step has changed in the event that it was given; with the last reply to a call.
    """

    kind: Kind
    value: Any = None
    changes: Changes | None = None

    def settle(self, event: Event | None) -> Any:
        """What a call made, at its end; what it changed is written into the event.

        Raises:
            Exception: what the step raised.
        """
        if self.changes is not None and event is not None:
            self.changes.apply(event)
        if self.kind == "error":
            raise self.value.raised()
        return event if self.kind == "event" else self.value


def framed(message: Any) -> bytes:
    """The message as it goes over the wire. It raises what pickle raises."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return HEADER.pack(len(body)) + body


class Frame:
    """A message that arrives piece by piece."""

    def __init__(self) -> None:
        self._got = bytearray()
        self._size = HEADER.size

    @property
    def missing(self) -> int:
        """How many bytes are still to come, as far as is known."""
        return self._size - len(self._got)

    def feed(self, piece: bytes) -> None:
        """Adds the next piece.

        Raises:
            EOFError: when it is empty, which is how a socket says that the other side has gone.
        """
        if not piece:
            raise EOFError
        self._got += piece
        if self._size == HEADER.size <= len(self._got):
            self._size += HEADER.unpack_from(self._got)[0]

    def opened(self) -> Any:
        """The message. It raises whatever unpickling raises."""
        return pickle.loads(memoryview(self._got)[HEADER.size :])  # noqa: S301 - both sides are ours


async def received(connection: socket.socket) -> Frame:
    """The next message on a socket that does not block.

    Raises:
        EOFError, OSError: when the other side has gone.
    """
    loop, frame = asyncio.get_running_loop(), Frame()
    while frame.missing:
        frame.feed(await loop.sock_recv(connection, max(frame.missing, READ_AT_ONCE)))
    return frame


def read(connection: socket.socket) -> Frame:
    """The next message on a socket that blocks.

    Raises:
        EOFError, OSError: when the other side has gone.
    """
    frame = Frame()
    while frame.missing:
        frame.feed(connection.recv(max(frame.missing, READ_AT_ONCE)))
    return frame
