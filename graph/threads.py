"""Calling a plain function in a thread, while the loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(function: Callable[P, T], /, *given: P.args, **named: P.kwargs) -> T:
    """What a function gives, called in a thread of the loop's pool, with the context of the caller.

    Raises:
        RuntimeError: for a StopIteration, as a coroutine would: a future does not take one, and would wait for ever.
    """

    def call() -> T:
        try:
            return function(*given, **named)
        except StopIteration as error:
            raise RuntimeError("a function in a thread raised StopIteration") from error

    return await asyncio.to_thread(call)
