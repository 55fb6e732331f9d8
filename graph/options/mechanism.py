"""``execution_mechanism=``: where a step runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from threading import Lock
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from graph.compiled.calls import instantiate
from graph.compiled.results import END, is_async_function, is_generator_function
from graph.errors import InvalidStep
from graph.processes.stand_in import in_process
from graph.threads import in_thread

if TYPE_CHECKING:
    from graph.step import Step

ON_LOOP = ("naive", "asyncio")
IN_PROCESSES = ("process_pool", "dedicated_process")


def made(step: Step) -> tuple[Any, Callable[[Any], Any]]:
    """The object behind a step and what to call; of a step that is in processes, what stands for them here.

    Raises:
        InvalidStep: when it cannot be made, or cannot be where it should.
    """
    return in_process(step) if step.options.execution_mechanism in IN_PROCESSES else instantiate(step)


def placed(step: Step, call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The call, where the step's mechanism says; one that is in processes is there already.

    Raises:
        InvalidStep: when the step cannot run there.
    """
    mechanism = step.options.execution_mechanism
    if mechanism == "naive" or mechanism in IN_PROCESSES:
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
    """The call, in a thread; of a stream each chunk by itself, when it is asked for. A coroutine
    that a plain def returns is awaited on the loop."""

    async def value(given: Any) -> Any:
        made = await in_thread(call, given)
        return await made if isinstance(made, CoroutineType) else made

    async def stream(given: Any) -> AsyncGenerator[Any, None]:
        chunks = _Pulled(call(given))
        try:
            while (chunk := await in_thread(chunks.next)) is not END:
                yield chunk
        finally:
            await asyncio.shield(in_thread(chunks.close))

    return stream if is_generator_function(call) else value


class _Pulled:
    """A generator in threads. One that is left while a thread is in it is closed there, once its next chunk is made."""

    def __init__(self, chunks: Generator[Any, None, None]) -> None:
        self._chunks = chunks
        self._inside = Lock()
        self._left = False

    def next(self) -> Any:
        """The next chunk, or ``END``."""
        with self._inside:
            chunk = next(self._chunks, END)
        if self._left:
            self.close()
        return chunk

    def close(self) -> None:
        """Closes it, or leaves that to the thread that is in it."""
        self._left = True
        if self._inside.acquire(blocking=False):
            try:
                self._chunks.close()
            finally:
                self._inside.release()
