"""ScriptedProvider: answers by a script, and fails if the script and the calls do not fit."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from itertools import count
from types import TracebackType
from typing import Any, Self

import orjson

from llm.chat import ChatChunk, ChatRequest, ToolCallDelta
from llm.errors import ModelError, ScriptError
from llm.usage import Usage

USAGE = Usage.of(10, 5)
_numbers = count()


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer of the script: chunks, then perhaps an error."""

    chunks: tuple[ChatChunk, ...] = ()
    error: ModelError | None = None


def say(text: str, *, finish_reason: str = "stop", usage: Usage | None = USAGE) -> Turn:
    """An answer in words, one chunk a word."""
    words = tuple(map(ChatChunk.text, re.findall(r"\S+\s*|\s+", text)))
    return Turn((*words, ChatChunk(finish_reason=finish_reason), ChatChunk(usage=usage)))


def call(name: str, arguments: Mapping[str, Any], *more: tuple[str, Mapping[str, Any]], usage: Usage = USAGE) -> Turn:
    """An answer that calls one tool, or several at once."""
    calls = ((name, arguments), *more)
    deltas = (
        ToolCallDelta(index, orjson.dumps(given).decode(), f"call_{next(_numbers)}", tool)
        for index, (tool, given) in enumerate(calls)
    )
    return Turn((ChatChunk(tool_calls=tuple(deltas)), ChatChunk(finish_reason="tool_calls"), ChatChunk(usage=usage)))


def fail(error: ModelError, *, after: str = "") -> Turn:
    """An answer that breaks: at once, or after some words."""
    return Turn(say(after).chunks[:-2] if after else (), error)


@dataclass(slots=True)
class ScriptedProvider:
    """Gives the answers of its script, one a call, and keeps the requests that it got.

    As a context manager it raises :class:`ScriptError` at the end when some of the script was not asked for.
    """

    script: list[Turn]
    compares: bool = True
    requests: list[ChatRequest] = field(default_factory=list)
    closed: int = 0
    """How many answers were left before their end."""

    @classmethod
    def of(cls, *turns: Turn, compares: bool = True) -> Self:
        """A provider with this script."""
        return cls(list(turns), compares)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self.script:
            raise ScriptError(f"{len(self.script)} answers of the script were never asked for")

    async def start(self) -> None:
        """A script is always ready."""

    async def close(self) -> None:
        """A script holds nothing."""

    async def stream(self, model: str, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        if not self.script:
            raise ScriptError(f"the script is used up, and '{model}' was asked: {request.messages[-1]}")
        turn = self.script.pop(0)
        self.requests.append(request)
        whole = False
        try:
            for chunk in turn.chunks:
                yield chunk
            whole = True
        finally:
            self.closed += not whole
        if turn.error is not None:
            raise turn.error
