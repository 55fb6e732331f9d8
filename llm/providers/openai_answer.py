"""What an OpenAI-compatible upstream's answers and events say, as chunks."""

from __future__ import annotations

from collections.abc import Mapping
from secrets import token_hex
from typing import Any

import orjson

from llm.chat import ChatChunk, ToolCallDelta
from llm.errors import UpstreamBrokeOff, UpstreamGarbled, UpstreamUnavailable
from llm.usage import Usage

DONE = b"[DONE]"
OWN_FIELDS = frozenset({"content", "tool_calls", "role"})
EMPTY: Any = (None, "", [], {})
FINISH_REASONS = {
    **{reason: reason for reason in ("stop", "length", "tool_calls", "content_filter", "function_call")},
    **dict.fromkeys(("max_tokens", "model_length", "max_length", "token_limit"), "length"),
    **dict.fromkeys(("tool_use", "tool_call"), "tool_calls"),
    **dict.fromkeys(("safety", "content_filtered", "refusal", "recitation"), "content_filter"),
}
"""OpenAI's words for why an answer ended, and what others say instead; any other word means that it just ended."""
FAILED = frozenset({"error", "failed", "failure", "malformed_function_call"})
CUT_OFF = frozenset({"abort", "aborted", "cancelled", "canceled"})


def usage_of(wire: Mapping[str, Any]) -> Usage | None:
    """The usage in an answer or an event, if it holds one."""
    usage = wire.get("usage")
    return Usage.from_wire(usage) if isinstance(usage, dict) else None


def chunk_of_event(event: Mapping[str, Any], calls: ToolCallIndexes) -> ChatChunk:
    """The chunk in an event of a stream.

    Raises:
        UpstreamError: when it is none, or says that the answer failed.
    """
    usage = usage_of(event)
    choices = event.get("choices")
    if choices == []:
        return ChatChunk(usage=usage)
    choice = _first(choices, "the upstream sent a chunk of another shape than OpenAI's")
    return chunk_of(choice, choice.get("delta") or {}, usage, calls)


def chunk_of_answer(answer: Mapping[str, Any]) -> ChatChunk:
    """The one chunk of an answer that is not streamed.

    Raises:
        UpstreamError: when it is none, or says that it failed.
    """
    choice = _first(answer.get("choices"), "the upstream's answer has another shape than OpenAI's")
    chunk = chunk_of(choice, choice.get("message"), usage_of(answer), ToolCallIndexes())
    chunk.finish_reason = chunk.finish_reason or "stop"
    return chunk


def _first(choices: object, otherwise: str) -> Mapping[str, Any]:
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    raise UpstreamGarbled(otherwise)


def chunk_of(choice: Mapping[str, Any], said: object, usage: Usage | None, calls: ToolCallIndexes) -> ChatChunk:
    """The chunk in a ``delta`` or a whole ``message``."""
    if not isinstance(said, dict):
        raise UpstreamGarbled("the upstream's answer holds no message")
    content, pieces, logprobs = said.get("content"), said.get("tool_calls") or (), choice.get("logprobs")
    if not isinstance(content, (str, type(None))) or not all(isinstance(piece, dict) for piece in pieces):
        raise UpstreamGarbled("the upstream's answer has a content or tool calls of another type than OpenAI's")
    extra = {name: value for name, value in said.items() if name not in OWN_FIELDS and value not in EMPTY}
    return ChatChunk(
        content or None,
        tuple(map(calls.delta, pieces)),
        _finish_reason(choice.get("finish_reason")),
        usage,
        extra or None,
        logprobs if isinstance(logprobs, dict) else None,
    )


def _finish_reason(said: object) -> str | None:
    """Why the answer ended, in OpenAI's words.

    Raises:
        UpstreamUnavailable, UpstreamBrokeOff: when it says that the answer failed, or was cut off.
    """
    if said in (None, ""):
        return None
    if not isinstance(said, str):
        raise UpstreamGarbled("the upstream's finish_reason is no string")
    word = said.casefold()
    if word in FAILED:
        raise UpstreamUnavailable("the upstream ended its answer with an error")
    if word in CUT_OFF:
        raise UpstreamBrokeOff("the upstream cut its answer off")
    return FINISH_REASONS.get(word, "stop")


class ToolCallIndexes:
    """Puts the pieces of tool calls in order, where upstreams leave out the index or id, give every call index 0, every
    piece an id of its own, or the name late."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._named: list[bool] = []

    def delta(self, wire: Mapping[str, Any]) -> ToolCallDelta:
        """The piece with the index that is right; ``id`` only in the first piece of a call, ``name`` only once."""
        kind = "custom" if isinstance(wire.get("custom"), dict) else "function"
        called = wire.get(kind) or {}
        name, arguments = called.get("name") or None, _text(called.get("arguments" if kind == "function" else "input"))
        index = self._index(wire.get("index"), wire.get("id") or None, name)
        if index == len(self._ids):
            self._ids.append(wire.get("id") or f"call_{token_hex(12)}")
            self._named.append(name is not None)
            return ToolCallDelta(index, arguments, self._ids[index], name or "", kind)
        if self._named[index]:
            name = None
        self._named[index] = self._named[index] or name is not None
        return ToolCallDelta(index, arguments, None, name, kind)

    def _index(self, given: object, call_id: str | None, name: str | None) -> int:
        known = len(self._ids)
        if call_id in self._ids:
            return self._ids.index(call_id)
        if isinstance(given, int) and 0 <= given < known and not (call_id and name and self._named[given]):
            return given
        return known if name or call_id or not known else known - 1


def _text(arguments: object) -> str:
    """Arguments as text, also where an upstream sends them as the object itself."""
    if isinstance(arguments, dict):
        return orjson.dumps(arguments).decode()
    if not isinstance(arguments, (str, type(None))):
        raise UpstreamGarbled("the upstream's answer has tool call arguments that are no text")
    return arguments or ""
