"""Begun: an answer whose first words are here, and so can no longer be another deployment's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from math import inf
from types import TracebackType
from typing import Self

from gateway.routing.call import Asked, Call
from gateway.routing.deployment import Deployment
from gateway.routing.failures import CONTENT_FILTER
from gateway.routing.patience import Patience, within
from gateway.routing.watch import Watch
from llm import ChatChunk, ChatRequest, FailedCall, ModelError

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
        asked: Asked,
        chunks: AsyncGenerator[ChatChunk, None],
        lead: list[ChatChunk],
        watch: Watch | None,
    ) -> None:
        self.deployment = call.deployment
        self._call = call
        self._trail = asked.trail
        self._chunks = chunks
        self.lead = lead
        self._watch = watch
        self._ended = False
        self._cost: FailedCall | None = None
        """Of an answer that was withdrawn."""

    @property
    def filtered(self) -> bool:
        """Whether it is over before anything of it was given: a filter of the upstream has held it back."""
        return any(chunk.finish_reason == CONTENT_FILTER for chunk in self.lead)

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
        return cls(call, asked, chunks, lead, Watch(patience.idle, asked.deadline.left) if limited else None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        overran = self._watch is not None and self._watch.overran
        self._stop_watching()
        if self._cost is not None:
            return
        if self._ended:
            self._call.answered()
        else:
            self._call.failed(GeneratorExit() if error is None or overran else error)
        await self._chunks.aclose()

    async def withdraw(self, seconds: float) -> None:
        """What was filtered is no answer as long as somebody else may give one: it is read to its end, for so long at
        most, and noted on the trail with what it has cost."""
        try:
            with suppress(ModelError):
                await within(seconds, _take(self._chunks, self.lead), "the end of its answer")
        finally:
            self._stop_watching()
            self._cost = self._cost or self._call.filtered(self.lead)
            self._trail.failed.append(self._cost)
            await self._chunks.aclose()

    def give_back(self) -> None:
        """It is the answer after all, as nobody else has one."""
        assert self._cost is not None  # noqa: S101 - only what was withdrawn is given back
        self._trail.failed.remove(self._cost)

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    async def next(self) -> ChatChunk | None:
        """The next chunk after those of the ``lead``; None at the end.

        Raises:
            ModelError: when the answer breaks off.
        """
        chunk = await (anext(self._chunks, None) if self._watch is None else self._watch.pull(self._chunks))
        self._ended = chunk is None
        return chunk


async def _lead(chunks: AsyncGenerator[ChatChunk, None]) -> list[ChatChunk]:
    lead: list[ChatChunk] = []
    await _take(chunks, lead, until=_speaks)
    return lead


async def _take(
    chunks: AsyncGenerator[ChatChunk, None],
    taken: list[ChatChunk],
    until: Callable[[ChatChunk], bool] = lambda _: False,
) -> None:
    """Moves some chunks, and no more than are held back."""
    for _ in range(SILENT):
        if (chunk := await anext(chunks, None)) is None:
            break
        taken.append(chunk)
        if until(chunk):
            break


def _speaks(chunk: ChatChunk) -> bool:
    said = chunk.content or chunk.tool_calls or chunk.finish_reason or chunk.usage
    return bool(said) or any((chunk.extra or {}).values())
