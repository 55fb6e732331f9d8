"""An answer in Anthropic's words (https://docs.anthropic.com/en/docs/build-with-claude/streaming).

In a stream: ``message_start``, the blocks (``blocks.py``), ``message_delta`` with why it ended and what it cost,
``message_stop``. An error after the first byte is an ``error`` event, and nothing follows it.

Thoughts are ``thinking`` blocks; those of models other than Anthropic's have an empty signature.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from gateway.answers import Ending
from gateway.edge.sse import named_frame
from gateway.endpoints.messages.blocks import Blocks
from gateway.faults import Fault
from graph import Event
from llm import ChatChunk, ChatCompletion, UpstreamGarbled, Usage
from llm.providers.anthropic_answer import FINISH_REASONS

STOP_REASONS = {ours: theirs for theirs, ours in reversed(FINISH_REASONS.items())}
"""The first of Anthropic's words for each of OpenAI's."""


class MessagesDialect:
    """One message."""

    def __init__(self, event: Event) -> None:
        self._request_id = event.id
        self._model = event.body.model
        self._id = event.id.removeprefix("req_")
        self._blocks = Blocks(self._id)
        self._seen: dict[str, str] = {}

    def begin(self) -> bytes:
        opening = {**self._message([], usage_to_wire(Usage())), **_stopped(None)}
        return named_frame("message_start", {"type": "message_start", "message": opening})

    def chunk(self, chunk: ChatChunk) -> bytes:
        extra = chunk.extra or {}
        frames = self._thoughts(extra) + self._words(chunk, extra)
        return frames + b"".join(map(self._blocks.call, chunk.tool_calls)) if chunk.tool_calls else frames

    def end(self, ending: Ending) -> bytes:
        closed = self._blocks.close()
        delta = _stopped(_reason(ending, self._seen, self._blocks.called), self._seen)
        last = {"type": "message_delta", "delta": delta, "usage": usage_to_wire(ending.usage)}
        return closed + named_frame("message_delta", last) + named_frame("message_stop", {"type": "message_stop"})

    def error(self, fault: Fault) -> bytes:
        return named_frame("error", fault.anthropic(self._request_id))

    def whole(self, completion: ChatCompletion, ending: Ending) -> dict[str, Any]:
        seen = _texts(completion.extra, "refusal", "stop_sequence")
        content = [
            *_thoughts(completion.extra),
            *_said(completion),
            *self._calls(completion, cut=ending.finish_reason == "length"),
        ]
        reason = _reason(ending, seen, bool(completion.tool_calls))
        return {**self._message(content, usage_to_wire(ending.usage)), **_stopped(reason, seen)}

    def _message(self, content: list[dict[str, Any]], usage: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "id": f"msg_{self._id}",
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": content,
            "usage": usage,
        }

    def _thoughts(self, extra: Mapping[str, Any]) -> bytes:
        wholes = _wholes(extra)
        thought = extra.get("reasoning_content")
        frames = self._blocks.thought(thought) if isinstance(thought, str) and thought and not wholes else b""
        return frames + self._blocks.thoughts(wholes)

    def _words(self, chunk: ChatChunk, extra: Mapping[str, Any]) -> bytes:
        seen = _texts(extra, "refusal", "stop_sequence")
        self._seen |= seen
        citations = _objects(extra, "citations")
        words = self._blocks.text(chunk.content) if chunk.content else b""
        words += self._blocks.cited(citations) if citations else b""
        return words + self._blocks.refusal(seen["refusal"]) if "refusal" in seen else words

    def _calls(self, completion: ChatCompletion, *, cut: bool) -> Iterator[dict[str, Any]]:
        """The tool calls. In an answer that was cut off, one that is not whole is left out.

        Raises:
            UpstreamGarbled: when arguments are no JSON object in one that was not.
        """
        for index, call in enumerate(completion.tool_calls):
            given = _parsed(call.arguments)
            if given is not None:
                id_ = call.id or f"toolu_{self._id}_{index}"
                yield {"type": "tool_use", "id": id_, "name": call.name, "input": given}
            elif not cut:
                raise UpstreamGarbled(f"the arguments of the model's call of '{call.name}' are no JSON object")


def usage_to_wire(usage: Usage) -> dict[str, Any]:
    """The ``usage`` of a message: Anthropic counts the tokens of its cache beside the prompt's, OpenAI among them."""
    cached, written = usage.cached_tokens, usage.cache_write_tokens
    wire: dict[str, Any] = {
        "input_tokens": max(0, usage.prompt_tokens - cached - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.completion_tokens,
    }
    details = usage.details.get("completion_tokens_details")
    thought = details.get("reasoning_tokens") if isinstance(details, Mapping) else None
    if isinstance(thought, int):
        wire["output_tokens_details"] = {"thinking_tokens": thought}
    return {**wire, "estimated": True} if usage.estimated else wire


def _stopped(reason: str | None, seen: Mapping[str, str] | None = None) -> dict[str, Any]:
    return {"stop_reason": reason, "stop_sequence": seen.get("stop_sequence") if seen else None}


def _reason(ending: Ending, seen: Mapping[str, str], called: bool) -> str:
    if ending.finish_reason == "stop" and called:
        return "tool_use"
    if ending.finish_reason == "stop" and seen:
        return "refusal" if "refusal" in seen else "stop_sequence"
    return STOP_REASONS.get(ending.finish_reason, "tool_use")


def _thoughts(extra: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The thoughts, first those that nobody has signed."""
    wholes = _wholes(extra)
    signed = "".join(whole.get("thinking", "") for whole in wholes)
    unsigned = _texts(extra, "reasoning_content").get("reasoning_content", "").removesuffix(signed)
    first = [{"type": "thinking", "thinking": unsigned, "signature": ""}] if unsigned else []
    return [*first, *({"signature": "", **whole} if "thinking" in whole else whole for whole in wholes)]


def _wholes(extra: Mapping[str, Any]) -> list[dict[str, Any]]:
    kinds = ("thinking", "redacted_thinking")
    blocks = (block for block in _objects(extra, "thinking_blocks") if block["type"] in kinds)
    return [
        block for block in blocks if all(isinstance(block.get(name, ""), str) for name in ("thinking", "signature"))
    ]


def _said(completion: ChatCompletion) -> Iterator[dict[str, Any]]:
    citations = _objects(completion.extra, "citations")
    if completion.content or citations:
        yield {"type": "text", "text": completion.content, **({"citations": citations} if citations else {})}
    if refusal := _texts(completion.extra, "refusal").get("refusal"):
        yield {"type": "text", "text": refusal}


def _objects(extra: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The members of a list that Anthropic's API may have made; other upstreams put other things under its names."""
    values = extra.get(name)
    return (
        [value for value in values if isinstance(value, dict) and "type" in value] if isinstance(values, list) else []
    )


def _texts(extra: Mapping[str, Any], *names: str) -> dict[str, str]:
    return {name: value for name in names if isinstance(value := extra.get(name), str) and value}


def _parsed(arguments: str) -> dict[str, Any] | None:
    try:
        given = orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError:
        return None
    return given if isinstance(given, dict) else None
