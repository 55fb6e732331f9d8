"""POST /v1/chat/completions, as its clients read it.

In a stream: the role once, in the first chunk; ``finish_reason`` in every chunk, null until the last; usage, if asked
for, in one more chunk with empty choices; then ``[DONE]``. An error after the first byte is an event whose data has a
top-level ``error`` object, and nothing follows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import orjson

from gateway.answers import Dialect, Ending
from gateway.edge.sse import DONE, frame
from gateway.endpoints.passing import PassingDialect
from gateway.errors import Fault
from graph import Event
from llm import ChatChunk, ChatCompletion, ChatRequest, InvalidRequest


class ChatApi:
    """OpenAI's chat API (https://platform.openai.com/docs/api-reference/chat)."""

    path = "/v1/chat/completions"
    passes = True

    def request(self, body: Any) -> ChatRequest:
        return ChatRequest.from_wire(body)

    def dialect(self, event: Event, body: Any) -> Dialect:
        request: ChatRequest = event.body
        if request.passes:
            return PassingDialect(partial(ChatDialect, event), include_usage=request.include_usage)
        if request.parameters.get("n", 1) != 1:
            raise InvalidRequest("This model answers with one choice: n must be 1.", param="n", code="invalid_value")
        return ChatDialect(event)


class ChatDialect:
    """A chat answer. What the frames of one have in common is encoded once."""

    def __init__(self, event: Event) -> None:
        request: ChatRequest = event.body
        self._model = request.model
        self._id = f"chatcmpl-{event.id.removeprefix('req_')}"
        self._created = int(event.now().timestamp())
        self._include_usage = request.include_usage
        self._head = b"data: " + orjson.dumps(self._common("chat.completion.chunk"))[:-1]
        self._tail = b',"usage":null}\n\n' if request.include_usage else b"}\n\n"

    def _common(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._model,
            "system_fingerprint": None,
        }

    def begin(self) -> bytes:
        return self._frame({"role": "assistant", "content": "", "refusal": None})

    def chunk(self, chunk: ChatChunk) -> bytes:
        delta = chunk.delta()
        if chunk.logprobs:
            return self._frame(delta, logprobs=orjson.dumps(chunk.logprobs))
        return self._frame(delta) if delta else b""

    def end(self, ending: Ending) -> bytes:
        finish = self._frame({}, orjson.dumps(ending.finish_reason))
        if not self._include_usage:
            return finish + DONE
        usage = orjson.dumps(ending.usage.to_wire())
        return b"".join((finish, self._head, b',"choices":[],"usage":', usage, b"}\n\n", DONE))

    def error(self, fault: Fault) -> bytes:
        return frame(fault.openai())

    def whole(self, completion: ChatCompletion, ending: Ending) -> dict[str, Any]:
        choice = {
            "index": 0,
            "message": completion.message(),
            "logprobs": completion.logprobs,
            "finish_reason": ending.finish_reason,
        }
        return {**self._common("chat.completion"), "choices": [choice], "usage": ending.usage.to_wire()}

    def _frame(self, delta: Mapping[str, Any], finish_reason: bytes = b"null", logprobs: bytes = b"null") -> bytes:
        return b"".join(
            (
                self._head,
                b',"choices":[{"index":0,"delta":',
                orjson.dumps(delta),
                b',"logprobs":',
                logprobs,
                b',"finish_reason":',
                finish_reason,
                b"}]",
                self._tail,
            )
        )
