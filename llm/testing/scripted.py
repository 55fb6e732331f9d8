"""ScriptedProvider: answers by a script, and fails if the script and the calls do not fit."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from types import TracebackType
from typing import Any, Self

import orjson

from llm.chat import ChatChunk, ChatRequest, ToolCallDelta
from llm.embeddings import EmbeddingRequest, Embeddings
from llm.errors import ModelError, ScriptError
from llm.usage import Usage

USAGE = Usage.of(10, 5)
EMBEDDED = Usage.of(10, 0)
_numbers = count()


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer of the script: chunks or embeddings, then perhaps an error."""

    chunks: tuple[ChatChunk, ...] = ()
    error: ModelError | None = None
    embeddings: Embeddings | None = None


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


def vectors(*made: Sequence[float], usage: Usage = EMBEDDED, error: ModelError | None = None) -> Turn:
    """An answer that embeds: one vector for each input, or an error instead."""
    return Turn(error=error, embeddings=Embeddings([list(vector) for vector in made], usage))


def fail(error: ModelError, *, after: str = "") -> Turn:
    """An answer that breaks: at once, or after some words."""
    return Turn(say(after).chunks[:-2] if after else (), error)


@dataclass
class ScriptedProvider:
    """Gives the answers of its script, one a call, and keeps the requests that it got.

    It embeds (:class:`~llm.embeddings.EmbeddingProvider`) where its script has :func:`vectors`. As a context manager it
    raises :class:`ScriptError` at the end when some of the script was not asked for.
    """

    script: list[Turn]
    compares: bool = True
    requests: list[ChatRequest] = field(default_factory=list)
    closed: int = 0
    """How many answers were left before their end."""
    embedding_requests: list[EmbeddingRequest] = field(default_factory=list)
    embed: Callable[[str, EmbeddingRequest], Awaitable[Embeddings]] = field(init=False, repr=False, compare=False)
    """The next vectors of the script; missing where it has none."""

    def __post_init__(self) -> None:
        if any(turn.embeddings is not None for turn in self.script):
            self.embed = self._embed

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
        turn = self._next(model, str(request.messages[-1:]), embeds=False)
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

    async def _embed(self, model: str, request: EmbeddingRequest) -> Embeddings:
        turn = self._next(model, str(request.inputs), embeds=True)
        self.embedding_requests.append(request)
        if turn.error is not None:
            raise turn.error
        if turn.embeddings is None or len(turn.embeddings.vectors) != len(request.inputs):
            raise ScriptError(
                f"the script has other than {len(request.inputs)} vectors for '{model}': {request.inputs}"
            )
        return turn.embeddings

    def _next(self, model: str, asked: str, *, embeds: bool) -> Turn:
        if not self.script:
            raise ScriptError(f"the script is used up, and '{model}' was asked: {asked}")
        turn = self.script[0]
        if (turn.embeddings is not None) != embeds:
            wanted = "vectors" if turn.embeddings is not None else "a chat"
            raise ScriptError(f"the script goes on with {wanted}, and '{model}' was asked: {asked}")
        return self.script.pop(0)
