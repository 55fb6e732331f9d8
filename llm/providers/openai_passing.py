"""An OpenAI-compatible upstream's answer on its way through: its own bytes, under the name that the caller asked for.

An event is looked into as far as it must be: the first ones are parsed, and each that differs from the one before in
more than the text of its delta. What strict clients would trip over is mended, in that event only (see
:mod:`llm.providers.openai_mending`). Usage is read, and told once, at
the end, to callers who asked for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from llm.chat import ChatChunk, ChatRequest
from llm.errors import UpstreamError, UpstreamGarbled
from llm.providers.http import parsed_object
from llm.providers.openai_answer import DONE, chunk_of, usage_in
from llm.providers.openai_errors import error_of_event
from llm.providers.openai_mending import (
    ChoiceState,
    index_of,
    mend_answer,
    mend_choice,
    mend_delta,
    mend_head,
    mend_usage,
)
from llm.providers.openai_tool_calls import ToolCallIndexes
from llm.usage import Usage

MODEL = re.compile(rb'\{[^{\[]*?"model"\s*:\s*("[^"\\]*")')
"""The value of ``model`` in the head of an object: before it there is nothing that could hold another one."""
NO_USAGE = b',"usage":null'
QUOTE, BACKSLASH = b'"\\'
STREAMED, WHOLE = "chat.completion.chunk", "chat.completion"
HEAD = ("id", "object", "created", "model", "system_fingerprint")


@dataclass(frozen=True, slots=True)
class _Mould:
    """An event but for the text of its delta, as it comes and as it goes on."""

    member: str
    before: bytes
    after: bytes
    goes_before: bytes
    goes_after: bytes

    def chunk(self, data: bytes) -> ChatChunk | None:
        """The chunk in an event, if that is another text in this mould."""
        start, stop = len(self.before), len(data) - len(self.after)
        if start > stop or not (data.startswith(self.before) and data.endswith(self.after)):
            return None
        raw = data[start:stop]
        if QUOTE in raw:
            return None
        try:
            text = orjson.loads(b'"%b"' % raw) if BACKSLASH in raw else raw.decode()
        except ValueError:
            return None
        wire = self.goes_before + raw + self.goes_after
        return (
            ChatChunk(text, wire=wire) if self.member == "content" else ChatChunk(extra={self.member: text}, wire=wire)
        )


class Passage:
    """A stream on its way through to whoever asked for ``request``.

    Attributes:
        ended: whether the upstream has said that the stream is over.
        fault: what it said or did that ends the answer, after what has been taken.
    """

    def __init__(self, request: ChatRequest) -> None:
        self._name = orjson.dumps(request.model)
        self._model = request.model
        self._told = request.include_usage
        self._choices: dict[int, ChoiceState] = {}
        self._mould: _Mould | None = None
        self._head: Mapping[str, Any] = {}
        self._usage = b""
        self.ended = False
        self.fault: UpstreamError | None = None

    @property
    def finished(self) -> bool:
        """Whether some choice has said why it ended."""
        return any(choice.finished for choice in self._choices.values())

    def take(self, events: Iterable[bytes]) -> ChatChunk | None:
        """One chunk of the data of some events, up to the end of the stream or a fault; None when nothing is left of
        them."""
        taken: list[ChatChunk] = []
        try:
            for data in events:
                if data == DONE:
                    self.ended = True
                    break
                chunk = (self._mould.chunk(data) if self._mould is not None else None) or self._read(data)
                if chunk is not None:
                    taken.append(chunk)
        except UpstreamError as error:
            self.fault = error
        return _together(taken)

    def close(self) -> ChatChunk:
        """What is left to say at the end: that choices stopped which did not say why they ended, and the usage."""
        if not self._head:
            return ChatChunk()
        open_ = [(index, choice) for index, choice in self._choices.items() if not choice.finished]
        return ChatChunk(wire=b"".join([*(self._stopped(*each) for each in open_), self._usage]))

    def _stopped(self, index: int, choice: ChoiceState) -> bytes:
        delta = {} if choice.begun else {"role": "assistant", "content": ""}
        said = {"index": index, "delta": delta, "logprobs": None, "finish_reason": "stop"}
        return _frame(orjson.dumps({**self._head, "model": self._model, "choices": [said]}))

    def _read(self, data: bytes) -> ChatChunk | None:
        """The chunk in an event that is looked into; None for one that says nothing."""
        event = parsed_object(data)
        if event.get("error"):
            raise error_of_event(event["error"])
        usage = usage_in(event)
        if not event.get("choices"):
            return self._uncalled_for(event, data, usage)
        chunks, mended = self._mended(event["choices"])
        changed = mend_head(event, STREAMED, self._head) or usage is not None
        if not self._head:
            self._head = {name: event[name] for name in HEAD if name in event}
        if usage is not None:
            del event["usage"]
            self._usage = self._usage_frame({**self._head, "choices": [], "usage": usage.to_wire()})
        chunk = _together(chunks) or ChatChunk()
        chunk.usage = usage
        chunk.wire = self._frame(event, None if changed or mended else data)
        if not (changed or mended):
            self._learn(event, data, chunk.wire)
        return chunk

    def _uncalled_for(self, event: dict[str, Any], data: bytes, usage: Usage | None) -> ChatChunk | None:
        """An event without choices: that of the usage, or one that many clients would trip over."""
        if event.get("choices") is None:
            raise UpstreamGarbled("the upstream sent a chunk of another shape than OpenAI's")
        if usage is None:
            return None
        mended = mend_head(event, STREAMED, self._head) | mend_usage(event)
        self._usage = self._usage_frame(event, None if mended else data)
        return ChatChunk(usage=usage, wire=b"")

    def _usage_frame(self, event: Mapping[str, Any], data: bytes | None = None) -> bytes:
        return self._frame(event, data) if self._told else b""

    def _frame(self, event: Mapping[str, Any], data: bytes | None) -> bytes:
        """The event as it goes on: the bytes of ``data`` where it is as it came."""
        edited = None if data is None else self._edited(event, data)
        if edited is None:
            rest = {name: value for name, value in event.items() if self._told or name != "usage"}
            edited = orjson.dumps({**rest, "model": self._model})
        return _frame(edited)

    def _edited(self, event: Mapping[str, Any], data: bytes) -> bytes | None:
        """The bytes with the name that was asked for, and without a usage of null that was not; None where they are
        written so that this cannot be done safely."""
        if b"\n" in data:
            return None
        if not self._told and "usage" in event:
            if data.count(NO_USAGE) != 1:
                return None
            data = data.replace(NO_USAGE, b"")
        return renamed(data, self._name)

    def _mended(self, choices: Any) -> tuple[list[ChatChunk], bool]:
        """The chunks of an event's choices, which are mended in place, and whether any of them had to be.

        Raises:
            UpstreamError: when they are none, or say that the answer failed.
        """
        if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
            raise UpstreamGarbled("the upstream sent a chunk of another shape than OpenAI's")
        chunks, mended = [], False
        for choice in choices:
            index = index_of(choice)
            state = self._choices.get(index) or self._choices.setdefault(index, ChoiceState())
            delta = choice.get("delta") or {}
            chunk = chunk_of(choice, delta, None, state.calls)
            mended |= mend_delta(delta, chunk, state)
            mended |= mend_choice(choice, delta, chunk)
            state.finished = state.finished or chunk.finish_reason is not None
            chunks.append(replace(chunk, finish_reason=None) if index else chunk)
        return chunks, mended

    def _learn(self, event: Mapping[str, Any], data: bytes, wire: bytes) -> None:
        """Keeps the mould of an event whose delta is one text."""
        delta = event["choices"][0]["delta"]
        if len(event["choices"]) > 1 or len(delta) != 1 or event["choices"][0]["finish_reason"] is not None:
            return
        member, text = next(iter(delta.items()))
        if not isinstance(text, str) or not text or not member.isidentifier() or QUOTE in (raw := text.encode()):
            return
        marked = b'"delta":{"%b":"%b"}' % (member.encode(), raw)
        if BACKSLASH in raw or data.count(marked) != 1 or wire.count(marked) != 1:
            return
        ends = len(marked) - 2
        starts = ends - len(raw)
        came, goes = data.find(marked), wire.find(marked)
        self._mould = _Mould(
            member, data[: came + starts], data[came + ends :], wire[: goes + starts], wire[goes + ends :]
        )


def whole(body: bytes, request: ChatRequest) -> ChatChunk:
    """An answer that is not streamed, on its way through.

    Raises:
        UpstreamError: when it is none.
    """
    answer = parsed_object(body)
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not all(isinstance(choice, dict) for choice in choices):
        raise UpstreamGarbled("the upstream's answer has another shape than OpenAI's")
    chunks = [chunk_of(choice, choice.get("message"), None, ToolCallIndexes()) for choice in choices]
    mended = [
        mend_answer(choice, chunk, index) for index, (choice, chunk) in enumerate(zip(choices, chunks, strict=True))
    ]
    mended += [mend_head(answer, WHOLE), mend_usage(answer)]
    edited = None if any(mended) else renamed(body, orjson.dumps(request.model))
    made = _together(chunks) or ChatChunk()
    made.finish_reason, made.usage = chunks[0].finish_reason, usage_in(answer)
    made.wire = edited or orjson.dumps({**answer, "model": request.model})
    return made


def renamed(data: bytes, name: bytes) -> bytes | None:
    """The bytes of an object with this JSON text as its ``model``; None where that does not stand in its head."""
    found = MODEL.match(data)
    return None if found is None else b"".join((data[: found.start(1)], name, data[found.end(1) :]))


def _frame(data: bytes) -> bytes:
    return b"data: %b\n\n" % data


def _together(chunks: list[ChatChunk]) -> ChatChunk | None:
    """Several chunks as one; None of none. What other members than the content hold is only good for counting."""
    if len(chunks) < 2:
        return chunks[0] if chunks else None
    made = ChatChunk(wire=b"".join([chunk.wire or b"" for chunk in chunks]))
    made.content = "".join([chunk.content for chunk in chunks if chunk.content]) or None
    for chunk in chunks:
        made.tool_calls += chunk.tool_calls
        made.finish_reason = chunk.finish_reason or made.finish_reason
        made.usage = chunk.usage or made.usage
        if chunk.extra:
            made.extra = _with_extra(made.extra or {}, chunk.extra)
    return made


def _with_extra(before: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Other members of two deltas: texts are put together, of anything else the newer one stands."""
    both = dict(before)
    for name, value in more.items():
        both[name] = both[name] + value if isinstance(value, str) and isinstance(both.get(name), str) else value
    return both
