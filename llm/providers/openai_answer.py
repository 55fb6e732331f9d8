"""What is in the answers of OpenAI-compatible chat APIs: the events of a stream, and a whole answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm.chat import ChatChunk
from llm.errors import UpstreamBrokeOff, UpstreamGarbled, UpstreamUnavailable
from llm.providers.openai_tool_calls import ToolCallIndexes
from llm.usage import Usage

ANOTHER_SHAPE = "the upstream sent a chunk of another shape than OpenAI's"
NO_ANSWER = "the upstream's answer has another shape than OpenAI's"
DONE = b"[DONE]"
OWN_FIELDS = frozenset({"content", "tool_calls", "role"})
COMMON = ("service_tier", "system_fingerprint")
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


class ChatReader:
    """Reads the events of one streamed chat (https://platform.openai.com/docs/api-reference/chat-streaming).

    Attributes:
        finished: whether the answer has said why it ended.
    """

    def __init__(self) -> None:
        self.finished = False
        self._calls = ToolCallIndexes()
        self._common: Mapping[str, Any] | None = None

    def read(self, event: Mapping[str, Any]) -> ChatChunk:
        """What an event says of the first choice.

        Raises:
            UpstreamGarbled: when it has another shape than OpenAI's.
        """
        usage, choices = usage_in(event), event.get("choices")
        if choices == []:
            return ChatChunk(usage=usage)
        choice = first_of(choices, ANOTHER_SHAPE)
        if choice.get("index"):
            return ChatChunk(usage=usage)
        chunk = chunk_of(choice, choice.get("delta") or {}, usage, self._calls)
        common = common_in(event)
        if common != self._common:
            self._common = chunk.common = common
        self.finished = self.finished or chunk.finish_reason is not None
        return chunk


def chunk_of_chat(answer: Mapping[str, Any]) -> ChatChunk:
    """A chat that is not streamed, in one chunk.

    Raises:
        UpstreamGarbled: when it has another shape than OpenAI's.
    """
    choice = first_of(answer.get("choices"), NO_ANSWER)
    chunk = chunk_of(choice, choice.get("message"), usage_in(answer), ToolCallIndexes())
    chunk.finish_reason = chunk.finish_reason or "stop"
    chunk.common = common_in(answer)
    return chunk


def common_in(wire: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What an answer or an event says of the whole answer."""
    return {name: wire[name] for name in COMMON if isinstance(wire.get(name), str)} or None


def usage_in(wire: Mapping[str, Any]) -> Usage | None:
    """The usage that an answer or an event reports, if it does."""
    return Usage.from_wire(wire["usage"]) if isinstance(wire.get("usage"), Mapping) else None


def first_of(choices: object, otherwise: str) -> Mapping[str, Any]:
    """The choice with the index 0, or with none; where there is none of them, any other.

    Raises:
        UpstreamGarbled: in the words of ``otherwise``, when there are no choices.
    """
    if isinstance(choices, list) and choices and all(isinstance(choice, dict) for choice in choices):
        return next((choice for choice in choices if not choice.get("index")), choices[0])
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
        finish_reason(choice.get("finish_reason")),
        usage,
        extra or None,
        _logprobs(logprobs) if isinstance(logprobs, dict) else None,
    )


def _logprobs(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a choice; lists of likeliest tokens, which some upstreams leave out, are then empty."""
    return {name: _topped(said) if name in ("content", "refusal") else said for name, said in given.items()}


def _topped(tokens: object) -> list[Any] | None:
    if not isinstance(tokens, list):
        return None
    return [{**token, "top_logprobs": token.get("top_logprobs") or []} for token in tokens if isinstance(token, dict)]


def finish_reason(said: object) -> str | None:
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
