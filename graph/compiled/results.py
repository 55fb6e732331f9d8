"""What a call of a step gives back - a value, something to await, a stream - and how to treat them alike."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, closing
from functools import partial
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Final

STREAMS = (AsyncGeneratorType, GeneratorType)
STREAM_TYPES: Final = frozenset(STREAMS)
END: Final = object()
"""What ``anext`` gives at the end of a stream."""


def plain(call: Callable[..., Any]) -> Any:
    """The function behind partials and objects with ``__call__``, for ``inspect`` to look at."""
    while isinstance(call, partial):
        call = call.func
    return call if inspect.isroutine(call) else getattr(call, "__call__", call)  # noqa: B004


def is_coroutine_function(call: Callable[..., Any]) -> bool:
    """Whether calling it gives something to await."""
    return inspect.iscoroutinefunction(plain(call))


def is_generator_function(call: Callable[..., Any]) -> bool:
    """Whether calling it gives a stream."""
    function = plain(call)
    return inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function)


def is_async_function(call: Callable[..., Any]) -> bool:
    """Whether it lets the loop go on while it waits."""
    function = plain(call)
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


async def settled(made: Any) -> Any:
    """The value that a call gave back, awaited if need be."""
    return await made if isinstance(made, CoroutineType) else made


def as_stream(source: Any) -> AsyncGenerator[Any, None]:
    """The generator, async; a sync one lets the loop breathe after each chunk."""
    return source if isinstance(source, AsyncGeneratorType) else _stepped(source)


async def _stepped(source: Generator[Any, None, None]) -> AsyncGenerator[Any, None]:
    with closing(source):
        for chunk in source:
            yield chunk
            await asyncio.sleep(0)


async def again(first: Any, rest: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    """A stream of which the first chunk has been taken (``END`` if there was none), from its beginning."""
    async with aclosing(rest) as chunks:
        if first is not END:
            yield first
        async for chunk in chunks:
            yield chunk
