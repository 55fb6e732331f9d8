"""Answers of OpenAI's Responses API in the words of its chat API: items, typed events, why it ended, what it cost.

Thoughts and summaries of them come as ``reasoning_content``. In encrypted form they come as ``reasoning_items``, which
OpenAI wants back in the assistant's message when tools were called in between. Items of tools that run at OpenAI are
not shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from llm.chat import ChatChunk, ToolCallDelta
from llm.chat.completion import joined
from llm.errors import UpstreamBrokeOff, UpstreamGarbled
from llm.providers.openai_answer import logprobs_in
from llm.providers.openai_errors import error_of_response
from llm.usage import Usage

ANOTHER_SHAPE = "the upstream sent something of another shape than the Responses API's"
USAGE_NAMES = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens_details": "completion_tokens_details",
}
"""What the chat API calls what the Responses API counts."""
CALLS = {"function_call": ("function", "arguments"), "custom_tool_call": ("custom", "input")}
"""Items that are calls of the caller's tools: the kind of tool, and where its input stands."""
PIECES = {
    "response.function_call_arguments.delta": "function",
    "response.custom_tool_call_input.delta": "custom",
}
EXTRAS = {
    "response.reasoning_summary_text.delta": "reasoning_content",
    "response.reasoning_text.delta": "reasoning_content",
    "response.refusal.delta": "refusal",
}
"""Events whose ``delta`` is a member of the chat's delta, beside its content."""


@dataclass(slots=True)
class _Item:
    """An item of the answer: which call it is, if it is one, and whether any of it has come."""

    call: int = -1
    said: bool = False


@dataclass(slots=True)
class ResponseReader:
    """Reads the events of one streamed response (https://platform.openai.com/docs/api-reference/responses-streaming).

    An item that a server sends whole, without the pieces of it before, is taken from where it is whole.
    """

    finished: bool = False
    """Whether the response has said that it is complete, or why it is not."""
    _items: dict[object, _Item] = field(default_factory=dict)
    _calls: int = 0

    def read(self, event: Mapping[str, Any]) -> ChatChunk | None:
        """What an event says; None for those that only repeat or frame others, and for kinds that are still to come.

        Raises:
            UpstreamGarbled: when it has another shape than OpenAI's.
            UpstreamError: when it says that the response failed.
        """
        read = READS.get(str(event.get("type")))
        return read(self, _place(event), event) if read else None

    def _item(self, index: object) -> _Item:
        return self._items.setdefault(index, _Item())

    def _added(self, place: object, event: Mapping[str, Any]) -> ChatChunk | None:
        return self._begin(place, _object(event, "item"))

    def _begin(self, place: object, wire: Mapping[str, Any]) -> ChatChunk | None:
        item = self._item(place)
        if str(wire.get("type")) not in CALLS or item.call >= 0:
            return None
        kind, member = CALLS[str(wire["type"])]
        item.call, self._calls = self._calls, self._calls + 1
        given = _string(wire, member)
        item.said = bool(given)
        call_id = _string(wire, "call_id") or _string(wire, "id")
        return ChatChunk(tool_calls=(ToolCallDelta(item.call, given, call_id, _string(wire, "name"), kind),))

    def _piece(self, place: object, event: Mapping[str, Any]) -> ChatChunk | None:
        item, piece = self._item(place), _string(event, "delta")
        if not piece or item.call < 0:
            return None
        item.said = True
        return ChatChunk(tool_calls=(ToolCallDelta(item.call, piece, kind=PIECES[str(event["type"])]),))

    def _text(self, place: object, event: Mapping[str, Any]) -> ChatChunk | None:
        text, logprobs = _string(event, "delta"), _logprobs(event.get("logprobs"))
        self._item(place).said = True
        return ChatChunk(text or None, logprobs=logprobs) if text or logprobs else None

    def _extra(self, place: object, event: Mapping[str, Any]) -> ChatChunk | None:
        self._item(place).said = True
        text = _string(event, "delta")
        return ChatChunk(extra={EXTRAS[str(event["type"])]: text}) if text else None

    def _paragraph(self, place: object, event: Mapping[str, Any]) -> ChatChunk | None:
        """The space between a part of a summary and the next."""
        return ChatChunk(extra={"reasoning_content": "\n\n"}) if event.get("summary_index") else None

    def _done(self, place: object, event: Mapping[str, Any]) -> ChatChunk | None:
        return self._end(place, _object(event, "item"))

    def _end(self, place: object, wire: Mapping[str, Any]) -> ChatChunk | None:
        """What is in a whole item, and was in none of its pieces."""
        begun, item = self._begin(place, wire), self._item(place)
        if item.call >= 0:
            return _sum(begun, None if item.said else self._rest_of_call(item, wire))
        said = None if item.said else _whole(wire)
        item.said = True
        if wire.get("type") == "reasoning" and wire.get("encrypted_content"):
            said = _sum(said, ChatChunk(extra={"reasoning_items": [dict(wire)]}))
        return said

    def _rest_of_call(self, item: _Item, wire: Mapping[str, Any]) -> ChatChunk | None:
        kind, member = CALLS.get(str(wire.get("type")), CALLS["function_call"])
        given = _string(wire, member)
        return ChatChunk(tool_calls=(ToolCallDelta(item.call, given, kind=kind),)) if given else None

    def _finish(self, place: object, event: Mapping[str, Any]) -> ChatChunk | None:
        response, said = _object(event, "response"), None
        if not self._items:
            for index, wire in enumerate(_list(response, "output")):
                said = _sum(said, self._end(index, wire))
        self.finished = True
        return _sum(said, ChatChunk(finish_reason=self._reason(response, event), usage=_usage(response)))

    def _fail(self, place: object, event: Mapping[str, Any]) -> ChatChunk | None:
        raise error_of_response(_object(event, "response").get("error"))

    def _cut_off(self, place: object, event: Mapping[str, Any]) -> ChatChunk | None:
        raise UpstreamBrokeOff("the upstream cut its answer off")

    def _broken(self, place: object, event: Mapping[str, Any]) -> ChatChunk | None:
        raise error_of_response(event)

    def _reason(self, response: Mapping[str, Any], event: Mapping[str, Any]) -> str:
        if event["type"] == "response.incomplete":
            details = response.get("incomplete_details")
            why = details.get("reason") if isinstance(details, Mapping) else None
            return "content_filter" if why == "content_filter" else "length"
        return "tool_calls" if self._calls else "stop"


