"""The cache of answers: who asks a model the same once more is given the same answer, in the form it was sent in."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

import orjson

from gateway.catalog import Catalog
from gateway.config import Settings
from gateway.config_exchanges import CacheEntry
from gateway.edge.body import BodyReader, parsed
from gateway.edge.context import ASGIApp, Receive, Scope, Send, context_of
from gateway.edge.disconnect import ClientWatch
from gateway.errors import GatewayError, InvalidBody
from gateway.exchanges.making import Making
from gateway.exchanges.question import is_cacheable, question_of
from gateway.exchanges.rows import ExchangeRows, Part, Place
from gateway.exchanges.sent import Sent, digest, header, plain
from gateway.exchanges.transcript import body_of, replayed
from gateway.store.protocol import StoreUnavailable
from llm import ModelError

SHARE = 10
"""An answer is kept if it takes no more than one part in so many of its cache."""
MOST_WAITING = 1000
"""How many wait for one answer; others make their own."""
NEVERMIND = {"server", "auth", "store", "limits", "usage", "record", "traces", "idempotency"}
"""The settings that no answer depends on, or (keys) in ways that are looked at; who changes others begins anew."""


@dataclass(frozen=True, slots=True)
class ModelCache:
    """The cache of one model.

    Attributes:
        name: that of the model.
        policies: those of each key, by its name; who is under others is given other answers.
        version: a digest of what stands behind it; answers of another one are not found.
    """

    name: str
    entry: CacheEntry
    version: bytes
    policies: Mapping[str, Sequence[str]]

    @property
    def most(self) -> int:
        """How many bytes an answer may have that is kept."""
        return self.entry.max_bytes // SHARE


def caches_of(settings: Settings) -> dict[str, ModelCache]:
    """The caches that the settings ask for, by the name of their model or graph."""
    asked = {row.name: row.cache for row in settings.models} | {row.name: row.cache for row in settings.graphs}
    behind = settings.model_dump_json(exclude=NEVERMIND)
    version = digest(behind.encode())
    policies = {key.name: key.guardrails for key in settings.auth.keys}
    return {name: ModelCache(name, entry, version, policies) for name, entry in asked.items() if entry is not None}


@dataclass(frozen=True, slots=True)
class Caches:
    """What the endpoints of a worker share of them.

    Attributes:
        note: is told who was given an answer that is another's: the request, the name of its key, and the model.
    """

    by_name: Mapping[str, ModelCache]
    rows: ExchangeRows
    catalog: Catalog
    bodies: BodyReader
    note: Callable[[str, str, str], None]
    making: dict[Place, Making] = field(default_factory=dict)
    """The answers that this worker makes."""

    def of(self, scope: Scope, written: bytes, target: str) -> tuple[ModelCache, dict[str, Any]] | None:
        """The cache of the model that a request asks, if it has one and the caller may use it; and the parsed body."""
        context = context_of(scope)
        named = target or context.params.get("model", "")
        if named and named not in self.by_name:
            return None
        if not named and not any(name.encode() in written for name in self.by_name):
            return None
        with suppress(InvalidBody):
            body = parsed(written) if written else {}
            if not isinstance(body, dict):
                return None
            cache = self.by_name.get(named or str(body.get("model")))
            return None if cache is None or not self._may_use(scope, cache.name) else (cache, body)
        return None

    def _may_use(self, scope: Scope, name: str) -> bool:
        try:
            self.catalog.find(name, context_of(scope).principal)
        except (GatewayError, ModelError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class Asked:
    """A question to a model with a cache."""

    cache: ModelCache
    place: Place
    scope: Scope
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
            await self._app(scope, Sent(written, receive), Marked(send, b"bypass"))
            return
        asked = Asked(cache, _place(cache, scope, body), scope, written, receive, send)
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
        await replayed(_each(frames), Marked(asked.send, word))
        await asked.send(body_of(b"", last=True))

    async def _make(self, asked: Asked, *, anew: bool) -> None:
        """Makes the answer. Others may wait for it, unless it is asked for anew, or they wait for that of another."""
        making, there = Making(Marked(asked.send, b"miss"), asked.cache.most), self._caches.making
        leads = not anew and there.setdefault(asked.place, making) is making
        try:
            await self._app(asked.scope, Sent(asked.written, asked.receive, making.alone), making)
            if frames := making.whole:
                making.finish(frames)
                with suppress(StoreUnavailable):
                    await self._keep(asked.cache, asked.place, frames)
        finally:
            if leads:
                del there[asked.place]
            making.finish(())
            await making.close()

    async def _keep(self, cache: ModelCache, place: Place, frames: Sequence[bytes]) -> None:
        """Keeps an answer in the place of what was there."""
        rows, mark, entry = self._caches.rows, token_hex(12), cache.entry
        await rows.drop(place, "")
        if await rows.begin(place, mark, b"", entry.ttl_seconds) is None:
            await rows.write(place, mark, Part("whole", 0, frames), entry.ttl_seconds, entry.max_bytes)


class Marked:
    """A ``send`` that says what the cache had to do with an answer."""

    def __init__(self, send: Send, word: bytes) -> None:
        self._send = send
        self._word = word

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"x-penstock-cache", self._word)]
        await self._send(message)


def _place(cache: ModelCache, scope: Scope, body: Mapping[str, Any]) -> Place:
    name = context_of(scope).principal.name
    whose = "" if cache.entry.shared else name
    under = orjson.dumps(sorted(cache.policies.get(name, ())))
    told = digest(cache.version, whose.encode(), under, question_of(scope, body))
    return Place(f"cache:{cache.name}", told.hex())


async def _each(frames: Sequence[bytes]) -> AsyncGenerator[bytes, None]:
    for frame in frames:
        yield frame
