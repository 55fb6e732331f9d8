"""What a choice says alike in OpenAI's two APIs, chats and completions: the head of each frame, the usage, the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import orjson

from gateway.answers import Ending
from gateway.choices import ChoiceDialect
from gateway.edge.sse import DONE, frame
from gateway.faults import Fault
from graph import Event
from llm import ChatCompletion, ChatRequest, Usage


class ChoiceFrames(ChoiceDialect):
    """One choice of an answer. What its frames have in common is encoded once."""

    prefix: ClassVar[str]
    """What the id of an answer begins with."""
    streamed: ClassVar[str]
    """The ``object`` of a frame."""
    gathered: ClassVar[str]
    """The ``object`` of an answer that is not streamed."""

    def __init__(self, event: Event, index: int) -> None:
        request: ChatRequest = event.body
        self._index = index
        self._model = request.model
        self._id = self.prefix + event.id.removeprefix("req_")
        self._created = int(event.now().timestamp())
        self._include_usage = request.include_usage
        self._told: Mapping[str, Any] = {}
        self._head = self._encoded_head()
        self._tail = b',"usage":null}\n\n' if request.include_usage else b"}\n\n"

    def _common(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._model,
            "system_fingerprint": None,
            **self._told,
        }

    def _encoded_head(self) -> bytes:
        return b"data: " + orjson.dumps(self._common(self.streamed))[:-1]

    def begin(self) -> bytes:
        """Nothing yet: what all frames say, the first chunk may know."""
        return b""

    def close(self, usage: Usage) -> bytes:
        if not self._include_usage:
            return DONE
        return b"".join((self._head, b',"choices":[],"usage":', orjson.dumps(usage.to_wire()), b"}\n\n", DONE))

    def end(self, ending: Ending) -> bytes:
        return self.finish(ending.finish_reason) + self.close(ending.usage)

    def error(self, fault: Fault) -> bytes:
        return frame(fault.openai())

    def body(self, choices: Sequence[dict[str, Any]], usage: Usage) -> dict[str, Any]:
        return {**self._common(self.gathered), "choices": choices, "usage": usage.to_wire()}

    def whole(self, completion: ChatCompletion, ending: Ending) -> dict[str, Any]:
        return self.body([self.choice(completion, ending.finish_reason)], ending.usage)