READS: Mapping[str, Callable[[ResponseReader, object, Mapping[str, Any]], ChatChunk | None]] = {
    "response.output_item.added": ResponseReader._added,
    "response.output_item.done": ResponseReader._done,
    "response.output_text.delta": ResponseReader._text,
    **dict.fromkeys(EXTRAS, ResponseReader._extra),
    "response.reasoning_summary_part.added": ResponseReader._paragraph,
    **dict.fromkeys(PIECES, ResponseReader._piece),
    **dict.fromkeys(("response.completed", "response.incomplete"), ResponseReader._finish),
    "response.failed": ResponseReader._fail,
    "response.cancelled": ResponseReader._cut_off,
    "error": ResponseReader._broken,
}
"""The events that say something; the others repeat or frame them."""


def _place(event: Mapping[str, Any]) -> object:
    """Which item an event is about: its place in the answer, or its id where a server leaves the place out."""
    index, item = event.get("output_index"), event.get("item")
    own = item.get("id") if isinstance(item, Mapping) else None
    return index if isinstance(index, int) else str(event.get("item_id", own))


def chunk_of_response(response: Mapping[str, Any]) -> ChatChunk:
    """A response that is not streamed: the stream that it would have been, in one chunk.

    Raises:
        UpstreamGarbled: when it has another shape than OpenAI's.
        UpstreamError: when it says that it failed.
    """
    status = response.get("status") or "completed"
    chunk = ResponseReader().read({"type": f"response.{status}", "response": response})
    if chunk is None:
        raise UpstreamGarbled("the upstream's response is neither complete nor failed")
    return chunk


def _whole(wire: Mapping[str, Any]) -> ChatChunk | None:
    """The text, refusal or thoughts in a whole item."""
    said: ChatChunk | None = None
    if wire.get("type") == "message":
        for part in _list(wire, "content"):
            text = ChatChunk(_string(part, "text") or None, logprobs=_logprobs(part.get("logprobs")))
            refusal = _string(part, "refusal")
            said = _sum(said, ChatChunk(extra={"refusal": refusal}) if refusal else text)
    elif wire.get("type") == "reasoning" and (thought := "\n\n".join(_thoughts(wire))):
        said = ChatChunk(extra={"reasoning_content": thought})
    return said


def _thoughts(wire: Mapping[str, Any]) -> Iterator[str]:
    for member in ("summary", "content"):
        if wire.get(member):
            yield from (_string(part, "text") for part in _list(wire, member))


def _logprobs(wire: Any) -> dict[str, Any] | None:
    """The ``logprobs`` of a chat; the bytes of tokens, where a stream leaves them out, are those of their text."""
    if not isinstance(wire, list) or not wire:
        return None
    return logprobs_in(
        {"logprobs": {"content": [_logprob(each) for each in wire if isinstance(each, dict)], "refusal": None}}
    )


def _logprob(wire: Mapping[str, Any]) -> dict[str, Any]:
    tops = [_with_bytes(top) for top in _list({"tops": wire.get("top_logprobs") or []}, "tops")]
    return {**_with_bytes(wire), "top_logprobs": tops}


def _with_bytes(wire: Mapping[str, Any]) -> dict[str, Any]:
    return {"bytes": list(_string(wire, "token").encode()), **wire}


def _usage(response: Mapping[str, Any]) -> Usage | None:
    wire = response.get("usage")
    if not isinstance(wire, Mapping):
        return None
    return Usage.from_wire({USAGE_NAMES.get(str(name), str(name)): value for name, value in wire.items()})


def _sum(whole: ChatChunk | None, chunk: ChatChunk | None) -> ChatChunk | None:
    if whole is None or chunk is None:
        return whole or chunk
    content = (whole.content or "") + (chunk.content or "")
    extra = joined(whole.extra or {}, chunk.extra or {})
    logprobs = joined(whole.logprobs or {}, chunk.logprobs or {})
    calls = whole.tool_calls + chunk.tool_calls
    return ChatChunk(content or None, calls, chunk.finish_reason, chunk.usage, extra or None, logprobs or None)


def _object(wire: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = wire.get(name)
    if not isinstance(value, dict):
        raise UpstreamGarbled(ANOTHER_SHAPE)
    return value


def _list(wire: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    value = wire.get(name)
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise UpstreamGarbled(ANOTHER_SHAPE)
    return value


def _string(wire: Mapping[str, Any], name: str) -> str:
    value = wire.get(name) or ""
    if not isinstance(value, str):
        raise UpstreamGarbled(ANOTHER_SHAPE)
    return value
