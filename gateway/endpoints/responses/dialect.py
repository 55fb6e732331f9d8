"""The answer of the Responses API: one object, or the events in which it comes about.

Every event is named, and numbered from 0. An error after the first byte is told twice, as OpenAI does it: as an
``error`` event, whose data has a top-level ``error`` object because that is what the official SDKs raise; and then as
the response that failed, for clients that read on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from gateway.answers import Ending
from gateway.edge.sse import named_frame
from gateway.endpoints.responses.echo import failure, opening, outcome
from gateway.endpoints.responses.output import (
    CallItem,
    CustomCallItem,
    Events,
    MessageItem,
    OutputItem,
    ReasoningItem,
    logprobs_of,
)
from gateway.faults import Fault
from graph import Event
from llm import ChatChunk, ChatCompletion, ToolCallDelta, UpstreamGarbled

THOUGHTS = ("reasoning_content", "reasoning")
"""Members of a chunk in which upstreams and graphs say what was thought."""
ItemT = TypeVar("ItemT", bound=OutputItem)


class ResponsesDialect:
    """A response that comes about.

    Attributes:
        response: the response object as it stands.
        ended: whether it has come to its end.
    """

    def __init__(self, event: Event, body: Mapping[str, Any]) -> None:
        self._clock = event.having(None)
        self._suffix = event.id.removeprefix("req_")
        self.response = opening(self._suffix, self._seconds(), body)
        self.ended = False
        self._number = 0
        self._items: list[OutputItem] = []
        self._calls: dict[int, CallItem] = {}

    def begin(self) -> bytes:
        frames = [self._whole("created")]
        if self.response["status"] == "queued":
            frames.append(self._whole("queued"))
        self.response["status"] = "in_progress"
        return b"".join((*frames, self._whole("in_progress")))

    def chunk(self, chunk: ChatChunk) -> bytes:
        frames = self._extra(chunk.extra) if chunk.extra else []
        if chunk.content:
            frames += self._say("output_text", chunk.content, logprobs_of(chunk.logprobs))
        for delta in chunk.tool_calls:
            frames += self._call(delta)
        return b"".join(frames)

    def end(self, ending: Ending) -> bytes:
        outcomes = outcome(ending)
        frames = self._close(outcomes["status"])
        self.response |= {**outcomes, "output": [item.to_wire() for item in self._items]}
        if self.response["status"] == "completed":
            self.response["completed_at"] = self._seconds()
        self.ended = True
        return b"".join((*frames, self._whole(self.response["status"])))

    def error(self, fault: Fault) -> bytes:
        begun = b"" if self._number else self.begin()
        self._leave(failure(fault))
        told = fault.openai()["error"]
        members = {"code": told["code"], "message": told["message"], "param": told["param"], "error": told}
        return b"".join((begun, self._frame("error", members), self._whole("failed")))

    def whole(self, completion: ChatCompletion, ending: Ending) -> dict[str, Any]:
        calls = tuple(
            ToolCallDelta(index, call.arguments, call.id, call.name, call.kind)
            for index, call in enumerate(completion.tool_calls)
        )
        self.chunk(ChatChunk(completion.content, calls, extra=completion.extra, logprobs=completion.logprobs))
        self.end(ending)
        return self.response

    def cancel(self) -> None:
        """The response ends where it is, because its caller wants so."""
        self._leave({"status": "cancelled"})

    def _leave(self, members: Mapping[str, Any]) -> None:
        """The response ends with what has come of it; nobody is told of the ends of items."""
        for item in self._items:
            item.status = "incomplete" if item.is_open else item.status
        self.response |= {**members, "output": [item.to_wire() for item in self._items]}
        self.ended = True

    def _seconds(self) -> int:
        return int(self._clock.now().timestamp())

    # --- items

    def _extra(self, extra: Mapping[str, Any]) -> list[bytes]:
        frames: list[bytes] = []
        thought = next((extra[name] for name in THOUGHTS if isinstance(extra.get(name), str)), "")
        if thought:
            frames, item = self._at(ReasoningItem)
            frames += self._frames(item.think(thought))
        if isinstance(extra.get("refusal"), str) and extra["refusal"]:
            frames += self._say("refusal", extra["refusal"])
        return frames

    def _say(self, kind: str, text: str, logprobs: list[Any] | None = None) -> list[bytes]:
        frames, item = self._at(MessageItem)
        return frames + self._frames(item.say(kind, text, logprobs or []))

    def _call(self, delta: ToolCallDelta) -> list[bytes]:
        frames: list[bytes] = []
        item = self._calls.get(delta.index)
        if item is None:
            frames, item = self._begin(CustomCallItem if delta.kind == "custom" else CallItem)
            self._calls[delta.index] = item
        elif not item.is_open:
            raise UpstreamGarbled("a piece of a tool call came after the call had ended")
        return frames + self._frames(item.call(delta.name, delta.id, delta.arguments))

    def _at(self, kind: type[ItemT]) -> tuple[list[bytes], ItemT]:
        """The item that is growing, if it is of this kind, else a new one."""
        if self._items and isinstance(self._items[-1], kind):
            return [], self._items[-1]
        return self._begin(kind)

    def _begin(self, kind: type[ItemT]) -> tuple[list[bytes], ItemT]:
        frames = self._close()
        item = kind(self._suffix, len(self._items))
        self._items.append(item)
        return frames + self._frames(item.open()), item

    def _close(self, status: str = "completed") -> list[bytes]:
        """Ends the item that is growing; one at most does, the last."""
        if not self._items:
            return []
        return self._frames(self._items[-1].close(status))

    # --- frames

    def _frames(self, events: Events) -> list[bytes]:
        return [self._frame(kind, members) for kind, members in events]

    def _whole(self, kind: str) -> bytes:
        return self._frame(f"response.{kind}", {"response": self.response})

    def _frame(self, kind: str, members: Mapping[str, Any]) -> bytes:
        number = self._number
        self._number += 1
        return named_frame(kind, {"type": kind, "sequence_number": number, **members})
