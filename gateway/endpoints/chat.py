"""POST /v1/chat/completions: any model name, one upstream or a graph, streamed or not."""

from __future__ import annotations

import time
from contextlib import aclosing
from secrets import token_hex
from typing import Any

import orjson

from gateway.catalog import Catalog
from gateway.edge.body import read_json, send_json
from gateway.edge.context import Receive, Scope, Send, context_of
from gateway.edge.disconnect import ClientWatch
from gateway.edge.sse import DONE, HEADERS, ChatFrames, error_frame
from gateway.errors import Fault
from graph import Event, FlowRun, Hooks
from llm import ChatChunk, ChatCompletion, ChatRequest, InvalidRequest, text_of

FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})


class ChatEndpoint:
    """The hot route. One event walks one flow; what its responder yields is encoded and sent."""

    def __init__(self, catalog: Catalog, hooks: Hooks, max_body_bytes: int) -> None:
        self._catalog = catalog
        self._hooks = hooks
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = context_of(scope)
        request = ChatRequest.from_wire(await read_json(receive, self._max_body_bytes))
        if request.parameters.get("n", 1) != 1:
            raise InvalidRequest("This gateway answers with one choice: n must be 1.", param="n", code="invalid_value")
        served = self._catalog.get(request.model, context.principal)
        event = Event(request, id=context.request_id, path=scope["path"], caller=context.principal.name)
        run = served.flow.start(event, self._hooks)
        async with ClientWatch(receive):
            answer = Streamed(run, send) if request.stream else Whole(run, send)
            await answer.give(request)


class _Answer:
    def __init__(self, run: FlowRun, send: Send) -> None:
        self.run = run
        self.send = send
        self.id = f"chatcmpl-{token_hex(16)}"
        self.created = int(time.time())

    def finish_reason(self, said: str | None) -> str:
        """Why the answer ended, in one of the words that strict clients know."""
        if self.run.limit is not None:
            return "length"
        return said if said in FINISH_REASONS else "stop"


class Whole(_Answer):
    """An answer that is not streamed: a streamed one, collected."""

    async def give(self, request: ChatRequest) -> None:
        completion = ChatCompletion()
        async with aclosing(self.run.chunks()) as values:
            async for value in values:
                completion.add(as_chunk(value))
        choice = {
            "index": 0,
            "message": completion.message(),
            "logprobs": None,
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
            first = await anext(values, None)
            await self.send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            await self._write(frames.role())
            try:
                finish = first and await self._chunk(frames, as_chunk(first))
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
