"""What a run of any graph says, as the answer of a model, in the words of the API that asked."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from gateway.edge.body import send_json
from gateway.edge.context import Send
from gateway.edge.sse import HEADERS
from gateway.faults import Fault
from graph import Event, FlowRun, Hooks
from llm import ChatChunk, ChatCompletion, ChatRequest, Usage, text_of

NOTHING: Final = object()
FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
"""The words for why an answer ended that strict clients know."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended: why, in one of :data:`FINISH_REASONS`, and what all of it cost."""

    finish_reason: str
    usage: Usage


class Dialect(Protocol):
    """One answer in the words of one API. Its frames go out as they come; an empty one is not sent."""

    def begin(self) -> bytes:
        """The frames before the first chunk."""
        ...

    def chunk(self, chunk: ChatChunk) -> bytes:
        """The frames of a chunk, whose ``finish_reason`` and ``usage`` stand in the ending."""
        ...

    def end(self, ending: Ending) -> bytes:
        """The frames after the last chunk."""
        ...

    def error(self, fault: Fault) -> bytes:
        """The frame that ends an answer that broke, in a form that clients raise."""
        ...

    def whole(self, completion: ChatCompletion, ending: Ending) -> Any:
        """The body of an answer that is not streamed."""
        ...


class Api(Protocol):
    """An API in whose words is asked and answered."""

    path: str
    """The path that its requests are posted to."""

    def request(self, body: Any) -> ChatRequest:
        """What the parsed body of a request asks of a graph.

        Raises:
            InvalidRequest: naming the member that is wrong.
        """
        ...

    def others(self, request: ChatRequest, body: Any) -> Sequence[ChatRequest]:
        """What further choices are asked for besides that of ``request``; each will be a run of its own."""
        return ()

    def dialect(self, event: Event, body: Any) -> Dialect:
        """The answer to this event, which that body asked for. It depends on nothing but these and the event's tape."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """The parsed body of a request, and the API that it came through."""

    api: Api
    body: Any

    def request(self) -> ChatRequest:
        """See :meth:`Api.request`."""
        return self.api.request(self.body)

    def dialect(self, event: Event) -> Dialect:
        """See :meth:`Api.dialect`."""
        return self.api.dialect(event, self.body)


class Startable(Protocol):
    """A flow, or what stands around one."""

    def start(self, event: Event, hooks: Hooks | None = None) -> FlowRun:
        """A run of it."""
        ...


async def give(flow: Startable, event: Event, dialect: Dialect, send: Send, hooks: Hooks | None = None) -> None:
    """Runs a flow on a chat request and sends what it says, streamed or whole."""
    run = flow.start(event, hooks)
    if event.body.stream:
        await _stream(run, dialect, send)
    else:
        completion = await collected(run)
        await send_json(send, 200, dialect.whole(completion, ending_of(run, completion.finish_reason)))


async def _stream(run: FlowRun, dialect: Dialect, send: Send) -> None:
    """The answer as server-sent events. The status goes out with the first chunk, so what fails before is a status."""

    finish: str | None = None

    def told(value: Any) -> bytes:
        nonlocal finish
        chunk = as_chunk(value)
        finish = chunk.finish_reason or finish
        return dialect.chunk(chunk)

    def write(frames: bytes, *, last: bool = False) -> Awaitable[None]:
        return send({"type": "http.response.body", "body": frames, "more_body": not last})

    async with aclosing(run.chunks()) as values:
        first = await anext(values, NOTHING)
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        try:
            if frames := dialect.begin() + (b"" if first is NOTHING else told(first)):
                await write(frames)
            async for value in values:
                if frames := told(value):
                    await write(frames)
        except Exception as error:
            await write(dialect.error(Fault.of(error)), last=True)
            raise
    await write(dialect.end(ending_of(run, finish)), last=True)


def ending_of(run: FlowRun, said: str | None) -> Ending:
    """How a run that is over ended, where the model said why it did."""
    if run.limit is not None:
        return Ending("length", run.usage)
    return Ending(said if said in FINISH_REASONS else "stop", run.usage)


async def collected(run: FlowRun) -> ChatCompletion:
    """The whole answer of a run that has not begun; the run is closed on every way out."""
    completion = ChatCompletion()
    async with aclosing(run.chunks()) as values:
        async for value in values:
            completion.add(as_chunk(value))
    return completion


def as_chunk(value: Any) -> ChatChunk:
    """What a graph yields, as a chunk of an answer: text is text, a dict's ``answer`` too, anything else is JSON."""
    if isinstance(value, ChatChunk):
        return value
    if isinstance(value, dict) and isinstance(value.get("answer"), str):
        return ChatChunk.text(value["answer"])
    if isinstance(value, ChatRequest):
        return ChatChunk.text(text_of(value.messages[-1]))
    if isinstance(value, bytes):
        return ChatChunk.text(value.decode("utf-8", "replace"))
    if value is None:
        return ChatChunk()
    return ChatChunk.text(value if isinstance(value, str) else orjson.dumps(value, default=str).decode())
