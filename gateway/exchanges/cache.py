"""The cache of answers: who asks a model the same once more is given the same answer, in the form it was sent in."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from gateway.edge.body import ClientLeft
from gateway.edge.context import ASGIApp, Receive, Scope, Send, context_of
from gateway.edge.disconnect import ClientWatch
from gateway.edge.limits import spend, taken_ahead
from gateway.exchanges.caches import Caches, ModelCache
from gateway.exchanges.filtered import MADE
from gateway.exchanges.making import Making
from gateway.exchanges.question import is_cacheable
from gateway.exchanges.rows import Part, Place
from gateway.exchanges.sent import Sent, header, plain
from gateway.exchanges.transcript import body_of, replayed
from gateway.store.protocol import StoreUnavailable
from gateway.telemetry import families
from gateway.telemetry.metrics import Cell

if TYPE_CHECKING:
    from gateway.exchanges.semantic import Meant, Worded

MOST_WAITING = 1000
"""How many wait for one answer; others make their own."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question to a model with a cache."""

    cache: ModelCache
    place: Place
    scope: Scope
    body: Mapping[str, Any]
    written: bytes
    receive: Receive
    send: Send


class Cached:
    """An endpoint, and the caches of models before it. Requests to models without one pass."""

    def __init__(self, app: Any, caches: Caches) -> None:
        self.answers = getattr(app, "answers", "the gateway")
        self.row = getattr(app, "row", None)
        self._target = self.row.target if self.row is not None else ""
        self._app: ASGIApp = app
        self._caches = caches

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        written = await self._caches.bodies.whole(scope, receive)
        scope = plain(scope)
        found = self._caches.of(scope, written, self._target)
        if found is None:
            await self._app(scope, Sent(written, receive), send)
            return
        cache, body = found
        wishes = {wish.strip().lower() for wish in (header(scope, b"cache-control") or b"").split(b",")}
        if b"no-store" in wishes or not is_cacheable(scope, body, cache.entry):
            await self._app(scope, Sent(written, receive), self._marked(send, cache, b"bypass"))
            return
        asked = Asked(cache, cache.place(scope, body), scope, body, written, receive, send)
        anew = b"no-cache" in wishes
        if anew or not await self._given(asked):
            await self._make(asked, anew=anew)

    async def _given(self, asked: Asked) -> bool:
        """Sends what is kept, or what another request makes at this moment; False where there is neither."""
        making = self._caches.making.get(asked.place)
        if making is None:
            if frames := await self._kept(asked.place):
                await self._give(asked, frames, b"hit")
                return True
            making = self._caches.making.get(asked.place)
        if making is None or making.waiting >= MOST_WAITING:
            return False
        async with ClientWatch(asked.receive) as watch:
            frames = await making.wait()
        if watch.left or not frames:
            return watch.left
        await self._give(asked, frames, b"joined")
        return True

    async def _kept(self, place: Place) -> Sequence[bytes]:
        with suppress(StoreUnavailable):
            kept = await self._caches.rows.read(place, 0)
            if kept is not None and kept.state == "whole":
                return kept.frames
        return ()

    async def _give(self, asked: Asked, frames: Sequence[bytes], word: bytes) -> None:
        context = context_of(asked.scope)
        self._caches.note(context.request_id, context.principal.name, asked.cache.name)
        await replayed(_each(frames), self._marked(asked.send, asked.cache, word))
        await asked.send(body_of(b"", last=True))

    async def _make(self, asked: Asked, *, anew: bool) -> None:
        """Makes the answer. Others may wait for it, unless it is asked for anew, or they wait for that of another.
        Where the caller's policies have changed meanwhile it is nobody else's: it may have been made under either."""
        sending, there = self._marked(asked.send, asked.cache, b"miss"), self._caches.making
        making = Making(sending, asked.cache.most)
        leads = not anew and there.setdefault(asked.place, making) is making
        try:
            said = None if anew else self._worded(asked)
            if said is None:
                await self._answer(asked, making, None)
            else:
                await self._compare(asked, making, said)
        finally:
            if leads:
                del there[asked.place]
            making.finish(())
            await making.close()

    def _marked(self, send: Send, cache: ModelCache, word: bytes) -> Marked:
        return Marked(send, word, self._caches.metrics.cell(families.CACHE, cache.name, word.decode()))

    async def _answer(self, asked: Asked, making: Making, meant: Meant | None) -> None:
        MADE.set(making)
        await self._app(asked.scope, Sent(asked.written, asked.receive, making.alone), making)
        if (frames := making.whole) and asked.cache.place(asked.scope, asked.body) == asked.place:
            making.finish(frames)
            await self._keep(asked, frames, meant)

    def _worded(self, asked: Asked) -> Worded | None:
        """What is asked, where the same in other words may be given the same answer."""
        cache, scope = asked.cache, asked.scope
        if cache.semantic is None or self._caches.is_guarded(scope, cache.name):
            return None
        return cache.semantic.worded(scope, asked.body)

    async def _compare(self, asked: Asked, making: Making, said: Worded) -> None:
        """Gives the answer to what was asked in other words, or makes it. Who has no request left is not embedded."""
        async with taken_ahead() as granted:
            meant = await self._meant(asked, making, said) if granted else None
            frames = () if meant is None else await self._near(asked, meant)
            if not frames:
                if meant is not None:
                    spend()
                await self._answer(asked, making, meant)
                return
        making.finish(frames)
        await self._give(asked, frames, b"semantic")

    async def _meant(self, asked: Asked, making: Making, said: Worded) -> Meant | None:
        """The embedding of what is asked.

        Raises:
            ClientLeft: when the client does, and nobody waits for the answer.
        """
        cache, scope = asked.cache, asked.scope
        if cache.semantic is None:
            return None
        async with ClientWatch(Sent(b"", asked.receive, making.alone)):
            return await cache.semantic.meant(said.text, cache.place(scope, said.body).id, scope)
        raise ClientLeft

    async def _near(self, asked: Asked, meant: Meant) -> Sequence[bytes]:
        """What is kept of the question most like this one."""
        semantic = asked.cache.semantic
        for place in semantic.near(meant) if semantic is not None else ():
            if frames := await self._kept(place):
                return frames
        return ()

    async def _keep(self, asked: Asked, frames: Sequence[bytes], meant: Meant | None) -> None:
        """Keeps an answer in the place of what was there."""
        rows, mark, place, entry = self._caches.rows, token_hex(12), asked.place, asked.cache.entry
        with suppress(StoreUnavailable):
            await rows.drop(place, "")
            if await rows.begin(place, mark, b"", entry.ttl_seconds) is None:
                await rows.write(place, mark, Part("whole", 0, frames), entry.ttl_seconds, entry.max_bytes)
            if meant is not None and asked.cache.semantic is not None:
                asked.cache.semantic.add(meant, place, entry.ttl_seconds)


class Marked:
    """A ``send`` that says what the cache had to do with an answer, and counts it."""

    def __init__(self, send: Send, word: bytes, counted: Cell) -> None:
        self._send = send
        self._word = word
        self._counted = counted

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"x-penstock-cache", self._word)]
            self._counted.add()
        await self._send(message)


async def _each(frames: Sequence[bytes]) -> AsyncGenerator[bytes, None]:
    for frame in frames:
        yield frame
