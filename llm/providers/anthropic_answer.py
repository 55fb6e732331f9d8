"""Anthropic's answers in OpenAI's words: content blocks, the events of a stream, why it ended, what it cost.

Thoughts come as ``reasoning_content`` (text) and as ``thinking_blocks`` (with their signatures), which Anthropic wants
back in the assistant's message when tools were called in between. The stop sequence that ended an answer comes as
``stop_sequence``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import orjson

from llm.chat import ChatChunk, ToolCallDelta
from llm.chat.completion import joined
from llm.errors import UpstreamGarbled
from llm.usage import Usage, count_of

FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""Any other word means that it just ended."""
ANOTHER_SHAPE = "the upstream sent an event of another shape than Anthropic's"


def usage_of(wire: Mapping[str, Any]) -> Usage:
    """The ``usage`` of an answer: OpenAI counts cached tokens among the prompt's, Anthropic beside them.

    All that Anthropic reports beside the two sums is kept as it is, and its cached and thinking tokens stand under
    OpenAI's names too.
    """
    read, written = count_of(wire.get("cache_read_input_tokens")), count_of(wire.get("cache_creation_input_tokens"))
    details = {name: value for name, value in wire.items() if name not in ("input_tokens", "output_tokens")}
    if read or written:
        details["prompt_tokens_details"] = {"cached_tokens": read, "cache_write_tokens": written}
    thought = wire.get("output_tokens_details")
    if isinstance(thought, Mapping) and "thinking_tokens" in thought:
        details["completion_tokens_details"] = {"reasoning_tokens": thought["thinking_tokens"]}
    prompt, completion = count_of(wire.get("input_tokens")) + read + written, count_of(wire.get("output_tokens"))
    return Usage(prompt, completion, prompt + completion, details)


class MessageReader:
    """Reads the events of one streamed message (https://docs.anthropic.com/en/docs/build-with-claude/streaming).

    The first chunk has what the prompt cost, as far as the message has opened with it (``so_far``).

    Attributes:
        finished: whether the message has said why it ended.
    """

    def __init__(self) -> None:
        self.finished = False
        self._opened: Usage | None = None
        self._usage: dict[str, Any] = {}
        self._blocks: dict[str, _Block] = {}
        self._calls = 0

    def read(self, event: Mapping[str, Any]) -> ChatChunk | None:
        """What an event says; None for pings, for the opening of a message, and for kinds that are still to come.

        Raises:
            UpstreamGarbled: when it has another shape than Anthropic's.
        """
        chunk = self._read(event)
        if chunk is not None and self._opened is not None:
            chunk.so_far, self._opened = self._opened, None
        return chunk

    def _read(self, event: Mapping[str, Any]) -> ChatChunk | None:
        match event.get("type"):
            case "message_start":
                self._spent(_object(event, "message"))
                self._opened = usage_of(self._usage) if self._usage else None
            case "content_block_start":
                return self._begin(_place(event), _object(event, "content_block"))
            case "content_block_delta":
                block = self._blocks.get(_place(event))
                return block.go_on(_object(event, "delta")) if block else None
            case "content_block_stop":
                block = self._blocks.pop(_place(event), None)
                return block.end() if block else None
            case "message_delta":
                return self._finish(event)
        return None

    def _begin(self, place: str, wire: Mapping[str, Any]) -> ChatChunk | None:
        kind = BLOCKS.get(str(wire.get("type")))
        if kind is None:
            return None
        block = self._blocks[place] = kind(wire, self._calls)
        self._calls += kind is _ToolUse
        return block.begin()

    def _finish(self, event: Mapping[str, Any]) -> ChatChunk | None:
        self._spent(event)
        reason = _object(event, "delta").get("stop_reason")
        if reason is None:
            return None
        self.finished = True
        usage = usage_of(self._usage) if self._usage else None
        stopped_by = _text(_object(event, "delta"), "stop_sequence")
        extra = {"stop_sequence": stopped_by} if stopped_by else None
        return ChatChunk(finish_reason=FINISH_REASONS.get(str(reason), "stop"), usage=usage, extra=extra)

    def _spent(self, wire: Mapping[str, Any]) -> None:
        """Takes in a usage; its counts are those of the message so far, not of the event."""
        usage = wire.get("usage")
        if isinstance(usage, Mapping):
            self._usage |= {name: value for name, value in usage.items() if value is not None}


