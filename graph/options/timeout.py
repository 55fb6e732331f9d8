"""``timeout=``: seconds for one try of a step; of a stream, for each chunk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from graph.compiled.results import END, as_stream, is_generator_function, settled
from graph.errors import StepTimeout


def timed(call: Callable[[Any], Any], name: str, seconds: float) -> Callable[[Any], Any]:
    """The call, which fails with :class:`StepTimeout` when it takes longer."""

    async def within(waiting: Any) -> Any:
        try:
            async with asyncio.timeout(seconds) as scope:
                return await waiting
        except TimeoutError:
            if scope.expired():
                raise StepTimeout(f"step '{name}' took longer than {seconds:g} s") from None
            raise

    async def value(given: Any) -> Any:
        return await within(settled(call(given)))

    async def stream(given: Any) -> AsyncGenerator[Any, None]:
        async with aclosing(as_stream(call(given))) as chunks:
            while (chunk := await within(anext(chunks, END))) is not END:
                yield chunk

    return stream if is_generator_function(call) else value
