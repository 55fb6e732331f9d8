"""POST /v1/chat/completions: any model name, one upstream or a graph, streamed or not."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from gateway.answers import as_chunk, collected
from gateway.catalog import Catalog
from gateway.edge.body import BodyReader, send_json
from gateway.edge.context import Receive, Scope, Send, context_of
from gateway.edge.disconnect import ClientWatch
from gateway.edge.sse import DONE, HEADERS, ChatFrames, error_frame
from gateway.errors import Fault
from graph import Event, Flow, Hooks
from llm import ChatChunk, ChatRequest, InvalidRequest

if TYPE_CHECKING:
    from gateway.telemetry.recordings import Recordings

NOTHING: Final = object()
FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})


class ChatEndpoint:
    """The hot route. One event walks one flow; what its responder yields is encoded and sent."""

    def __init__(
        self, catalog: Catalog, hooks: Hooks, bodies: BodyReader, recordings: Recordings | None = None
    ) -> None:
        self._catalog = catalog
        self._hooks = hooks
        self._bodies = bodies
        self._recordings = recordings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = context_of(scope)
        request = ChatRequest.from_wire(await self._bodies.json(receive))
        if request.parameters.get("n", 1) != 1:
            raise InvalidRequest("This gateway answers with one choice: n must be 1.", param="n", code="invalid_value")
        served = self._catalog.get(request.model, context.principal)
        event = Event(request, id=context.request_id, path=scope["path"], caller=context.principal.name)
        async with ClientWatch(receive):
            if self._recordings is None:
                await give(served.flow, event, send, self._hooks)
            else:
                await self._recordings.record(served, event, send, self._hooks)


async def give(flow: Flow, event: Event, send: Send, hooks: Hooks | None = None) -> None:
    """Runs a flow on a chat request and sends what it says, streamed or whole."""
    request: ChatRequest = event.body
    answer = Streamed(flow, event, send, hooks) if request.stream else Whole(flow, event, send, hooks)
    await answer.give(request)


class _Answer:
    """What both ways to answer have in common. Nothing in it depends on anything but the event and its tape."""

    def __init__(self, flow: Flow, event: Event, send: Send, hooks: Hooks | None) -> None:
        self.send = send
        self.id = f"chatcmpl-{event.id.removeprefix('req_')}"
        self.created = int(event.now().timestamp())
        self.run = flow.start(event, hooks)

    def finish_reason(self, said: str | None) -> str:
        """Why the answer ended, in one of the words that strict clients know."""
        if self.run.limit is not None:
            return "length"
        return said if said in FINISH_REASONS else "stop"


class Whole(_Answer):
    """An answer that is not streamed: a streamed one, collected."""

    async def give(self, request: ChatRequest) -> None:
        completion = await collected(self.run)
        choice = {
            "index": 0,
            "message": completion.message(),
            "logprobs": completion.logprobs,
            "finish_reason": self.finish_reason(completion.finish_reason),
        }
        body = {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": request.model,
            "choices": [choice],
            "usage": self.run.usage.to_wire(),
            "system_fingerprint": None,
        }
        await send_json(self.send, 200, body)


class Streamed(_Answer):
    """An answer as server-sent events. The status goes out with the first chunk, so what fails before is a status."""

    async def give(self, request: ChatRequest) -> None:
        frames = ChatFrames(self.id, self.created, request.model, include_usage=request.include_usage)
        async with aclosing(self.run.chunks()) as values:
            first = await anext(values, NOTHING)
            await self.send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            await self._write(frames.role())
            try:
                finish = None if first is NOTHING else await self._chunk(frames, as_chunk(first))
                async for value in values:
                    finish = await self._chunk(frames, as_chunk(value)) or finish
            except Exception as error:
                await self._write(error_frame(Fault.of(error).openai()), last=True)
                raise
        end = frames.finish(self.finish_reason(finish))
        usage = frames.usage(self.run.usage) if request.include_usage else b""
        await self._write(end + usage + DONE, last=True)

    async def _chunk(self, frames: ChatFrames, chunk: ChatChunk) -> str | None:
        frame = frames.chunk(chunk)
        if frame:
            await self._write(frame)
        return chunk.finish_reason

    async def _write(self, frame: bytes, *, last: bool = False) -> None:
        await self.send({"type": "http.response.body", "body": frame, "more_body": not last})