def chunk_of_message(message: Mapping[str, Any]) -> ChatChunk:
    """An answer that is not streamed: the stream that it would have been, in one chunk.

    Raises:
        UpstreamGarbled: when it has another shape than Anthropic's.
    """
    if not isinstance(message.get("content"), list):
        raise UpstreamGarbled(ANOTHER_SHAPE)
    reader, whole = MessageReader(), ChatChunk()
    for index, block in enumerate(message["content"]):
        for kind in ("content_block_start", "content_block_stop"):
            whole = _added(whole, reader.read({"type": kind, "index": index, "content_block": block}))
    reason = {"stop_reason": message.get("stop_reason") or "end_turn", "stop_sequence": message.get("stop_sequence")}
    return _added(whole, reader.read({"type": "message_delta", "delta": reason, "usage": message.get("usage")}))


def _added(whole: ChatChunk, chunk: ChatChunk | None) -> ChatChunk:
    if chunk is None:
        return whole
    content = (whole.content or "") + (chunk.content or "")
    extra = joined(whole.extra or {}, chunk.extra or {})
    return ChatChunk(
        content or None, whole.tool_calls + chunk.tool_calls, chunk.finish_reason, chunk.usage, extra or None
    )


def _place(event: Mapping[str, Any]) -> str:
    """Which block an event is about."""
    return str(event.get("index"))


def _object(wire: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = wire.get(name)
    if not isinstance(value, dict):
        raise UpstreamGarbled(ANOTHER_SHAPE)
    return value


def _text(wire: Mapping[str, Any], name: str) -> str:
    value = wire.get(name) or ""
    if not isinstance(value, str):
        raise UpstreamGarbled(ANOTHER_SHAPE)
    return value


class _Block(ABC):
    """A content block in the making. Some servers send it whole with its start, and nothing after."""

    def __init__(self, wire: Mapping[str, Any], calls: int) -> None:
        self._wire = wire
        self._index = calls

    @abstractmethod
    def begin(self) -> ChatChunk | None: ...

    @abstractmethod
    def go_on(self, delta: Mapping[str, Any]) -> ChatChunk | None: ...

    def end(self) -> ChatChunk | None:
        return None


class _TextBlock(_Block):
    def begin(self) -> ChatChunk | None:
        return _said(_text(self._wire, "text"), self._wire.get("citations"))

    def go_on(self, delta: Mapping[str, Any]) -> ChatChunk | None:
        return _said(_text(delta, "text"), [delta["citation"]] if "citation" in delta else None)


def _said(text: str, citations: Any) -> ChatChunk | None:
    extra = {"citations": citations} if isinstance(citations, list) and citations else None
    return ChatChunk(text or None, extra=extra) if text or extra else None


class _ToolUse(_Block):
    _pieces = 0

    def begin(self) -> ChatChunk | None:
        delta = ToolCallDelta(self._index, "", _text(self._wire, "id") or None, _text(self._wire, "name"))
        return ChatChunk(tool_calls=(delta,))

    def go_on(self, delta: Mapping[str, Any]) -> ChatChunk | None:
        piece = _text(delta, "partial_json")
        self._pieces += bool(piece)
        return ChatChunk(tool_calls=(ToolCallDelta(self._index, piece),)) if piece else None

    def end(self) -> ChatChunk | None:
        if self._pieces:
            return None
        whole = orjson.dumps(self._wire.get("input") or {}).decode()
        return ChatChunk(tool_calls=(ToolCallDelta(self._index, whole),))


class _Thinking(_Block):
    def __init__(self, wire: Mapping[str, Any], calls: int) -> None:
        super().__init__(wire, calls)
        self._whole = dict(wire)

    def begin(self) -> ChatChunk | None:
        return _thought(_text(self._wire, "thinking"))

    def go_on(self, delta: Mapping[str, Any]) -> ChatChunk | None:
        for name in ("thinking", "signature"):
            if piece := _text(delta, name):
                self._whole[name] = _text(self._whole, name) + piece
        return _thought(_text(delta, "thinking"))

    def end(self) -> ChatChunk | None:
        return ChatChunk(extra={"thinking_blocks": [self._whole]})


def _thought(text: str) -> ChatChunk | None:
    return ChatChunk(extra={"reasoning_content": text}) if text else None


BLOCKS: Mapping[str, type[_Block]] = {
    "text": _TextBlock,
    "tool_use": _ToolUse,
    "thinking": _Thinking,
    "redacted_thinking": _Thinking,
}
"""The kinds of content that OpenAI's chat API has a place for; calls of tools that run at Anthropic are not shown."""
