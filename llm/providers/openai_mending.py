"""What strict clients would trip over in the answers of OpenAI-compatible upstreams, put right where it stands.

Each function changes its first argument in place, and says whether it had to. Members that OpenAI's API does not have
stay, and so do words of an upstream's own for its tier.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from secrets import token_hex
from time import time
from types import MappingProxyType
from typing import Any

from llm.chat import ChatChunk
from llm.chat.chunk import ToolCallDelta
from llm.providers.openai_tool_calls import ToolCallIndexes
from llm.usage import COUNTS, Usage

ALWAYS = ("id", "object", "created")
NO_HEAD: Mapping[str, Any] = MappingProxyType({})


@dataclass(slots=True)
class ChoiceState:
    """What one choice of an answer has said so far."""

    calls: ToolCallIndexes = field(default_factory=ToolCallIndexes)
    begun: bool = False
    finished: bool = False


def new_head(kind: str) -> dict[str, Any]:
    """What an answer of this kind says of itself where its upstream says nothing."""
    return {"id": f"chatcmpl-{token_hex(12)}", "object": kind, "created": int(time())}


def mend_head(answer: dict[str, Any], kind: str, head: Mapping[str, Any] = NO_HEAD) -> bool:
    """An id, a kind and a time; those of ``head``, or new ones, where the answer has none, or one of another type."""
    if answer.get("object") == kind and type(answer.get("id")) is str and type(answer.get("created")) is int:
        return False
    head = head or new_head(kind)
    wrong = {name: head[name] for name in ALWAYS if type(answer.get(name)) is not type(head[name])}
    if answer.get("object") != head["object"]:
        wrong["object"] = head["object"]
    answer.update(wrong)
    return bool(wrong)


def mend_usage(answer: dict[str, Any]) -> bool:
    """Every count is there, and a number; the total is the sum of the others where it is not."""
    usage = answer.get("usage")
    if not isinstance(usage, dict) or _is_counted(usage):
        return False
    answer["usage"] = Usage.from_wire(usage).to_wire()
    return True


def _is_counted(usage: Mapping[str, Any]) -> bool:
    for name in COUNTS:  # noqa: SIM110 - three times as fast as all(), and every answer comes by here
        if type(usage.get(name)) is not int:
            return False
    return True


def mend_delta(delta: dict[str, Any], chunk: ChatChunk, state: ChoiceState) -> bool:
    """The role in the first delta and no other; tool calls with the index, id and name that are right."""
    mended = False
    if state.begun and "role" in delta:
        del delta["role"]
        mended = True
    elif not state.begun and delta.get("role") != "assistant":
        delta["role"] = "assistant"
        mended = True
    state.begun = True
    pieces = delta.get("tool_calls") or ()
    if not all(map(_is_right, pieces, chunk.tool_calls)):
        delta["tool_calls"] = [
            {**_others(piece), **call.to_wire()} for piece, call in zip(pieces, chunk.tool_calls, strict=True)
        ]
        mended = True
    return mended


def mend_choice(choice: dict[str, Any], delta: dict[str, Any], chunk: ChatChunk) -> bool:
    """The index, the delta and the reason for the end, in OpenAI's words; each of them always there."""
    right = {"index": index_of(choice), "delta": delta, "finish_reason": chunk.finish_reason}
    return _put_right(choice, {**right, **_logprobs(choice, chunk)})


def mend_answer(choice: dict[str, Any], chunk: ChatChunk, index: int) -> bool:
    """The same of a choice in a whole answer, which ends for a reason, and whose calls have ids."""
    message = choice["message"]
    right = {"index": index_of(choice, index), "finish_reason": chunk.finish_reason or "stop"}
    mended = _put_right(choice, {**right, **_logprobs(choice, chunk)})
    if message.get("role") != "assistant":
        message["role"] = "assistant"
        mended = True
    pieces = message.get("tool_calls")
    if not pieces:
        return mended
    if not all(_has_head(piece, call) for piece, call in zip(pieces, chunk.tool_calls, strict=True)):
        calls = ({**_others(piece), **call.to_wire()} for piece, call in zip(pieces, chunk.tool_calls, strict=True))
        message["tool_calls"] = [{name: value for name, value in call.items() if name != "index"} for call in calls]
        mended = True
    return mended


def index_of(choice: Mapping[str, Any], otherwise: int = 0) -> int:
    """The index of a choice, where it has one."""
    index = choice.get("index")
    return index if isinstance(index, int) else otherwise


def _put_right(wire: dict[str, Any], right: Mapping[str, Any]) -> bool:
    mended = False
    for name, value in right.items():
        if name not in wire or wire[name] != value:
            wire[name] = value
            mended = True
    return mended


def _logprobs(choice: Mapping[str, Any], chunk: ChatChunk) -> dict[str, Any]:
    """Those of a choice that tells some, as its chunk has them."""
    return {"logprobs": chunk.logprobs} if "logprobs" in choice else {}


def _is_right(piece: Mapping[str, Any], call: ToolCallDelta) -> bool:
    return piece.get("index") == call.index and _has_head(piece, call)


def _has_head(piece: Mapping[str, Any], call: ToolCallDelta) -> bool:
    """Whether a piece of a tool call says of itself what it must, and what it must not say again."""
    called = piece.get(call.kind)
    if not isinstance(called, Mapping) or isinstance(called.get("arguments"), Mapping):
        return False
    type_ = call.kind if call.id is not None else piece.get("type")
    return ((piece.get("id") or None), piece.get("type"), called.get("name") or None) == (
        call.id,
        type_,
        call.name or None,
    )


def _others(piece: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a piece of a tool call that OpenAI's API does not have."""
    return {name: value for name, value in piece.items() if name not in ("index", "id", "type", "function", "custom")}
