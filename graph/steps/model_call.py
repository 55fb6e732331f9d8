"""A model call inside a step: pulled by the step, and its usage booked on the event on every way out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from graph.event import Event
from graph.instrument import LanguageCall
from graph.recording.tape import Tape
from graph.running.meter import StepUsage
from llm import (
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    Model,
    QuestionRefused,
    Trail,
    UpstreamRequestRefused,
    collect,
)
from llm.repair import checked
from llm.tokens import CHARACTERS
from llm.usage import Usage

TOO_LONG = "context_length_exceeded"


def listen(
    model: Model, request: ChatRequest, event: Event, own: Iterable[str] = ()
) -> AsyncGenerator[ChatChunk, None]:
    """The answer, chunk by chunk. Where the provider reports no usage, or is left before it could, its tokens are
    counted and marked as estimated; the last chunk then says so.

    ``own`` are the parameters that the graph has set and the caller has not: when the upstream refuses one of them, as
    some models refuse ``temperature``, it is asked again without.
    Of a model with ``repair=True`` what must be JSON is checked; each turn is booked by itself.

    Raises:
        PriceUnknown: when the run has a cap on money and the model no price.
        ModelError: what the provider raises.
    """
    event.meter.admit(event.at, model)
    if isinstance(event.body, ChatRequest) and event.body.anthropic:
        request = replace(request, anthropic=True)
    droppable = set(own)
    return _asked(model, request, event, droppable) if droppable or model.checks else _once(model, request, event)


async def _asked(
    model: Model, request: ChatRequest, event: Event, droppable: set[str]
) -> AsyncGenerator[ChatChunk, None]:
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


def may_cost(error: BaseException) -> bool:
    """Whether a call that ends so may have to be paid: who leaves does so after the model has begun to work."""
    return isinstance(error, (asyncio.CancelledError, GeneratorExit)) or getattr(error, "costs", False)


@dataclass(slots=True)
class _Heard:
    """What has come of one answer."""

    texts: list[str] = field(default_factory=list)
    characters: int = 0
    usage: Usage | None = None
    so_far: Usage | None = None
    """What the provider has said of the cost of an answer that has not ended."""
    finished: bool = False
    """Whether the answer has said why it ended; what its usage said before was that of the answer so far."""
    worked: bool = False
    """Whether the model has done something that costs."""
    error: BaseException | None = None

    def hear(self, chunk: ChatChunk) -> None:
        """Takes in all that the model has written in a chunk: text, thoughts, tool calls; and what it cost."""
        self.worked = True
        self.finished = self.finished or chunk.finish_reason is not None
        if chunk.usage is not None:
            self.usage = chunk.usage
        if chunk.so_far is not None:
            self.so_far = chunk.so_far
        if chunk.content:
            self._write(chunk.content)
        if chunk.tool_calls:
            for call in chunk.tool_calls:
                self._write((call.name or "") + call.arguments)
        if chunk.extra:
            for value in chunk.extra.values():
                if isinstance(value, str):
                    self._write(value)

    def broke(self, error: BaseException) -> None:
        """It ends early. Who leaves does so after the model has begun to work, and some failures come after it too."""
        self.worked = self.worked or may_cost(error)
        self.error = error

    def owed(self, counted: Usage) -> Usage:
        """What is counted, with the provider's own words on the prompt where there are any."""
        if self.so_far is None:
            return counted
        total = self.so_far.prompt_tokens + counted.completion_tokens
        return replace(self.so_far, completion_tokens=counted.completion_tokens, total_tokens=total, estimated=True)

    def _write(self, text: str) -> None:
        self.texts.append(text)
        self.characters += len(text)


async def _once(model: Model, request: ChatRequest, event: Event) -> AsyncGenerator[ChatChunk, None]:
    heard, step = _Heard(), event.at
    if model.routes:
        request = replace(request, trail=Trail(event.caller))
    capped = event.run is None or event.run.capped
    call = _begun(model, request, event, heard)
    usage: Usage | None = None
    try:
        async with aclosing(_chunks(model, request, event)) as chunks:
            async for chunk in chunks:
                heard.hear(chunk)
                if capped:
                    told = heard.usage is not None and heard.finished
                    event.meter.check(step, 0 if told else heard.characters, model.price)
                yield chunk
    except BaseException as error:
        heard.broke(error)
        raise
    finally:
        try:
            if heard.worked or request.trail is not None:
                usage = await _book(model, request, event, heard, step)
        finally:
            _ended(call, event, heard, usage)
    event.meter.check(step)
    if heard.worked and heard.usage is None:
        yield ChatChunk(usage=usage)


def _begun(model: Model, request: ChatRequest, event: Event, heard: _Heard) -> LanguageCall | None:
    """The call, told to those who watch; none where nobody does."""
    run = event.run
    if run is None or not run.hooks.after_call:
        return None
    call = LanguageCall(model, request, heard.texts)
    for hook in run.hooks.before_call:
        hook(run, event, call)
    return call


def _ended(call: LanguageCall | None, event: Event, heard: _Heard, usage: Usage | None) -> None:
    run = event.run
    if call is not None and run is not None:
        call.usage, call.error = usage, heard.error
        for hook in run.hooks.after_call:
            hook(run, event, call)


async def _book(model: Model, request: ChatRequest, event: Event, heard: _Heard, step: str) -> Usage:
    """Books a call by what the provider reported, or else by what is counted; roughly, where counting is cancelled."""
    usage = heard.usage or heard.owed(CHARACTERS.count_now(request, heard.characters))
    try:
        if heard.usage is None and heard.worked:
            usage = heard.owed(await _counted(model, request, event.tape, step, "".join(heard.texts)))
    finally:
        await book(event, step, model, request.trail, usage if heard.worked else None)
    return usage


async def book(event: Event, step: str, model: Model, trail: Trail | None, usage: Usage | None) -> None:
    """Books an answer of this usage on the run; of a model that is several also the calls that gave none. Which calls
    those were comes from outside.

    Args:
        usage: None where there was no answer.
    """
    if trail is None:
        if usage is not None:
            event.meter.book(StepUsage.of(step, model, usage))
        return
    calls = StepUsage.on(step, model, trail, usage)
    if event.tape is not None:

        async def told() -> list[dict[str, Any]]:
            return [call.to_wire() for call in calls]

        came = await event.tape.value(step, ["calls", model.name], told)
        calls = [StepUsage.from_wire(step, model, call) for call in came]
    for call in calls:
        event.meter.book(call)


async def _counted(model: Model, request: ChatRequest, tape: Tape | None, step: str, answer: str) -> Usage:
    """What is counted comes from outside: a replay may have no tokenizer."""

    async def count() -> dict[str, Any]:
        answers = model if request.trail is None else request.trail.model or model
        return (await answers.count(request, answer)).to_wire()

    return Usage.from_wire(await (count() if tape is None else tape.value(step, ["tokens", model.name], count)))


def _chunks(model: Model, request: ChatRequest, event: Event) -> AsyncGenerator[ChatChunk, None]:
    if event.tape is None:
        return model.stream(request)
    prompted = {} if request.prompt is None else {"prompt": request.prompt}
    return event.tape.stream(event.at, [model.name, {**request.to_wire(), **prompted}], partial(model.stream, request))


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
