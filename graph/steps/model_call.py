"""A model call inside a step: pulled by the step, and its usage booked on the event on every way out."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from graph.event import Event
from llm import ChatChunk, ChatCompletion, ChatRequest, Model, collect
from llm.usage import Usage, estimate


async def listen(model: Model, request: ChatRequest, event: Event) -> AsyncGenerator[ChatChunk, None]:
    """The answer, chunk by chunk. Where the provider reports no usage, or is left before it could, it is estimated."""
    usage: Usage | None = None
    heard, length = False, 0
    try:
        async with aclosing(model.stream(request)) as chunks:
            async for chunk in chunks:
                heard = True
                usage = chunk.usage or usage
                length += len(chunk.content or "") + sum(len(call.arguments) for call in chunk.tool_calls)
                event.meter.check(event.at, 0 if usage else length)
                yield chunk
    finally:
        if heard:
            event.account(model.name, usage or estimate(request.messages, length))
    event.meter.check(event.at)


async def ask(model: Model, request: ChatRequest, event: Event) -> ChatCompletion:
    """The whole answer."""
    return await collect(listen(model, request, event))
