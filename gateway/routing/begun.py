"""Begun: an answer whose first words are here, and so can no longer be another deployment's."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Self

from gateway.routing.call import Asked, Call
from gateway.routing.deployment import Deployment
from gateway.routing.patience import Deadline, Patience, pulled
from llm import ChatChunk, ChatRequest

SILENT = 64
"""How many chunks that say nothing are held back before the first that does."""


class Begun:
    """The answer of a deployment. It is a context, whose end ends the call; :meth:`next` gives its chunks."""

    def __init__(
        self,
        call: Call,
        chunks: AsyncGenerator[ChatChunk, None],
        lead: deque[ChatChunk],
        patience: Patience,
        deadline: Deadline,
    ) -> None:
        self.deployment = call.deployment
        self._call = call
        self._chunks = chunks
        self._lead = lead
        self._patience = patience
        self._deadline = deadline
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
            lead = await _lead(chunks, Deadline(deployment.clock, min(patience.first_token, asked.deadline.left)))
        except BaseException as error:
            call.failed(error)
            await chunks.aclose()
            raise
        call.began()
        return cls(call, chunks, lead, patience, asked.deadline)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ended:
            self._call.answered()
        else:
            self._call.failed(error or GeneratorExit())
        await self._chunks.aclose()

    async def next(self) -> ChatChunk | None:
        """The next chunk; None at the end.

        Raises:
            ModelError: when the answer breaks off.
        """
        if self._lead:
            return self._lead.popleft()
        chunk = await pulled(self._chunks, min(self._patience.idle, self._deadline.left), "a further chunk")
        self._ended = chunk is None
        return chunk


async def _lead(chunks: AsyncGenerator[ChatChunk, None], until: Deadline) -> deque[ChatChunk]:
    lead: deque[ChatChunk] = deque()
    while len(lead) < SILENT:
        chunk = await pulled(chunks, until.left, "its first words")
        if chunk is None:
            break
        lead.append(chunk)
        if _speaks(chunk):
            break
    return lead


def _speaks(chunk: ChatChunk) -> bool:
    said = chunk.content or chunk.tool_calls or chunk.finish_reason or chunk.usage
    return bool(said) or any((chunk.extra or {}).values())
