"""A model call inside a step: pulled by the step, and its usage booked on the event on every way out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from functools import partial

from graph.event import Event
from llm import (
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    Model,
    QuestionRefused,
    UpstreamRequestRefused,
    collect,
)
from llm.repair import checked
from llm.usage import Usage, estimate

TOO_LONG = "context_length_exceeded"


async def listen(
    model: Model, request: ChatRequest, event: Event, own: Iterable[str] = ()
) -> AsyncGenerator[ChatChunk, None]:
    """The answer, chunk by chunk. Where the provider reports no usage, or is left before it could, it is estimated.

    ``own`` are the parameters that the graph has set and the caller has not: when the upstream refuses one of them, as
    some models refuse ``temperature``, it is asked again without.
    Of a model with ``repair=True`` what must be JSON is checked; each turn is booked by itself.
    """
    droppable = set(own)
    while True:
        try:
            turn = partial(_once, model, event=event)
            answer = checked(turn, request) if model.checks else turn(request)
            async with aclosing(answer) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        except UpstreamRequestRefused as refused:
            if refused.param is None or refused.param not in droppable:
                raise
            droppable.discard(refused.param)
            request = _without(request, refused.param)


def _without(request: ChatRequest, parameter: str) -> ChatRequest:
    """The request without a parameter. ``max_tokens`` has another name at models that refuse it."""
    left = request.having(**{parameter: None})
    if parameter == "max_tokens":
        left.parameters["max_completion_tokens"] = request.parameters["max_tokens"]
    return left


async def _once(model: Model, request: ChatRequest, event: Event) -> AsyncGenerator[ChatChunk, None]:
    usage: Usage | None = None
    worked, length = False, 0
    try:
        async with aclosing(_chunks(model, request, event)) as chunks:
            async for chunk in chunks:
                worked = True
                usage = chunk.usage or usage
                length += len(chunk.content or "") + sum(len(call.arguments) for call in chunk.tool_calls)
                event.meter.check(event.at, 0 if usage else length)
                yield chunk
    except (asyncio.CancelledError, GeneratorExit):
        worked = True
        raise
    finally:
        if worked:
            event.account(model.name, usage or estimate(request.messages, length))
    event.meter.check(event.at)


def _chunks(model: Model, request: ChatRequest, event: Event) -> AsyncGenerator[ChatChunk, None]:
    if event.tape is None:
        return model.stream(request)
    return event.tape.stream(event.at, [model.name, request.to_wire()], partial(model.stream, request))


async def ask(model: Model, request: ChatRequest, event: Event) -> ChatCompletion:
    """The whole answer to a question that the graph puts by itself.

    Raises:
        QuestionRefused: when the upstream finds fault with it, other than that the conversation is too long.
    """
    own = request.parameters.keys() - {"tools"}
    try:
        return await collect(listen(model, request, event, own))
    except UpstreamRequestRefused as refused:
        if refused.code == TOO_LONG:
            raise
        raise QuestionRefused(str(refused), upstream_status=refused.upstream_status) from refused
