"""Begun: an answer whose first words are here, and so can no longer be another deployment's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from math import inf
from types import TracebackType
from typing import Self

from gateway.routing.call import Asked, Call
from gateway.routing.deployment import Deployment
from gateway.routing.patience import Patience, within
from gateway.routing.watch import Watch
from llm import ChatChunk, ChatRequest

SILENT = 64
"""How many chunks that say nothing are held back before the first that does."""


class Begun:
    """The answer of a deployment. It is a context, whose end ends the call.

    Attributes:
        lead: its first chunks; :meth:`next` gives the others.
    """

    def __init__(
        self,
        call: Call,
        chunks: AsyncGenerator[ChatChunk, None],
        lead: Sequence[ChatChunk],
        watch: Watch | None,
    ) -> None:
        self.deployment = call.deployment
        self._call = call
        self._chunks = chunks
        self.lead = lead
        self._watch = watch
        self._ended = False

    @classmethod
    async def of(cls, deployment: Deployment, asked: Asked, patience: Patience) -> Begun:
        """The answer of a deployment, as soon as it says something: the chunks before that, such as the one with the
        role, would bind the caller to a deployment that may yet fail.

        Raises:
            ModelError: when it fails before.
        """
        assert isinstance(asked.request, ChatRequest)  # noqa: S101 - nothing else is answered in chunks
        if not asked.request.stream:
            patience = Patience(total=patience.total)
        chunks = deployment.model.stream(asked.request)
        call = Call(deployment, asked)
        try:
            lead = await within(min(patience.first_token, asked.deadline.left), _lead(chunks), "its first words")
        except BaseException as error:
            call.failed(error)
            await chunks.aclose()
            raise
        call.began()
        limited = min(patience.idle, patience.total) < inf
        return cls(call, chunks, lead, Watch(patience.idle, asked.deadline.left) if limited else None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watch is not None:
            self._watch.close()
        if self._ended:
            self._call.answered()
        else:
            overran = self._watch is not None and self._watch.overran
            self._call.failed(GeneratorExit() if error is None or overran else error)
        await self._chunks.aclose()

    async def next(self) -> ChatChunk | None:
        """The next chunk after those of the ``lead``; None at the end.

        Raises:
            ModelError: when the answer breaks off.
        """
        chunk = await (anext(self._chunks, None) if self._watch is None else self._watch.pull(self._chunks))
        self._ended = chunk is None
        return chunk


async def _lead(chunks: AsyncGenerator[ChatChunk, None]) -> Sequence[ChatChunk]:
    lead: list[ChatChunk] = []
    while len(lead) < SILENT and (chunk := await anext(chunks, None)) is not None:
        lead.append(chunk)
        if _speaks(chunk):
            break
    return lead


def _speaks(chunk: ChatChunk) -> bool:
    said = chunk.content or chunk.tool_calls or chunk.finish_reason or chunk.usage
    return bool(said) or any((chunk.extra or {}).values())
