"""A response that is being made, and kept before its end is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from gateway.answers import Api
from gateway.edge.context import Send
from gateway.endpoints.responses.dialect import ResponsesDialect
from gateway.endpoints.responses.echo import failure
from gateway.endpoints.responses.items import Item
from gateway.endpoints.responses.request import ResponsesApi, chat_request
from gateway.faults import Fault
from gateway.kept import KeptAnswer, KeptAnswers, keeping_last
from graph import Event
from llm import ChatRequest

Answer: TypeAlias = Callable[[Send], Awaitable[None]]
"""Makes an answer and sends it."""


@dataclass(slots=True)
class Overheard(Api):
    """The Responses API for one request, whose body has been checked; ``said`` is its answer, once that is begun."""

    path: str = ResponsesApi.path
    said: ResponsesDialect | None = None

    def request(self, body: Any) -> ChatRequest:
        return chat_request(body)

    def dialect(self, event: Event, body: Any) -> ResponsesDialect:
        self.said = ResponsesDialect(event, body)
        return self.said


@dataclass(slots=True)
class Making:
    """A response that is being made for its owner."""

    owner: str
    input: Sequence[Item]
    kept: KeptAnswers
    api: Overheard
    answer: Answer
    first: dict[str, Any] | None = None
    """The response as its caller was told before it began; only in the background."""

    async def run(self, send: Send) -> None:
        """Makes the answer and sends it. Once the last of it is sent, the response is kept already."""
        await self.answer(keeping_last(send, self.keep))

    async def keep(self, **members: Any) -> None:
        """Keeps the response as it stands, with some members of it set."""
        response = self.first if self.api.said is None else self.api.said.response
        told = {} if self.first is None else {"created_at": self.first["created_at"]}
        await self.kept.put(KeptAnswer(self.owner, {**(response or {}), **told, **members}, self.input))

    async def fail(self, fault: Fault) -> bytes:
        """The response has failed: the events that say so, unless they were sent already."""
        said = self.api.said
        if said is None:
            await self.keep(**failure(fault))
            return b""
        frames = b"" if said.ended else said.error(fault)
        await self.keep()
        return frames

    async def cancel(self) -> None:
        """The response ends where it is."""
        said = self.api.said
        if said is None:
            await self.keep(status="cancelled")
            return
        if not said.ended:
            said.cancel()
        await self.keep()
