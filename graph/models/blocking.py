"""Waiting for something async in a plain def."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any

from graph.errors import RunError

LOOP: ContextVar[asyncio.AbstractEventLoop | None] = ContextVar("LOOP", default=None)
"""The loop of the run that a thread works for; threads are given it with the context of the run."""
_own = threading.local()


def waited(work: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine gives: in a thread of a run, done on the loop of that; in a process, on a loop of its own.

    Raises:
        RunError: on a loop, which would stop.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        work.close()
        raise RunError("this waits, and would stop the loop; write predict_async, or let it run in a thread or process")
    loop = LOOP.get()
    if loop is not None:
        return asyncio.run_coroutine_threadsafe(work, loop).result()
    if not hasattr(_own, "runner"):
        _own.runner = asyncio.Runner()
    return _own.runner.run(work)
