"""Making: an answer on its way into a cache, and who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping, Sequence
from typing import Any

from gateway.edge.context import Send
from gateway.exchanges.transcript import Transcript

ANSWERED = 200
PATIENCE = 5.0
"""For how many seconds the client that an answer is made for may take nothing of it, until others stop waiting."""


class Making:
    """The ``send`` of an answer that is being made, which takes down what it sends, up to ``most`` bytes.

    Who asks the same meanwhile may :meth:`wait` for it, and is given it only once it is whole: nobody is told the
    beginning of an answer that then breaks. Its last message waits for :meth:`close`, so that whoever has the whole
    answer finds it in the cache.
    """

    def __init__(self, send: Send, most: int, patience: float = PATIENCE) -> None:
        self.frames: list[bytes] | None = []
        self.waiting = 0
        self._send = send
        self._left = most
        self._patience = patience
        self._transcript = Transcript(numbered=False)
        self._last: MutableMapping[str, Any] | None = None
        self._sends_since: float | None = None
        self._made: Sequence[bytes] = ()
        self._over = asyncio.Event()
        self._alone = asyncio.Event()

    @property
    def whole(self) -> Sequence[bytes]:
        """The answer, if it was sent to its end, is one, and not too long; else nothing."""
        is_whole = self._transcript.ended and self._transcript.status == ANSWERED
        return (self.frames or ()) if is_whole else ()

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if self.frames is not None:
            more = self._transcript.frames_of(message)
            self._left -= sum(map(len, more))
            self.frames.extend(more)
            if self._left < 0:
                self.spoil()
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._last = message
            return
        self._sends_since = asyncio.get_running_loop().time()
        await self._send(message)
        self._sends_since = None

    async def wait(self) -> Sequence[bytes]:
        """The answer, once it is whole; nothing, as soon as it is clear that it will not be kept."""
        self.waiting += 1
        try:
            while not self._over.is_set() and not self._stalls():
                try:
                    async with asyncio.timeout(self._patience):
                        await self._over.wait()
                except TimeoutError:
                    pass
            return self._made
        finally:
            self.waiting -= 1
            self._alone.set()

    async def alone(self) -> None:
        """Waits until nobody waits: as long as somebody does, it goes on to be made without its own client."""
        while self.waiting:
            self._alone.clear()
            await self._alone.wait()

    def finish(self, made: Sequence[bytes]) -> None:
        """Tells who waits; what is told first holds."""
        if not self._over.is_set():
            self._made = made
            self._over.set()

    def spoil(self) -> None:
        """It will not be kept: nobody need wait for it."""
        self.frames = None
        self.finish(())

    async def close(self) -> None:
        """Sends the last message."""
        if self._last is not None:
            await self._send(self._last)

    def _stalls(self) -> bool:
        since = self._sends_since
        return since is not None and asyncio.get_running_loop().time() - since > self._patience
