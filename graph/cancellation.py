"""Cancellation: whether the one who waits was told to stop, or only what it waits for."""

from __future__ import annotations

import asyncio


def is_from_inside(error: BaseException) -> bool:
    """Whether something that the task waited for was cancelled, and not the task: nobody has left it."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and not task.cancelling()
