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

from gateway.answers import Api, Dialect
from gateway.choices import ChoiceDialect
from gateway.endpoints.choice_frames import ChoiceFrames
from gateway.endpoints.passing import PassingDialect
from graph import Event
from llm import ChatChunk, ChatCompletion, ChatRequest

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


class ChatDialect(ChoiceFrames):
    """One choice of a chat answer."""

    prefix, streamed, gathered = "chatcmpl-", "chat.completion.chunk", "chat.completion"

    _begun = False
    _open = b""

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
        self._begun, self._open = True, b',"choices":[{"index":%d,"delta":' % self._index
        return self._frame({"role": "assistant", "content": "", "refusal": None})

    def choice(self, completion: ChatCompletion, reason: str) -> dict[str, Any]:
        self._told = completion.common
        return {
            "index": self._index,
            "message": completion.message(),
            "logprobs": completion.logprobs,
            "finish_reason": reason,
        }

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
