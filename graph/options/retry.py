"""``retries=`` and ``backoff=``: a step that fails is tried again, after a while, with jitter."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from graph.compiled.results import END, again, as_stream, is_generator_function, settled

LONGEST_WAIT = 60.0
"""The longest wait between two tries, in seconds; an error that asks for a longer one is not waited for."""


def retried(call: Callable[[Any], Any], retries: int, backoff: float) -> Callable[[Any], Any]:
    """The call, tried ``retries`` times more. A stream is tried again only as long as no chunk of it has left."""
    import stamina  # noqa: PLC0415 - only for steps that are tried again

    def tries() -> Any:
        return stamina.retry_context(
            on=_worth_waiting,
            attempts=retries + 1,
            timeout=None,
            wait_initial=backoff,
            wait_max=LONGEST_WAIT,
            wait_jitter=backoff,
        )

    async def value(given: Any) -> Any:
        made = None
        async for attempt in tries():
            with attempt:
                made = await settled(call(given))
        return made

    async def stream(given: Any) -> AsyncGenerator[Any, None]:
        first, chunks = END, as_stream(_nothing())
        async for attempt in tries():
            with attempt:
                chunks = as_stream(call(given))
                first = await anext(chunks, END)
        async with aclosing(again(first, chunks)) as whole:
            async for chunk in whole:
                yield chunk

    return stream if is_generator_function(call) else value


async def _nothing() -> AsyncGenerator[Any, None]:
    return
    yield


def _worth_waiting(error: BaseException) -> bool | float:
    """Whether to try again, or after how many seconds where the error says so itself. Who is cancelled does not."""
    if not isinstance(error, Exception) or getattr(error, "hopeless", False):
        return False
    retry_after = getattr(error, "retry_after", None)
    if retry_after is None:
        return True
    return float(retry_after) if retry_after <= LONGEST_WAIT else False
