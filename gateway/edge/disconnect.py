"""The race between the work for a client and the client's leaving.

Under ASGI a client that leaves shows only as a message that somebody must be waiting for. So while the work is pulled
in the request's own task, a second task waits for that message, and cancels the first when it comes; work that is
done at once is not watched, as the second task would cost more than it saves. Whoever loses the race is ended before
the block is left:

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

GRACE = 0.1
"""How long work may take, in seconds, until somebody listens whether its client leaves: what is done before that is
done for whoever has left too."""


class ClientWatch:
    """Ends the block that it is around when the client leaves. ``left`` says whether that happened."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.left = False
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - coroutines run in tasks
        self._work = task
        self._begin = asyncio.get_running_loop().call_later(GRACE, self._listen)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._begin.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait((self._watcher,))
        if not self.left:
            return False
        cancelled_by_others = self._work.uncancel() > 0
        return not cancelled_by_others and (kind is None or issubclass(kind, (asyncio.CancelledError, Exception)))

    def _listen(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        try:
            while (await self._receive())["type"] != "http.disconnect":
                pass
        except Exception:  # noqa: S110 - a connection that cannot be listened to has nobody at its end
            pass
        self.left = True
        self._work.cancel()
