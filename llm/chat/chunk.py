"""ChatChunk: a piece of an answer, as it comes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from llm.usage import Usage


@dataclass(slots=True)
class ToolCallDelta:
    """A piece of one tool call: the first piece has its id, one its name, all together its arguments."""

    index: int
    arguments: str = ""
    """JSON text; of a custom tool its input, which is any text."""
    id: str | None = None
    name: str | None = None
    kind: str = "function"
    """``function`` or ``custom``."""

    def to_wire(self) -> dict[str, Any]:
        """The member of ``delta.tool_calls``; ``id`` and ``type`` stand in the first piece only, the name in one."""
        head = {} if self.id is None else {"id": self.id, "type": self.kind}
        return {"index": self.index, **head, self.kind: called(self.kind, self.name, self.arguments)}


def called(kind: str, name: str | None, arguments: str) -> dict[str, Any]:
    """The ``function`` or ``custom`` object of a tool call."""
    named = {} if name is None else {"name": name}
    return {**named, "arguments" if kind == "function" else "input": arguments}


@dataclass(slots=True)
class ChatChunk:
    """A piece of an answer: some text, some of a tool call, why it ended, what it cost; any of them, or none."""

    content: str | None = None
    tool_calls: tuple[ToolCallDelta, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    extra: Mapping[str, Any] | None = None
    """Other members of the delta (``reasoning_content``, ``refusal``, …), passed on as they are."""
    logprobs: Mapping[str, Any] | None = None
    """The ``logprobs`` of the choice, passed on as they are."""
    common: Mapping[str, Any] | None = None
    """What an upstream says of the whole answer (``service_tier``, ``system_fingerprint``), when it changes."""
    so_far: Usage | None = None
    """What is known of the cost before the answer has ended: that of the prompt, owed also where it breaks off."""
    wire: bytes | None = None
    """What the caller is to be sent for it, byte by byte, where the answer passes (:attr:`ChatRequest.passes`)."""

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
