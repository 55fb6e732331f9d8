"""Answer: what one request was answered, filled by its connection and emptied by who asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from llm.errors import UpstreamBrokeOff, UpstreamError, UpstreamGarbled, UpstreamTimeout, UpstreamUnreachable
from llm.http1.coding import REFUSED, UNPACKED, Inflater
from llm.http1.head import FRAMING
from llm.transport import MAX_ANSWER_BYTES

if TYPE_CHECKING:
    from llm.http1.connection import Connection

ROOM = 256 * 1024
"""How many bytes of a body lie here for a reader before the connection is no longer read."""
REST = 64 * 1024
"""How many bytes may still come of an answer that has said that it is over."""


class Answer:
    """A :class:`~llm.transport.Response`. The names of headers are in lower case; of several the first one counts.

    What has come lies here, not in the connection: that one is free for another request as soon as its last byte came.

    Attributes:
        heard: whether a byte has come.
        ended: whether nothing comes any more.
        fault: why, if it did not end as it should.
        ends: until when it may take, by the clock of the loop.
        left: whether nobody wants the rest of it.
    """

    __slots__ = (
        "_connection",
        "_inflater",
        "_parts",
        "_size",
        "_waiter",
        "ended",
        "ends",
        "fault",
        "headers",
        "heard",
        "left",
        "status",
        "url",
    )

    def __init__(self, connection: Connection, url: str, ends: float | None) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.url = url
        self.ends = ends
        self.heard = self.ended = self.left = False
        self.fault: UpstreamError | None = None
        self._connection = connection
        self._inflater: Inflater | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None

    # --- for who asked

    async def begun(self) -> None:
        """Waits for the head, or for the end of the connection."""
        while not self.status and not self.ended:
            await self._more()

    async def read(self) -> bytes:
        body = bytearray()
        while piece := await self._piece():
            body += piece
            if len(body) > MAX_ANSWER_BYTES:
                raise UpstreamGarbled(f"the answer from {self.url} is longer than {MAX_ANSWER_BYTES} bytes")
        return bytes(body)

    async def reads(self) -> AsyncGenerator[bytes, None]:
        while piece := await self._piece():
            yield piece

    def leave(self) -> None:
        if not self.ended:
            self.left = True
            self._empty()
            self._connection.linger()

    def close(self) -> None:
        if not self.ended and not self.left:
            self._connection.abort()

    async def _piece(self) -> bytes:
        """What has come; nothing at the end."""
        if self._inflater is None:
            return await self._came()
        while not (piece := self._inflater.piece()):
            packed = await self._came()
            if not packed:
                self._inflater.finish()
                break
            self._inflater.feed(packed)
        return piece

    async def _came(self) -> bytes:
        if self.ends is not None and not self.ended and self.ends <= asyncio.get_running_loop().time():
            self._connection.abort(UpstreamTimeout(f"no answer in time from {self.url}"))
        while not self._parts:
            if self.fault is not None:
                raise self.fault
            if self.ended or self.left:
                return b""
            await self._more()
        came = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._empty()
        return came

    def _empty(self) -> None:
        self._parts.clear()
        full, self._size = self.full, 0
        if full and not self.ended:
            self._connection.resume()

    async def _more(self) -> None:
        self._waiter = self._connection.awaited(self.ends)
        try:
            await self._waiter
        finally:
            self._waiter = None

    # --- for its connection

    @property
    def waiting(self) -> bool:
        """Whether somebody waits for more."""
        return self._waiter is not None

    @property
    def full(self) -> bool:
        """Whether as much has come as there is room for."""
        return self._size > (REST if self.left else ROOM)

    def begin(self, status: int) -> None:
        """The head has come.

        Raises:
            ValueError: when it says that the body comes in a way that was not offered.
        """
        if self.headers.get("transfer-encoding", "chunked").lower() != "chunked":
            raise ValueError("transfer-encoding")
        coding = self.headers.get("content-encoding", "").strip().lower()
        if coding in REFUSED:
            raise ValueError("content-encoding")
        if coding in UNPACKED:
            self._inflater = Inflater(coding, self.url)
        self.status = status
        self._wake()

    def put(self, data: bytes) -> None:
        """Some of the body has come."""
        self._size += len(data)
        if not self.left:
            self._parts.append(data)
            self._wake()

    def end(self, fault: UpstreamError | None = None) -> None:
        """Nothing more comes."""
        self.ended = True
        self.fault = fault
        self._wake()

    def cut(self, error: Exception | None) -> None:
        """The other side has closed the connection; a body whose length nothing tells is whole then."""
        if self.status and error is None and not any(name in self.headers for name in FRAMING):
            self.end()
        else:
            broken = UpstreamBrokeOff if self.status else UpstreamUnreachable
            kind = type(error or ConnectionResetError()).__name__
            self.end(broken(f"the connection to {self.url} failed ({kind})"))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
