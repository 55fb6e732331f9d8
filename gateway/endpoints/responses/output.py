"""Output items while they grow. Each says what happens to it as events: their types, and their members by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

Events: TypeAlias = Iterator[tuple[str, dict[str, Any]]]


class OutputItem(ABC):
    """One item of a response. ``status`` is ``in_progress`` until it is closed."""

    prefix: str

    def __init__(self, suffix: str, index: int) -> None:
        self.id = f"{self.prefix}_{suffix}{index:02x}"
        self.index = index
        self.status = "in_progress"

    @property
    def is_open(self) -> bool:
        """Whether more of it may come."""
        return self.status == "in_progress"

    @property
    def place(self) -> dict[str, Any]:
        """Where an event happens."""
        return {"item_id": self.id, "output_index": self.index}

    @abstractmethod
    def to_wire(self) -> dict[str, Any]:
        """The item as it stands."""

    @abstractmethod
    def finish(self) -> Events:
        """What ends inside the item, before itself does."""

    def open(self) -> Events:
        """The item begins."""
        yield "response.output_item.added", {"output_index": self.index, "item": self.to_wire()}

    def close(self, status: str = "completed") -> Events:
        """The item ends, ``completed`` or ``incomplete``."""
        yield from self.finish()
        self.status = status
        yield "response.output_item.done", {"output_index": self.index, "item": self.to_wire()}


class Part:
    """A part of a message: a text, or a refusal."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.logprobs: list[Any] = []
        self._texts: list[str] = []

    @property
    def text(self) -> str:
        """What has been said so far."""
        return "".join(self._texts)

    def add(self, text: str, logprobs: Sequence[Any]) -> dict[str, Any]:
        """Takes in some more of it; returns the members of the event that says so."""
        self._texts.append(text)
        self.logprobs += logprobs
        return {"delta": text, "logprobs": logprobs} if self.kind == "output_text" else {"delta": text}

    def whole(self) -> dict[str, Any]:
        """The members of the event that ends it."""
        if self.kind == "refusal":
            return {"refusal": self.text}
        return {"text": self.text, "logprobs": self.logprobs}

    def to_wire(self) -> dict[str, Any]:
        """The content part."""
        if self.kind == "refusal":
            return {"type": "refusal", "refusal": self.text}
        return {"type": "output_text", "text": self.text, "annotations": [], "logprobs": self.logprobs}


class MessageItem(OutputItem):
    """What is said to the caller."""

    prefix = "msg"

    def __init__(self, suffix: str, index: int) -> None:
        super().__init__(suffix, index)
        self._parts: list[Part] = []

    def to_wire(self) -> dict[str, Any]:
        content = [part.to_wire() for part in self._parts]
        return {"id": self.id, "type": "message", "status": self.status, "role": "assistant", "content": content}

    def say(self, kind: str, text: str, logprobs: Sequence[Any] = ()) -> Events:
        """Some more of a text (``output_text``) or of a refusal (``refusal``)."""
        if not self._parts or self._parts[-1].kind != kind:
            yield from self.finish()
            self._parts.append(Part(kind))
            yield "response.content_part.added", {**self._at, "part": self._parts[-1].to_wire()}
        yield f"response.{kind}.delta", {**self._at, **self._parts[-1].add(text, logprobs)}

    def finish(self) -> Events:
        if self._parts:
            part = self._parts[-1]
            yield f"response.{part.kind}.done", {**self._at, **part.whole()}
            yield "response.content_part.done", {**self._at, "part": part.to_wire()}

    @property
    def _at(self) -> dict[str, Any]:
        return {**self.place, "content_index": len(self._parts) - 1}


class ReasoningItem(OutputItem):
    """What was thought before something was said, as a summary of one part."""

    prefix = "rs"

    def __init__(self, suffix: str, index: int) -> None:
        super().__init__(suffix, index)
        self._texts: list[str] = []

    @property
    def _part(self) -> dict[str, Any]:
        return {"type": "summary_text", "text": "".join(self._texts)}

    @property
    def _at(self) -> dict[str, Any]:
        return {**self.place, "summary_index": 0}

    def to_wire(self) -> dict[str, Any]:
        summary = [self._part] if self._texts else []
        return {"id": self.id, "type": "reasoning", "status": self.status, "summary": summary}

    def think(self, text: str) -> Events:
        """Some more of it."""
        if not self._texts:
            yield "response.reasoning_summary_part.added", {**self._at, "part": self._part}
        self._texts.append(text)
        yield "response.reasoning_summary_text.delta", {**self._at, "delta": text}

    def finish(self) -> Events:
        part = self._part
        yield "response.reasoning_summary_text.done", {**self._at, "text": part["text"]}
        yield "response.reasoning_summary_part.done", {**self._at, "part": part}


class CallItem(OutputItem):
    """A call of a function of the caller's. It begins when its name is there."""

    prefix = "fc"
    kind = "function_call"
    given = "arguments"
    events = "response.function_call_arguments"

    def __init__(self, suffix: str, index: int) -> None:
        super().__init__(suffix, index)
        self._call_id = f"call_{suffix}{index:02x}"
        self._name: str | None = None
        self._held = ""
        self._texts: list[str] = []

    def to_wire(self) -> dict[str, Any]:
        wire = {"id": self.id, "type": self.kind, "status": self.status, "call_id": self._call_id}
        return {**wire, "name": self._name or "", self.given: "".join(self._texts)}

    def call(self, name: str | None, call_id: str | None, text: str) -> Events:
        """Some more of it: its name, its id, of what it is given."""
        self._call_id = call_id or self._call_id
        if self._name is None:
            self._held += text
            if name is None:
                return
            self._name, text = name, self._held
            yield from super().open()
        if text:
            self._texts.append(text)
            yield f"{self.events}.delta", {**self.place, "delta": text}

    def open(self) -> Events:
        """Nothing yet: see :meth:`call`."""
        yield from ()

    def finish(self) -> Events:
        if self._name is None:
            yield from self.call("", None, "")
        yield f"{self.events}.done", {**self.place, self.given: "".join(self._texts)}


class CustomCallItem(CallItem):
    """A call of a tool of the caller's that is given any text."""

    prefix = "ctc"
    kind = "custom_tool_call"
    given = "input"
    events = "response.custom_tool_call_input"


def logprobs_of(logprobs: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The tokens of a chunk with their logarithmic probabilities, in the form of this API."""
    tokens = (logprobs or {}).get("content")
    return [_token(token) for token in tokens] if isinstance(tokens, list) else []


def _token(token: Mapping[str, Any]) -> dict[str, Any]:
    return {**_plain(token), "top_logprobs": [_plain(other) for other in token.get("top_logprobs") or ()]}


def _plain(token: Mapping[str, Any]) -> dict[str, Any]:
    text = token.get("token") or ""
    return {"token": text, "logprob": token.get("logprob") or 0.0, "bytes": token.get("bytes") or list(text.encode())}
