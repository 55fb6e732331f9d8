"""The events of a response that is made in the background, for whoever follows it, now or later."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

from gateway.errors import InvalidBody

MAX_BYTES = 4 * 2**20
"""How much of the events can be followed later; the oldest go first."""
END = b"\n\n"


class EventLog:
    """Events by their numbers, from 0 on. Who writes never waits for who reads."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: deque[bytes] = deque()
        self._first = 0
        self._bytes = 0
        self._over = False
        self._news = asyncio.Event()

    def add(self, frames: bytes) -> None:
        """Takes in some more, each of which ends with an empty line."""
        for event in frames.split(END)[:-1]:
            self._kept.append(event + END)
            self._bytes += len(self._kept[-1])
        while self._bytes > self._max_bytes:
            self._bytes -= len(self._kept.popleft())
            self._first += 1
        self._tell()

    def end(self) -> None:
        """Nothing more comes."""
        self._over = True
        self._tell()

    def check(self, number: int) -> None:
        """Looks whether an event can still be read.

        Raises:
            InvalidBody: when it is no longer kept.
        """
        if number < self._first:
            raise InvalidBody(f"The events of this response before number {self._first} are no longer kept.")

    async def follow(self, number: int) -> AsyncGenerator[bytes, None]:
        """The events from a number on, as they come.

        Raises:
            InvalidBody: when the next one is no longer kept.
        """
        while True:
            self.check(number)
            if number < self._first + len(self._kept):
                yield self._kept[number - self._first]
                number += 1
            elif self._over:
                return
            else:
                await self._news.wait()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
