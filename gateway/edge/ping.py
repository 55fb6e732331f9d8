"""Comments that keep a stream alive while there is nothing to say, so that no proxy between takes it for dead.

A comment is what every client passes over. It comes only between two events, after the status, and never while the
client is behind with reading. One timer serves a stream: it strikes twice in the time after which a comment is due, and
one comes when nothing was said between three strikes.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

from gateway.edge.context import Send

PING = b": ping\n\n"
END = b"\n\n"


class Pings:
    """``send`` of a stream whose status has gone out. :meth:`close` must follow, whatever happens."""

    def __init__(self, send: Send, seconds: float) -> None:
        self._send = send
        self._half = seconds / 2
        self._loop = asyncio.get_running_loop()
        self._silent_strikes = 1
        self._between = True
        self._timer = self._loop.call_later(self._half, self._strike)
        self._ping: asyncio.Task[None] | None = None

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if not message.get("more_body", False):
            await self._end()
        self._between = False
        await self._send(message)
        self._between = message.get("body", b"").endswith(END)
        self._silent_strikes = 0

    def close(self) -> None:
        """No more comments come."""
        self._timer.cancel()
        if self._ping is not None:
            self._ping.cancel()

    async def _end(self) -> None:
        """No comment may come behind the last of an answer."""
        self.close()
        if self._ping is not None:
            await asyncio.wait((self._ping,))

    def _strike(self) -> None:
        self._silent_strikes += 1
        if self._silent_strikes > 2 and self._between:
            self._ping = self._loop.create_task(self._say())
        else:
            self._timer = self._loop.call_later(self._half, self._strike)

    async def _say(self) -> None:
        with suppress(OSError):  # whoever sends next finds out that the client is gone
            await self._send({"type": "http.response.body", "body": PING, "more_body": True})
            self._silent_strikes = 1
            self._timer = self._loop.call_later(self._half, self._strike)
