"""ChatCompletion: an answer put together from its chunks. An answer that is not streamed is one, collected."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from llm.chat.chunk import ChatChunk, ToolCallDelta, called
from llm.chat.request import Message
from llm.usage import Usage

INSTEAD_OF_CONTENT = ("refusal", "function_call", "audio")


@dataclass(slots=True)
class ToolCall:
    """A whole tool call; ``arguments`` is JSON text, of a custom tool any text."""

    id: str
    name: str
    arguments: str
    kind: str = "function"

    def to_wire(self) -> dict[str, Any]:
        """The member of ``message.tool_calls``."""
        return {"id": self.id, "type": self.kind, self.kind: called(self.kind, self.name, self.arguments)}


@dataclass(slots=True)
class ChatCompletion:
    """What a model answered. Chunks are added in order; it is whole when the last of them has been."""

    tool_calls: list[ToolCall] = field(default_factory=list)
    finish_reason: str | None = None
    usage: Usage | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    logprobs: Mapping[str, Any] | None = None
    common: Mapping[str, Any] = field(default_factory=dict)
    """What its upstream says of the whole answer, see :attr:`ChatChunk.common`."""
    wire: bytes | None = None
    """The answer as it is to be sent, where it came whole and passes."""
    _texts: list[str] = field(default_factory=list)

    @property
    def content(self) -> str:
        """The text of the answer."""
        return "".join(self._texts)

    @classmethod
    def of(cls, chunks: Iterable[ChatChunk]) -> ChatCompletion:
        """The answer that these chunks make."""
        completion = cls()
        for chunk in chunks:
            completion.add(chunk)
        return completion

    def add(self, chunk: ChatChunk) -> None:
        """Takes in the next chunk."""
        if chunk.content:
            self._texts.append(chunk.content)
        for delta in chunk.tool_calls:
            self._add_call(delta)
        if chunk.extra:
            self.extra = joined(self.extra, chunk.extra)
        if chunk.logprobs:
            self.logprobs = joined(self.logprobs or {}, chunk.logprobs)
        if chunk.common:
            self.common = {**self.common, **chunk.common}
        self.finish_reason = chunk.finish_reason or self.finish_reason
        self.usage = chunk.usage or self.usage
        self.wire = chunk.wire or self.wire

    def _add_call(self, delta: ToolCallDelta) -> None:
        while len(self.tool_calls) <= delta.index:
            self.tool_calls.append(ToolCall("", "", "", delta.kind))
        call = self.tool_calls[delta.index]
        call.id = delta.id or call.id
        call.name = delta.name or call.name
        call.arguments += delta.arguments

    def message(self) -> Message:
        """The assistant's message on the wire: ``content`` is null when something else stands instead of it."""
        says_otherwise = self.tool_calls or any(name in self.extra for name in INSTEAD_OF_CONTENT)
        content = self.content or None if says_otherwise else self.content
        message: Message = {"role": "assistant", "content": content, "refusal": None, **self.extra}
        if self.tool_calls:
            message["tool_calls"] = [call.to_wire() for call in self.tool_calls]
        return message


def joined(before: Any, piece: Any) -> Any:
    """Two pieces of a member that comes in pieces: texts and lists one after the other, objects member by member."""
    if isinstance(before, Mapping) and isinstance(piece, Mapping):
        return {**before, **{name: joined(before.get(name), value) for name, value in piece.items()}}
    if isinstance(before, str) and isinstance(piece, str):
        return before + piece
    if isinstance(before, list) and isinstance(piece, list):
        return [*before, *piece]
    return before if piece is None else piece


async def collect(chunks: AsyncGenerator[ChatChunk, None]) -> ChatCompletion:
    """Pulls a stream to its end and returns the answer; the stream is closed on every way out."""
    completion = ChatCompletion()
    async with aclosing(chunks):
        async for chunk in chunks:
            completion.add(chunk)
    return completion
