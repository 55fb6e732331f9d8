"""POST /v1/chat/completions, as its clients read it.

In a stream: the role once, in the first chunk; ``finish_reason`` in every chunk, null until the last; what an upstream
says of the whole answer (its tier, its fingerprint) in every chunk; usage, if asked for, in one more chunk with empty
choices; then ``[DONE]``. An error after the first byte is an event whose data has a top-level ``error`` object, and
nothing follows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import orjson

from gateway.answers import Api, Dialect, Ending
from gateway.choices import ChoiceDialect
from gateway.edge.sse import DONE, frame
from gateway.endpoints.passing import PassingDialect
from gateway.faults import Fault
from graph import Event
from llm import ChatChunk, ChatCompletion, ChatRequest, Usage

KEPT_HERE = ("store", "metadata")
"""Parameters that do not go upstream where the gateway keeps the answer."""


class ChatApi(Api):
    """OpenAI's chat API (https://platform.openai.com/docs/api-reference/chat)."""

    path = "/v1/chat/completions"
    passes = True

    def request(self, body: Any) -> ChatRequest:
        request = ChatRequest.from_wire(body)
        if request.parameters.get("n") == 1:
            del request.parameters["n"]
        if request.parameters.get("store"):
            for name in KEPT_HERE:
                request.parameters.pop(name, None)
        return request

    def others(self, request: ChatRequest, body: Any) -> Sequence[ChatRequest]:
        number = request.parameters.pop("n", 1)
        return [request.having() for _ in range(number - 1)]

    def dialect(self, event: Event, body: Any) -> Dialect:
        request: ChatRequest = event.body
        if request.passes:
            return PassingDialect(partial(ChatDialect, event, 0), include_usage=request.include_usage)
        return self.choice(event, 0)

    def choice(self, event: Event, index: int) -> ChoiceDialect:
        """One choice in the answer to this event."""
        return ChatDialect(event, index)


class ChatDialect:
    """One choice of a chat answer. What its frames have in common is encoded once."""

    def __init__(self, event: Event, index: int) -> None:
        request: ChatRequest = event.body
        self._model = request.model
        self._id = f"chatcmpl-{event.id.removeprefix('req_')}"
        self._index = index
        self._created = int(event.now().timestamp())
        self._include_usage = request.include_usage
        self._told: Mapping[str, Any] = {}
        self._begun = False
        self._head = self._encoded_head()
        self._open = b',"choices":[{"index":%d,"delta":' % index
        self._tail = b',"usage":null}\n\n' if request.include_usage else b"}\n\n"

    def _common(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._model,
            "system_fingerprint": None,
            **self._told,
        }

    def _encoded_head(self) -> bytes:
        return b"data: " + orjson.dumps(self._common("chat.completion.chunk"))[:-1]

    def begin(self) -> bytes:
        """Nothing yet: what all frames say, the first chunk may know."""
        return b""

    def chunk(self, chunk: ChatChunk) -> bytes:
        if chunk.common:
            self._told = {**self._told, **chunk.common}
            self._head = self._encoded_head()
        opening = b"" if self._begun else self._opening()
        delta = chunk.delta()
        if chunk.logprobs:
            return opening + self._frame(delta, logprobs=orjson.dumps(chunk.logprobs))
        return opening + self._frame(delta) if delta else opening

    def finish(self, reason: str) -> bytes:
        opening = b"" if self._begun else self._opening()
        return opening + self._frame({}, orjson.dumps(reason))

    def _opening(self) -> bytes:
        self._begun = True
        return self._frame({"role": "assistant", "content": "", "refusal": None})

    def close(self, usage: Usage) -> bytes:
        if not self._include_usage:
            return DONE
        return b"".join((self._head, b',"choices":[],"usage":', orjson.dumps(usage.to_wire()), b"}\n\n", DONE))

    def end(self, ending: Ending) -> bytes:
        return self.finish(ending.finish_reason) + self.close(ending.usage)

    def error(self, fault: Fault) -> bytes:
        return frame(fault.openai())

    def choice(self, completion: ChatCompletion, reason: str) -> dict[str, Any]:
        self._told = completion.common
        return {
            "index": self._index,
            "message": completion.message(),
            "logprobs": completion.logprobs,
            "finish_reason": reason,
        }

    def body(self, choices: Sequence[dict[str, Any]], usage: Usage) -> dict[str, Any]:
        return {**self._common("chat.completion"), "choices": choices, "usage": usage.to_wire()}

    def whole(self, completion: ChatCompletion, ending: Ending) -> dict[str, Any]:
        return self.body([self.choice(completion, ending.finish_reason)], ending.usage)

    def _frame(self, delta: Mapping[str, Any], finish_reason: bytes = b"null", logprobs: bytes = b"null") -> bytes:
        return b"".join(
            (
                self._head,
                self._open,
                orjson.dumps(delta),
                b',"logprobs":',
                logprobs,
                b',"finish_reason":',
                finish_reason,
                b"}]",
                self._tail,
            )
        )
