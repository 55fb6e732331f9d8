"""The race between the work for a client and the client's leaving.

Under ASGI a client that leaves shows only as a message that somebody must be waiting for. So while the work is pulled
in the request's own task, a second task waits for that message, and cancels the first when it comes. Whoever loses
the race is ended before the block is left:

* the work ends first: the watcher is cancelled; what the client does afterwards is nobody's business;
* the client leaves first: the work gets ``CancelledError`` at its ``await``, its generators close (and with them the
  upstream call), and the block ends without an error, with ``left`` set, whatever the work says while it ends.

A cancellation from elsewhere (the server stops) goes through unchanged, also when the client leaves at the same time.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from gateway.edge.context import Receive


class ClientWatch:
    """Ends the block that it is around when the client leaves. ``left`` says whether that happened."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.left = False

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - coroutines run in tasks
        self._work = task
        self._watcher = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._watcher.cancel()
        await asyncio.wait((self._watcher,))
        if not self.left:
            return False
        cancelled_by_others = self._work.uncancel() > 0
        return not cancelled_by_others and (kind is None or issubclass(kind, (asyncio.CancelledError, Exception)))

    async def _watch(self) -> None:
        try:
            while (await self._receive())["type"] != "http.disconnect":
                pass
        except Exception:  # noqa: S110 - a connection that cannot be listened to has nobody at its end
            pass
        self.left = True
        self._work.cancel()
