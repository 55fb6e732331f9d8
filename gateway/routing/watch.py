"""Watch: how long each piece of a stream may take, with one timer for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from llm import ChatChunk, UpstreamTimeout


class Watch:
    """Pulls chunks, and gives up where one takes longer than ``idle``, or all of them than ``total`` seconds. A timer
    looks from time to time how long the pull that is under way has lasted: one for each chunk would cost more than the
    chunk.

    Attributes:
        overran: whether it was the whole that took too long, while pieces of it came.
    """

    def __init__(self, idle: float, total: float) -> None:
        self._idle = idle
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + total
        self._pulls: asyncio.Task[object] | None = None
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._struck = self.overran = False

    async def pull(self, chunks: AsyncGenerator[ChatChunk, None]) -> ChatChunk | None:
        """The next chunk; None at the end.

        Raises:
            UpstreamTimeout: when it does not come in time.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - coroutines run in tasks
        cancelled_by_others = task.cancelling()
        self._pulls, self._since = task, self._loop.time()
        if self._timer is None:
            self._look()
        try:
            return await anext(chunks, None)
        except asyncio.CancelledError:
            if self._struck and task.uncancel() <= cancelled_by_others:
                raise UpstreamTimeout("the deployment took too long for a further chunk") from None
            raise
        finally:
            self._pulls = None

    def close(self) -> None:
        """Nothing more is pulled."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Ends the pull that is under way if it has taken too long, or comes back when it will have."""
        self._timer = None
        if self._pulls is None:
            return
        due = min(self._since + self._idle, self._until)
        if due > self._loop.time():
            self._timer = self._loop.call_at(due, self._look)
        else:
            self._struck, self.overran = True, self._until <= self._since + self._idle
            self._pulls.cancel()
