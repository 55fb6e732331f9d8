"""ChatCompletion: an answer put together from its chunks. An answer that is not streamed is one, collected."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from llm.chat.chunk import ChatChunk, ToolCallDelta
from llm.chat.request import Message
from llm.usage import Usage


@dataclass(slots=True)
class ToolCall:
    """A whole tool call; ``arguments`` is JSON text."""

    id: str
    name: str
    arguments: str

    def to_wire(self) -> dict[str, Any]:
        """The member of ``message.tool_calls``."""
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


@dataclass(slots=True)
class ChatCompletion:
    """What a model answered. Chunks are added in order; it is whole when the last of them has been."""

    tool_calls: list[ToolCall] = field(default_factory=list)
    finish_reason: str | None = None
    usage: Usage | None = None
    extra: dict[str, Any] = field(default_factory=dict)
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
        for name, value in (chunk.extra or {}).items():
            known = self.extra.get(name)
            self.extra[name] = known + value if isinstance(known, str) and isinstance(value, str) else value
        self.finish_reason = chunk.finish_reason or self.finish_reason
        self.usage = chunk.usage or self.usage

    def _add_call(self, delta: ToolCallDelta) -> None:
        while len(self.tool_calls) <= delta.index:
            self.tool_calls.append(ToolCall("", "", ""))
        call = self.tool_calls[delta.index]
        call.id = delta.id or call.id
        call.name = delta.name or call.name
        call.arguments += delta.arguments

    def message(self) -> Message:
        """The assistant's message on the wire: ``content`` is null when there are only tool calls."""
        content: str | None = self.content
        message: Message = {"role": "assistant", "content": content, "refusal": None, **self.extra}
        if self.tool_calls:
            message["content"] = content or None
            message["tool_calls"] = [call.to_wire() for call in self.tool_calls]
        return message


async def collect(chunks: AsyncGenerator[ChatChunk, None]) -> ChatCompletion:
    """Pulls a stream to its end and returns the answer; the stream is closed on every way out."""
    completion = ChatCompletion()
    async with aclosing(chunks):
        async for chunk in chunks:
            completion.add(chunk)
    return completion
