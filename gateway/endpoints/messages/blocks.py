"""The content blocks of a streamed answer: one after the other, each begun when something of its kind comes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.edge.sse import named_frame
from llm import ToolCallDelta, UpstreamGarbled


@dataclass(slots=True)
class _Call:
    """A tool call of which not all has come: nothing of it is said before its name is known."""

    id: str
    name: str = ""
    waiting: str = ""
    begun: bool = False


class Blocks:
    """The frames of an answer's blocks.

    Attributes:
        called: whether any of them is a call of a tool.
    """

    def __init__(self, id: str) -> None:  # noqa: A002 - the field's word
        self._id = id
        self._next = 0
        self._open: object = None
        self._thought = ""
        self._calls: dict[int, _Call] = {}

    @property
    def called(self) -> bool:
        return bool(self._calls)

    def text(self, text: str) -> bytes:
        """Some words."""
        return self._text("text", text)

    def refusal(self, text: str) -> bytes:
        """Some words by which the model refuses, which are no part of what it said before."""
        return self._text("refusal", text)

    def cited(self, citations: Iterable[Mapping[str, Any]]) -> bytes:
        """Citations of what the words rest on."""
        frames = (self._delta({"type": "citations_delta", "citation": citation}) for citation in citations)
        return self._in("text", {"type": "text", "text": ""}) + b"".join(frames)

    def thought(self, text: str) -> bytes:
        """Some of a thought."""
        begun = self._in("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        self._thought += text
        return begun + (self._delta({"type": "thinking_delta", "thinking": text}) if text else b"")

    def thoughts(self, wholes: Iterable[Mapping[str, Any]]) -> bytes:
        """Whole thoughts, the texts of which may have come already: then only their signatures are left to say."""
        return b"".join(frame for whole in wholes for frame in self._whole(whole))

    def call(self, delta: ToolCallDelta) -> bytes:
        """Some of a tool call.

        Raises:
            UpstreamGarbled: when a call goes on after another one has begun, which Anthropic's API cannot say.
        """
        call = self._calls.setdefault(delta.index, _Call(f"toolu_{self._id}_{delta.index}"))
        call.waiting += delta.arguments
        if not call.begun:
            call.id, call.name = delta.id or call.id, call.name + (delta.name or "")
            return self._begin(delta.index, call) if call.name else b""
        if call.waiting and self._open != delta.index:
            raise UpstreamGarbled("the model went on with a tool call after another one had begun")
        return self._arguments(call)

    def close(self) -> bytes:
        """The end of the block that is open, if one is."""
        if self._open is None:
            return b""
        self._open, self._thought = None, ""
        return named_frame("content_block_stop", {"type": "content_block_stop", "index": self._next - 1})

    def _text(self, kind: str, text: str) -> bytes:
        return self._in(kind, {"type": "text", "text": ""}) + self._delta({"type": "text_delta", "text": text})

    def _whole(self, whole: Mapping[str, Any]) -> Iterator[bytes]:
        if whole.get("type") != "thinking":
            yield self.close() + self._start(whole) + self.close()
            return
        text = whole.get("thinking") or ""
        heard = self._thought if self._open == "thinking" else ""
        if heard != text and text and heard.endswith(text):  # with thoughts before it that are not its own
            yield self.close()
            return
        if heard != text or not text:
            yield self.close()
            yield self.thought(text)
        if signature := whole.get("signature"):
            yield self._delta({"type": "signature_delta", "signature": signature})
        yield self.close()

    def _begin(self, index: int, call: _Call) -> bytes:
        call.begun = True
        begun = self._in(index, {"type": "tool_use", "id": call.id, "name": call.name, "input": {}})
        return begun + self._arguments(call)

    def _arguments(self, call: _Call) -> bytes:
        piece, call.waiting = call.waiting, ""
        return self._delta({"type": "input_json_delta", "partial_json": piece}) if piece else b""

    def _in(self, kind: object, block: Mapping[str, Any]) -> bytes:
        """Begins a block of this kind unless one is open."""
        if self._open == kind:
            return b""
        closed = self.close()
        self._open = kind
        return closed + self._start(block)

    def _start(self, block: Mapping[str, Any]) -> bytes:
        self._open = self._open if self._open is not None else "whole"
        self._next += 1
        begun = {"type": "content_block_start", "index": self._next - 1, "content_block": block}
        return named_frame("content_block_start", begun)

    def _delta(self, delta: Mapping[str, Any]) -> bytes:
        whole = {"type": "content_block_delta", "index": self._next - 1, "delta": delta}
        return named_frame("content_block_delta", whole)
