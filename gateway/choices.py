"""Several choices in one answer: each is a run of its own, they are made side by side, and all are paid for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Protocol, runtime_checkable

from gateway.answers import NOTHING, Dialect, as_chunk, collected, ending_of
from gateway.edge.body import send_json
from gateway.edge.context import Send
from gateway.edge.sse import HEADERS
from gateway.faults import Fault
from graph import Event, FlowRun
from llm import ChatCompletion, ChatRequest, InvalidRequest, Usage

MAX_CHOICES = 64
"""How many choices one request may ask for where each is a run."""


class ChoiceDialect(Dialect, Protocol):
    """One of several choices. Its end is :meth:`finish` of each, and then once :meth:`close`."""

    def finish(self, reason: str) -> bytes:
        """The frames that end this choice."""
        ...

    def close(self, usage: Usage) -> bytes:
        """The frames that end the answer, with what all its choices cost."""
        ...

    def choice(self, completion: ChatCompletion, reason: str) -> dict[str, Any]:
        """The member of ``choices`` in an answer that is not streamed."""
        ...

    def body(self, choices: Sequence[dict[str, Any]], usage: Usage) -> dict[str, Any]:
        """The answer with these choices."""
        ...


@runtime_checkable
class ChoiceApi(Protocol):
    """An API whose answers may have several choices."""

    def choice(self, event: Event, index: int) -> ChoiceDialect:
        """One choice in the answer to this event."""
        ...


def of_one_choice(request: ChatRequest) -> ChatRequest:
    """A request by an API whose answers are one choice.

    Raises:
        InvalidRequest: when it asks for several, which would be paid for and not told.
    """
    if request.parameters.get("n", 1) != 1:
        raise InvalidRequest("This gateway answers with one choice: n must be 1.", param="n", code="invalid_value")
    return request


async def give_choices(runs: Sequence[FlowRun], dialects: Sequence[ChoiceDialect], send: Send, *, stream: bool) -> None:
    """Sends what all runs say, one choice each. The first failure ends the others, and is the one that is told."""
    try:
        if stream:
            await _Streams(send).give(runs, dialects)
        else:
            await _whole(runs, dialects, send)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _whole(runs: Sequence[FlowRun], dialects: Sequence[ChoiceDialect], send: Send) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(collected(run)) for run in runs]
    completions = [task.result() for task in tasks]
    choices = [
        dialect.choice(completion, ending_of(run, completion.finish_reason).finish_reason)
        for run, dialect, completion in zip(runs, dialects, completions, strict=True)
    ]
    await send_json(send, 200, dialects[0].body(choices, _usage(runs)))


class _Streams:
    """Streams beside each other. Clients expect that the first frame is of the first choice: the others wait."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._sending = asyncio.Lock()
        self._begun = asyncio.Event()

    async def give(self, runs: Sequence[FlowRun], dialects: Sequence[ChoiceDialect]) -> None:
        """All of them, to the end."""
        try:
            async with asyncio.TaskGroup() as group:
                for run, dialect in zip(runs, dialects, strict=True):
                    group.create_task(self._choice(run, dialect, leads=run is runs[0]))
        except BaseExceptionGroup as failures:
            if self._begun.is_set():
                await self._write(dialects[0].error(Fault.of(failures.exceptions[0])), last=True)
            raise
        await self._write(dialects[0].close(_usage(runs)), last=True)

    async def _choice(self, run: FlowRun, dialect: ChoiceDialect, *, leads: bool) -> None:
        async with aclosing(run.chunks()) as values:
            first = await anext(values, NOTHING)
            if leads:
                await self._send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            else:
                await self._begun.wait()
            chunk = as_chunk(None if first is NOTHING else first)
            finish = chunk.finish_reason
            await self._write(dialect.begin() + dialect.chunk(chunk))
            self._begun.set()
            async for value in values:
                chunk = as_chunk(value)
                finish = chunk.finish_reason or finish
                await self._write(dialect.chunk(chunk))
        await self._write(dialect.finish(ending_of(run, finish).finish_reason))

    async def _write(self, frames: bytes, *, last: bool = False) -> None:
        async with self._sending:
            if frames or last:
                await self._send({"type": "http.response.body", "body": frames, "more_body": not last})


def _usage(runs: Sequence[FlowRun]) -> Usage:
    return sum((run.usage for run in runs), start=Usage())
