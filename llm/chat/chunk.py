"""ChatChunk: a piece of an answer, as it comes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from llm.usage import Usage


@dataclass(slots=True)
class ToolCallDelta:
    """A piece of one tool call: the first piece names it, all of them together carry its arguments (JSON text)."""

    index: int
    arguments: str = ""
    id: str | None = None
    name: str | None = None

    def to_wire(self) -> dict[str, Any]:
        """The member of ``delta.tool_calls``; ``id``, ``type`` and ``name`` stand in the first piece only."""
        if self.name is None:
            return {"index": self.index, "function": {"arguments": self.arguments}}
        function = {"name": self.name, "arguments": self.arguments}
        return {"index": self.index, "id": self.id, "type": "function", "function": function}


@dataclass(slots=True)
class ChatChunk:
    """A piece of an answer: some text, some of a tool call, why it ended, what it cost; any of them, or none."""

    content: str | None = None
    tool_calls: tuple[ToolCallDelta, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    extra: Mapping[str, Any] | None = None
    """Other members of the delta (``reasoning_content``, ``refusal``, …), passed on as they are."""

    @classmethod
    def text(cls, content: str) -> Self:
        """A chunk of text."""
        return cls(content=content)

    def delta(self) -> dict[str, Any]:
        """The ``delta`` object on the wire, without the role."""
        delta: dict[str, Any] = dict(self.extra) if self.extra else {}
        if self.content is not None:
            delta["content"] = self.content
        if self.tool_calls:
            delta["tool_calls"] = [call.to_wire() for call in self.tool_calls]
        return delta
