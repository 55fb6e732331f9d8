"""``execution_mechanism=``: where a step runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any

from graph.errors import InvalidStep
from graph.results import END, is_async_function, is_generator_function

if TYPE_CHECKING:
    from graph.step import Step

ON_LOOP = ("naive", "asyncio")


def placed(step: Step, call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The call, where the step's mechanism says.

    Raises:
        InvalidStep: when the step cannot run there.
    """
    mechanism = step.options.execution_mechanism
    if mechanism == "naive":
        return call
    if mechanism == "asyncio":
        if not is_async_function(call):
            raise InvalidStep(f"step '{step.name}': asyncio needs an async def; a plain def can use thread_pool")
        return call
    if is_async_function(call):
        raise InvalidStep(f"step '{step.name}': {mechanism} needs a plain def or generator; async ones run on the loop")
    if mechanism == "thread_pool":
        return threaded(call)
    raise InvalidStep(f"step '{step.name}': execution_mechanism {mechanism!r} is not known")


def threaded(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The call, in a thread of the loop's pool; of a stream each chunk by itself, when it is asked for."""

    async def value(given: Any) -> Any:
        return await asyncio.to_thread(call, given)

    async def stream(given: Any) -> AsyncGenerator[Any, None]:
        chunks = call(given)
        try:
            while (chunk := await asyncio.to_thread(next, chunks, END)) is not END:
                yield chunk
        finally:
            await asyncio.shield(asyncio.to_thread(chunks.close))

    return stream if is_generator_function(call) else value
