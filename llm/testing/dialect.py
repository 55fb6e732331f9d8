"""What upstreams of different APIs say on the wire, for scripts of a ScriptedUpstream: one dialect for each API.

The same script, said in each dialect, is how the providers are held to the same behaviour::

    async with ScriptedUpstream(ANTHROPIC.text("Hel", "lo"), ANTHROPIC.error(429)) as upstream: ...
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from llm.providers.anthropic_errors import TYPES
from llm.testing.upstream import Json, Piece, Stream, choice, frame


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call that a script makes; ``arguments`` is JSON text."""

    id: str
    name: str
    arguments: str = "{}"


class Dialect(ABC):
    """How an API says what every API can say. Usage is always 7 tokens in and 3 out."""

    name: str

    def text(self, *words: str) -> Stream:
        """A whole stream of words that stopped by itself."""
        return Stream([*self.words(*words), *self.end("stop")])

    def calls(self, *calls: Call, whole: bool = False) -> Stream:
        """A whole stream of tool calls, their arguments in two pieces, or each call in one."""
        return Stream([*self.opening(), *self.call_pieces(calls, whole), *self.end("tool_calls")])

    def words(self, *words: str) -> list[Piece]:
        """The opening of a stream and some words, without an end."""
        return [*self.opening(), *self.word_pieces(words)]

    @abstractmethod
    def opening(self) -> list[Piece]:
        """The first events of a stream."""

    @abstractmethod
    def word_pieces(self, words: Iterable[str]) -> list[Piece]:
        """Events of words."""

    @abstractmethod
    def call_pieces(self, calls: Iterable[Call], whole: bool) -> list[Piece]:
        """Events of tool calls."""

    @abstractmethod
    def end(self, finish_reason: str) -> list[Piece]:
        """The last events of a stream; ``finish_reason`` is OpenAI's word."""

    @abstractmethod
    def answer(self, text: str, *calls: Call, finish_reason: str = "stop") -> Json:
        """An answer that is not streamed."""

    @abstractmethod
    def error(self, status: int, message: str = "no", headers: Mapping[str, str] | None = None) -> Json:
        """An answer that is an error of the kind that goes with the status."""

    @abstractmethod
    def fault(self, message: str = "overloaded") -> bytes:
        """An error event inside a stream."""


def halves(text: str) -> tuple[str, str]:
    """A text in two pieces."""
    return text[: len(text) // 2], text[len(text) // 2 :]


class OpenAIDialect(Dialect):
    """https://platform.openai.com/docs/api-reference/chat-streaming."""

    name = "openai"

    def opening(self) -> list[Piece]:
        return Stream.words()

    def word_pieces(self, words: Iterable[str]) -> list[Piece]:
        return Stream.words(*words)[1:]

    def call_pieces(self, calls: Iterable[Call], whole: bool) -> list[Piece]:
        pieces: list[Piece] = []
        for index, call in enumerate(calls):
            first, *rest = [call.arguments] if whole else ["", *halves(call.arguments)]
            head = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": first}}
            deltas: list[dict[str, Any]] = [head, *({"function": {"arguments": piece}} for piece in rest)]
            pieces += [frame(choice({"tool_calls": [{"index": index, **delta}]})) for delta in deltas]
        return pieces

    def end(self, finish_reason: str) -> list[Piece]:
        usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        return [frame(choice({}, finish_reason)), *Stream.end(usage)[1:]]

    def answer(self, text: str, *calls: Call, finish_reason: str = "stop") -> Json:
        called = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
        message = {"role": "assistant", "content": text or None, **({"tool_calls": called} if called else {})}
        usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        choices = [{"index": 0, "message": message, "finish_reason": finish_reason}]
        return Json({"id": "chatcmpl-upstream", "object": "chat.completion", "choices": choices, "usage": usage})

    def error(self, status: int, message: str = "no", headers: Mapping[str, str] | None = None) -> Json:
        return Json({"error": {"message": message, "type": "t", "param": None, "code": None}}, status, headers or {})

    def fault(self, message: str = "overloaded") -> bytes:
        return frame({"error": {"message": message, "type": "server_error", "param": None, "code": None}})


class AnthropicDialect(Dialect):
    """https://docs.anthropic.com/en/docs/build-with-claude/streaming, with its pings."""

    name = "anthropic"
    REASONS: Mapping[str, str] = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}

    def event(self, kind: str, **members: Any) -> bytes:
        """An event on the wire."""
        return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps({"type": kind, **members}) + b"\n\n"

    def block(self, index: int, block: Mapping[str, Any], *deltas: Mapping[str, Any]) -> list[Piece]:
        """The events of one content block."""
        return [
            self.event("content_block_start", index=index, content_block=block),
            *(self.event("content_block_delta", index=index, delta=delta) for delta in deltas),
            self.event("content_block_stop", index=index),
        ]

    def opening(self) -> list[Piece]:
        usage = {"input_tokens": 7, "output_tokens": 1}
        message = {
            "id": "msg_upstream",
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": "upstream-model",
        }
        start = {**message, "stop_reason": None, "stop_sequence": None, "usage": usage}
        return [self.event("message_start", message=start), self.event("ping")]

    def word_pieces(self, words: Iterable[str]) -> list[Piece]:
        return self.block(0, {"type": "text", "text": ""}, *({"type": "text_delta", "text": word} for word in words))

    def call_pieces(self, calls: Iterable[Call], whole: bool) -> list[Piece]:
        pieces: list[Piece] = []
        for index, call in enumerate(calls):
            block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
            texts = () if whole else halves(call.arguments)
            given = {**block, "input": orjson.loads(call.arguments)} if whole else block
            pieces += self.block(index, given, *({"type": "input_json_delta", "partial_json": text} for text in texts))
        return pieces

    def end(self, finish_reason: str) -> list[Piece]:
        delta = {"stop_reason": self.REASONS.get(finish_reason, finish_reason), "stop_sequence": None}
        return [
            self.event("message_delta", delta=delta, usage={"output_tokens": 3}),
            self.event("message_stop"),
        ]

    def answer(self, text: str, *calls: Call, finish_reason: str = "stop") -> Json:
        content: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
        content += [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": orjson.loads(call.arguments)}
            for call in calls
        ]
        message = {"id": "msg_upstream", "type": "message", "role": "assistant", "content": content}
        reason = self.REASONS.get(finish_reason, finish_reason)
        return Json({**message, "stop_reason": reason, "usage": {"input_tokens": 7, "output_tokens": 3}})

    def error(self, status: int, message: str = "no", headers: Mapping[str, str] | None = None) -> Json:
        error = {"type": TYPES.get(status, "api_error"), "message": message}
        return Json({"type": "error", "error": error, "request_id": "req_upstream"}, status, headers or {})

    def fault(self, message: str = "overloaded") -> bytes:
        return self.event("error", error={"type": "overloaded_error", "message": message})


OPENAI = OpenAIDialect()
ANTHROPIC = AnthropicDialect()
