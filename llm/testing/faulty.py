"""FaultyProvider: any provider, with faults on order: latency, errors, cut streams, hanging ones, odd chunks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial

from llm.chat import ChatChunk, ChatRequest
from llm.embeddings import EmbeddingProvider, EmbeddingRequest, Embeddings
from llm.errors import ModelError, UpstreamBrokeOff
from llm.provider import ModelProvider


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one answer; several at once may. ``Fault()`` is none."""

    latency: float | asyncio.Event = 0
    """Seconds before the first chunk, or an event that it waits for."""
    chunk_latency: float = 0
    """Seconds before each further chunk."""
    error: ModelError | None = None
    """What is raised after ``after`` chunks. The provider is not asked when that is none."""
    hang: bool = False
    """Whether the answer stops after ``after`` chunks and never goes on, until whoever listens leaves."""
    after: int = 0
    """How many chunks come before the error, or before it hangs. A shorter answer fails at its end."""
    split: int = 0
    """Characters a chunk: texts and arguments of tool calls come in pieces of so many; 0 leaves them as they are."""
    whole: bool = False
    """Whether the answer comes in as few chunks as one that is not streamed: all of its text in one."""
    empty: bool = False
    """Whether an empty chunk comes before each one."""

    def __post_init__(self) -> None:
        if self.after < 0 or self.split < 0:
            raise ValueError("after and split are numbers from 0 on")


def late(seconds: float | asyncio.Event, *, chunk_latency: float = 0) -> Fault:
    """An answer that begins late, and perhaps goes on slowly."""
    return Fault(latency=seconds, chunk_latency=chunk_latency)


def broken(error: ModelError, *, after: int = 0) -> Fault:
    """An answer that fails: before its first chunk, or after some."""
    return Fault(error=error, after=after)


def cut(*, after: int = 1) -> Fault:
    """An answer whose connection breaks after some chunks: an :class:`UpstreamBrokeOff`."""
    return Fault(error=UpstreamBrokeOff("The upstream's stream ended before the answer did."), after=after)


def hanging(*, after: int = 0) -> Fault:
    """An answer that stops after some chunks and never goes on."""
    return Fault(hang=True, after=after)


def split(characters: int = 1) -> Fault:
    """An answer in pieces of so many characters."""
    return Fault(split=characters)


def sometimes(fault: Fault, rate: float, seed: int = 0) -> Iterator[Fault]:
    """The fault in ``rate`` of the calls (0 to 1), for ever; the same ones for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    while True:
        yield fault if chance.random() < rate else Fault()


@dataclass
class FaultyProvider:
    """A provider with a fault for each call, in order; ``None``, and calls after the last fault, have none.

    It embeds (:class:`~llm.embeddings.EmbeddingProvider`) where the provider does. Embeddings come at once, so of a
    fault they have the latency, and an error or a hang before the provider is asked, or ``after`` it was.

    Args:
        provider: who answers. It is started and closed with this one.
        faults: one for each call; ``itertools.repeat(fault)`` for all, :func:`sometimes` for some.
        sleep: how it waits, for tests that do not want to.
    """

    provider: ModelProvider
    faults: Iterable[Fault | None] = ()
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    calls: int = 0
    """How many calls there were."""
    compares: bool = field(init=False)
    completes: bool = field(init=False)
    embed: Callable[[str, EmbeddingRequest], Awaitable[Embeddings]] = field(init=False, repr=False, compare=False)
    """The provider's embeddings with the next fault; missing where it has none."""
    _next: Iterator[Fault | None] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.compares = self.provider.compares
        self.completes = bool(getattr(self.provider, "completes", False))
        if isinstance(self.provider, EmbeddingProvider):
            self.embed = partial(self._embed, self.provider)
        self._next = iter(self.faults)

    async def start(self) -> None:
        """Makes the provider ready."""
        await self.provider.start()

    async def close(self) -> None:
        """Closes the provider."""
        await self.provider.close()

    async def stream(self, model: str, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """The provider's answer with the next fault.

        Raises:
            ModelError: that of the fault, or the provider's own.
        """
        fault = await self._begin()
        sent = 0
        async with aclosing(_shaped(self.provider.stream(model, request), fault)) as chunks:
            async for chunk in chunks:
                if sent:
                    await self._wait(fault.chunk_latency)
                yield chunk
                sent += 1
                if sent == fault.after:
                    await _fail(fault)
        if sent < fault.after:
            await _fail(fault)

    async def _embed(self, provider: EmbeddingProvider, model: str, request: EmbeddingRequest) -> Embeddings:
        fault = await self._begin()
        made = await provider.embed(model, request)
        if fault.after:
            await _fail(fault)
        return made

    async def _begin(self) -> Fault:
        """The fault of the next call, as far as it comes before its answer."""
        self.calls += 1
        fault = next(self._next, None) or Fault()
        await self._wait(fault.latency)
        if fault.after == 0:
            await _fail(fault)
        return fault

    async def _wait(self, latency: float | asyncio.Event) -> None:
        if isinstance(latency, asyncio.Event):
            await latency.wait()
        elif latency:
            await self.sleep(latency)


async def _fail(fault: Fault) -> None:
    if fault.error is not None:
        raise fault.error
    if fault.hang:
        await asyncio.Event().wait()


async def _shaped(chunks: AsyncGenerator[ChatChunk, None], fault: Fault) -> AsyncGenerator[ChatChunk, None]:
    """The same answer in other chunks."""
    async with aclosing(chunks):
        source = _gathered(chunks) if fault.whole else chunks
        async with aclosing(source):
            async for chunk in source:
                for piece in _pieces(chunk, fault.split) if fault.split else (chunk,):
                    if fault.empty:
                        yield ChatChunk()
                    yield piece


async def _gathered(chunks: AsyncGenerator[ChatChunk, None]) -> AsyncGenerator[ChatChunk, None]:
    """All of the text in the first chunk; what is no text follows as it came."""
    rest: list[ChatChunk] = []
    texts: list[str] = []
    async for chunk in chunks:
        texts.append(chunk.content or "")
        other = replace(chunk, content=None)
        if other != ChatChunk():
            rest.append(other)
    if any(texts):
        yield ChatChunk.text("".join(texts))
    for chunk in rest:
        yield chunk


def _pieces(chunk: ChatChunk, size: int) -> Iterator[ChatChunk]:
    """One chunk in pieces; what is no text comes with the last of them."""
    *texts, text = _cut(chunk.content, size)
    yield from (ChatChunk(content=piece) for piece in texts)
    calls = []
    for call in chunk.tool_calls:
        first, *more = _cut(call.arguments, size)
        begun = replace(call, arguments=first or "")
        calls += [begun, *(replace(call, arguments=piece or "", id=None, name=None) for piece in more)]
    yield from (ChatChunk(tool_calls=(call,)) for call in calls[:-1])
    last = replace(chunk, content=text, tool_calls=tuple(calls[-1:]))
    yield last


def _cut(text: str | None, size: int) -> list[str | None]:
    """A text in pieces; of none, or an empty one, itself."""
    return [text[start : start + size] for start in range(0, len(text), size)] if text else [text]
