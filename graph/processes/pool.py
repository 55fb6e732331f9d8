"""Pool: worker processes that are lent to calls, one call each, in the order in which they come."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

from graph.errors import WorkerLost
from graph.event import Event
from graph.processes.worker import CLOSE, GRACE, Worker, end_all


class Pool:
    """So many workers at most, each started when there is no other one free.

    Calls may come from several event loops, one after the other or at the same time.
    """

    def __init__(self, size: int) -> None:
        self._workers = [Worker() for _ in range(size)]
        self._free = deque(self._workers)
        self._waiting: deque[Future[Worker]] = deque()
        self._lock = threading.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        weakref.finalize(self, end_all, self._workers)

    async def take(self, step: str, recipe: bytes) -> Worker:
        """A free worker in which the step has been made. It must be given back by :meth:`release` or :meth:`leave`.

        Making it goes on when nobody waits any more: a step that takes longer to make than its timeout gets ready.

        Raises:
            WorkerLost: when the worker ended before it was ready.
            Exception: what making the step raised.
        """
        worker = await self._next()
        if not worker.knows(step):
            preparing = self._spawn(worker.prepare(step, recipe))
            try:
                await asyncio.shield(preparing)
            except BaseException:
                preparing.add_done_callback(partial(self._left, worker))
                raise
        return worker

    def release(self, worker: Worker) -> None:
        """Gives back a worker that is idle, to whoever has waited longest."""
        with self._lock:
            while self._waiting:
                waiter = self._waiting.popleft()
                if waiter.set_running_or_notify_cancel():
                    break
            else:
                self._free.append(worker)
                return
        waiter.set_result(worker)

    async def leave(self, worker: Worker, step: str, event: Event | None) -> None:
        """Gives back a worker from whatever it is doing: an open stream is closed, what cannot be closed is ended.

        What the closing of a stream changed in the event is written into it.

        Raises:
            Exception: what the step raised when its stream was closed.
        """
        if worker.doing == "idle":
            self.release(worker)
            return
        leaving = self._spawn(_leave(worker, step, event))
        leaving.add_done_callback(partial(self._left, worker))
        await asyncio.shield(leaving)

    def close(self) -> None:
        """Ends all workers; calls in them, and calls that wait for one, fail. May be called from any thread."""
        with self._lock:
            waiting, self._waiting = self._waiting, deque()
            free, self._free = self._free, deque()
        for waiter in waiting:
            if waiter.set_running_or_notify_cancel():
                waiter.set_exception(WorkerLost("the flow was closed before there was a process for the step"))
        end_all(self._workers)
        for worker in free:
            self.release(worker)

    # --- insides

    async def _next(self) -> Worker:
        """The next free worker, the one used last first, so that no more are started than are needed."""
        with self._lock:
            if self._free:
                return self._free.pop()
            waiter: Future[Worker] = Future()
            self._waiting.append(waiter)
        try:
            return await asyncio.wrap_future(waiter)
        except asyncio.CancelledError:
            if not waiter.cancel() and waiter.exception() is None:
                self.release(waiter.result())
            raise

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _left(self, worker: Worker, _task: asyncio.Task[None]) -> None:
        """A worker that nobody waits for is done with what it did; where the loop ended before that, it is ended."""
        if worker.doing != "idle":
            worker.kill()
        self.release(worker)


async def _leave(worker: Worker, step: str, event: Event | None) -> None:
    try:
        if worker.doing == "streaming":
            with suppress(TimeoutError, WorkerLost):
                async with asyncio.timeout(GRACE):
                    reply = await worker.ask(step, CLOSE)
                reply.settle(event)
    finally:
        if worker.doing != "idle":
            await worker.end()
