"""Recordings: answers that others can follow while they are made, here or by another worker."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from gateway.errors import AnswerGone
from gateway.exchanges.rows import ExchangeRows, Kept, Place
from gateway.exchanges.transcript import Transcript, first_of
from gateway.store.protocol import StoreUnavailable

PAUSE = 0.05
"""How many seconds frames wait for others until they are written, and until somebody else looks for them."""
PULSE = 5.0
"""For how many seconds somebody who follows is believed to do so."""
TOO_LONG = "The answer under this Idempotency-Key was longer than what is kept."
Outcome: TypeAlias = Literal["whole", "broken"]


class Followed(Protocol):
    """An answer that can be followed."""

    @property
    def ended(self) -> bool:
        """Whether the answer is there to its end."""
        ...

    def frames(self, after: int) -> AsyncGenerator[bytes, None]:
        """The head, and what comes after the frame of this number, as it comes. It ends early when the answer breaks.

        Raises:
            AnswerGone: when what comes next is no longer kept.
        """
        ...


@dataclass(eq=False, slots=True)
class _Reader:
    at: int


class Recording:
    """The ``send`` of an answer that is being made. Who writes waits for who reads only when the buffer is full.

    Args:
        most: how many bytes are kept. Of a longer answer only that is, which somebody is still to read.
    """

    def __init__(self, asked: bytes, most: int) -> None:
        self.asked = asked
        self.is_long = False
        self.outcome: Outcome | None = None
        self._transcript = Transcript(numbered=True)
        self._head = b""
        self._kept: deque[bytes] = deque()
        self._first = 1
        self._bytes = 0
        self._most = most
        self._readers: set[_Reader] = set()
        self._alone_since = asyncio.get_running_loop().time()
        self._news = asyncio.Event()

    @property
    def status(self) -> int:
        """The status of the answer, 0 before there is one."""
        return self._transcript.status

    @property
    def ended(self) -> bool:
        """Whether the answer was sent to its end."""
        return self._transcript.ended

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        frames = self._transcript.frames_of(message)
        if not self._head:
            self._head = frames.pop(0)
        for frame in frames:
            await self._add(frame)
        self._tell()

    def finish(self, outcome: Outcome) -> None:
        """Nothing more comes."""
        self.outcome = outcome
        self._tell()

    async def frames(self, after: int) -> AsyncGenerator[bytes, None]:
        reader = _Reader(1)
        self._readers.add(reader)
        try:
            if not await self._next(lambda: bool(self._head)):
                return
            reader.at = first_of(self._head, after)
            if reader.at < self._first:
                raise AnswerGone(TOO_LONG)
            yield self._head
            while await self._next(lambda: reader.at < self._first + len(self._kept)):
                frame = self._kept[reader.at - self._first]
                reader.at += 1
                self._trim()
                yield frame
        finally:
            self._readers.discard(reader)
            self._alone_since = asyncio.get_running_loop().time()
            self._tell()

    def since(self, number: int) -> list[bytes]:
        """What there is from a frame on, the head being the first of all."""
        frames = [self._head, *self._kept] if self._head else []
        return frames[number:]

    @property
    def news(self) -> asyncio.Event:
        """What is set as soon as something is new from now on."""
        return self._news

    async def changed(self, seconds: float, news: asyncio.Event | None = None) -> None:
        """Waits until something is new, or was since ``news`` was asked for, for so many seconds at most."""
        try:
            async with asyncio.timeout(seconds):
                await (news or self._news).wait()
        except TimeoutError:
            pass

    async def abandoned(self, seconds: float, others: Callable[[], Awaitable[bool]]) -> None:
        """Waits until nobody has followed for so many seconds, here or (which ``others`` tells) elsewhere; of an answer
        that is too long to be kept, until nobody does."""
        loop = asyncio.get_running_loop()
        until = 0.0
        while True:
            left = max(until, self._alone_since + seconds) - loop.time()
            if self._readers:
                await self._news.wait()
            elif self.is_long:
                return
            elif left > 0:
                await self.changed(left)
            elif await others():
                until = loop.time() + PULSE
            else:
                return

    async def _next(self, there: Callable[[], bool]) -> bool:
        """Waits for something; False when it will not come any more."""
        while not there():
            if self.outcome is not None:
                return False
            await self._news.wait()
        return True

    async def _add(self, frame: bytes) -> None:
        self._kept.append(frame)
        self._bytes += len(frame)
        self.is_long = self.is_long or self._bytes > self._most
        self._tell()
        self._trim()
        while self._bytes > self._most and len(self._kept) > 1:
            await self._news.wait()
            self._trim()

    def _trim(self) -> None:
        """Of an answer that is too long, leaves out what everybody has read."""
        if not self.is_long:
            return
        read = min((reader.at for reader in self._readers), default=self._first)
        while self._kept and self._first < read:
            self._bytes -= len(self._kept.popleft())
            self._first += 1
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class Elsewhere:
    """An answer that another worker makes, or has made."""

    def __init__(self, rows: ExchangeRows, place: Place) -> None:
        self._rows = rows
        self._place = place
        self.ended = False
        self._said = float("-inf")

    async def frames(self, after: int) -> AsyncGenerator[bytes, None]:
        number, first = 0, 1
        while (kept := await self._look(number)) is not None:
            for frame in kept.frames:
                if number == 0:
                    first = first_of(frame, after)
                if number == 0 or number >= first:
                    yield frame
                number += 1
            self.ended = kept.state == "whole"
            if self.ended:
                return
            await asyncio.sleep(PAUSE)

    async def _look(self, number: int) -> Kept | None:
        """What there is from a frame on; None when there is no more to come. Says now and then that somebody reads."""
        try:
            kept = await self._rows.read(self._place, number)
            now = asyncio.get_running_loop().time()
            if kept is not None and kept.state == "open" and now > self._said + PULSE / 3:
                self._said = now
                await self._rows.follow(self._place, PULSE)
        except StoreUnavailable:
            if number:
                return None
            raise
        if kept is not None and kept.state == "long":
            if number:
                return None
            raise AnswerGone(TOO_LONG)
        return kept
