"""Threads for code of the author's: a plain function that blocks, called while the loop goes on.

They are not those of the loop's own pool, which are few and which the gateway needs itself: a function that never comes
back keeps one for good. And they are daemons, so that it does not keep the process either; ``ThreadPoolExecutor`` waits
for its threads when Python ends, however long.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import copy_context
from functools import cache, partial
from threading import Condition, Thread
from typing import Any, Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

MAX_THREADS: Final = 64
"""How many functions run side by side in a process; more wait for their turn, as long as their timeouts let them."""


class DaemonThreads(Executor):
    """At most ``most`` threads, each made when it is needed and kept for the next call.

    A call that nobody waits for any more is forgotten at once, as its turn may never come.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._changed = Condition()
        self._waiting: OrderedDict[Future[Any], Callable[[], Any]] = OrderedDict()
        self._made = 0
        self._under_way = 0

    def submit(self, function: Callable[P, T], /, *given: P.args, **named: P.kwargs) -> Future[T]:
        """See :class:`concurrent.futures.Executor`."""
        future: Future[T] = Future()
        with self._changed:
            if self._under_way >= self._made < self._most:
                Thread(target=self._work, name=f"penstock-{self._made + 1}", daemon=True).start()
                self._made += 1
            self._under_way += 1
            self._waiting[future] = partial(function, *given, **named)
            self._changed.notify()
        future.add_done_callback(self._forget)
        return future

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                future, call = self._waiting.popitem(last=False)
            _do(future, call)
            del future, call
            with self._changed:
                self._under_way -= 1

    def _forget(self, future: Future[Any]) -> None:
        with self._changed:
            if self._waiting.pop(future, None) is not None:
                self._under_way -= 1


def _do(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except BaseException as error:
        future.set_exception(error)


@cache
def _threads() -> DaemonThreads:
    return DaemonThreads(MAX_THREADS)


async def in_thread(function: Callable[P, T], /, *given: P.args, **named: P.kwargs) -> T:
    """What a function gives, called in a thread, with the context of the caller.

    Raises:
        RuntimeError: for a StopIteration, as a coroutine would: a future does not take one, and would wait for ever;
            and for a SystemExit, which would end the loop with all its other requests.
    """

    def call() -> T:
        try:
            return function(*given, **named)
        except (StopIteration, SystemExit) as error:
            raise RuntimeError(f"a function in a thread raised {type(error).__name__}") from error

    return await asyncio.get_running_loop().run_in_executor(_threads(), copy_context().run, call)
