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
NUMBERS = (int, float)
FINISH_REASONS = {
    **{reason: reason for reason in ("stop", "length", "tool_calls", "content_filter", "function_call")},
    **dict.fromkeys(("max_tokens", "model_length", "max_length", "token_limit"), "length"),
    **dict.fromkeys(("tool_use", "tool_call"), "tool_calls"),
    **dict.fromkeys(("safety", "content_filtered", "refusal", "recitation"), "content_filter"),
    **dict.fromkeys(("prohibited_content", "blocklist", "spii", "image_safety"), "content_filter"),
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
    return Usage.from_wire(wire["usage"]) if isinstance(wire.get("usage"), dict) else None


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
    content, pieces = said.get("content"), said.get("tool_calls") or []
    if not (content is None or isinstance(content, str)) or (pieces and not are_objects(pieces)):
        raise UpstreamGarbled("the upstream's answer has a content or tool calls of another type than OpenAI's")
    extra = {
        name: value for name, value in said.items() if name not in OWN_FIELDS and (value or isinstance(value, NUMBERS))
    }
    return ChatChunk(
        content or None,
        tuple(map(calls.delta, pieces)) if pieces else (),
        finish_reason(choice.get("finish_reason")),
        usage,
        extra or None,
        logprobs_in(choice),
    )


def are_objects(wire: object) -> bool:
    """Whether this is a list of objects."""
    return isinstance(wire, list) and all(isinstance(each, dict) for each in wire)


def logprobs_in(wire: Mapping[str, Any]) -> dict[str, Any] | None:
    """The ``logprobs`` of a choice, if it has some; lists of likeliest tokens that an upstream leaves out are empty.

    Raises:
        UpstreamGarbled: when their tokens have another shape than OpenAI's.
    """
    logprobs = wire.get("logprobs")
    if not isinstance(logprobs, dict):
        return None
    return {name: _topped(said) if name in ("content", "refusal") else said for name, said in logprobs.items()}


def _topped(tokens: Any) -> list[dict[str, Any]] | None:
    if tokens is None:
        return None
    if not are_objects(tokens) or not all(map(_is_token, tokens)):
        raise UpstreamGarbled("the upstream's logprobs have another shape than OpenAI's")
    return [{**token, "top_logprobs": token.get("top_logprobs") or []} for token in tokens]


def _is_token(token: Mapping[str, Any]) -> bool:
    tops = token.get("top_logprobs") or []
    return _is_rated(token) and are_objects(tops) and all(map(_is_rated, tops))


def _is_rated(token: Mapping[str, Any]) -> bool:
    rating = token.get("logprob")
    known = isinstance(rating, (int, float, type(None))) and not isinstance(rating, bool)
    return known and isinstance(token.get("token"), str)


def finish_reason(said: object) -> str | None:
    """Why the answer ended, in OpenAI's words.

    Raises:
        UpstreamUnavailable, UpstreamBrokeOff: when it says that the answer failed, or was cut off.
    """
    if said is None or said == "":
        return None
    if said in ("stop", "length", "tool_calls"):
        return str(said)
    if not isinstance(said, str):
        raise UpstreamGarbled("the upstream's finish_reason is no string")
    word = said.casefold()
    if word in FAILED:
        raise UpstreamUnavailable("the upstream ended its answer with an error")
    if word in CUT_OFF:
        raise UpstreamBrokeOff("the upstream cut its answer off")
    return FINISH_REASONS.get(word, "content_filter" if word.startswith("content_filter") else "stop")
