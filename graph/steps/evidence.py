"""Evidence: what the tools of a graph have returned so far, the latest of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from llm import ChatRequest, Message, text_of


@dataclass(frozen=True, slots=True)
class Evidence:
    """A tool call that a step of the graph made, and what it returned."""

    tool: str
    call: Message
    """The member of ``tool_calls``."""
    result: Message
    """The tool message."""

    def __str__(self) -> str:
        return f"{self.tool}: {text_of(self.result)}"

    @property
    def strings(self) -> list[str]:
        """The strings in the JSON that it returned, names of members left out."""
        try:
            return list(_strings(orjson.loads(text_of(self.result))))
        except orjson.JSONDecodeError:
            return []


def gathered(request: ChatRequest) -> list[Evidence]:
    """The latest evidence of each tool, in the order in which the tools were first called.

    A result belongs to the call of its id in the message before it; models may use the same id again later.
    """
    latest: dict[str, Evidence] = {}
    calls: dict[str, Message] = {}
    for message in request.gathered:
        if message["role"] == "assistant":
            calls = {call["id"]: call for call in message.get("tool_calls") or ()}
        elif message["role"] == "tool" and (call := calls.get(message["tool_call_id"])) is not None:
            name = call["function"]["name"]
            latest[name] = Evidence(name, call, message)
    return list(latest.values())


def as_messages(evidence: Iterable[Evidence]) -> list[Message]:
    """The evidence as a model reads it: each call, and its result."""
    messages: list[Message] = []
    for piece in evidence:
        messages += [{"role": "assistant", "content": None, "tool_calls": [piece.call]}, piece.result]
    return messages


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)
