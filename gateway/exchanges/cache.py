"""The cache of answers: who asks a model the same once more is given the same answer, in the form it was sent in."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

import orjson

from gateway.catalog import Catalog
from gateway.config import Settings
from gateway.config_exchanges import CacheEntry
from gateway.edge.body import BodyReader, parsed
from gateway.edge.context import ASGIApp, Receive, Scope, Send, context_of
from gateway.errors import GatewayError, InvalidBody
from gateway.exchanges.question import is_cacheable, question_of
from gateway.exchanges.rows import ExchangeRows, Kept, Part, Place
from gateway.exchanges.sent import Sent, digest, header, plain
from gateway.exchanges.transcript import Transcript, body_of, replayed
from gateway.store.protocol import StoreUnavailable
from llm import ModelError

SHARE = 10
"""An answer is kept if it takes no more than one part in so many of its cache."""
ANSWERED = 200
NEVERMIND = {"server", "auth", "store", "limits", "usage", "record", "traces", "idempotency"}
"""The settings that no answer depends on, or (keys) in ways that are looked at; who changes others begins anew."""


@dataclass(frozen=True, slots=True)
class ModelCache:
    """The cache of one model.

    Attributes:
        name: that of the model.
        version: a digest of what stands behind it; answers of another one are not found.
    """

    name: str
    entry: CacheEntry
    version: bytes


def caches_of(settings: Settings) -> dict[str, ModelCache]:
    """The caches that the settings ask for, by the name of their model or graph."""
    asked = {row.name: row.cache for row in settings.models} | {row.name: row.cache for row in settings.graphs}
    behind = settings.model_dump_json(exclude=NEVERMIND)
    version = digest(behind.encode())
    return {name: ModelCache(name, entry, version) for name, entry in asked.items() if entry is not None}


@dataclass(frozen=True, slots=True)
class Caches:
    """What the endpoints of a worker share of them.

    Attributes:
        note: is told who was given an answer from a cache: the request, the name of its key, and the model.
    """

    by_name: Mapping[str, ModelCache]
    rows: ExchangeRows
    catalog: Catalog
    bodies: BodyReader
    note: Callable[[str, str, str], None]

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


class Cached:
    """An endpoint, and the caches of models before it. Requests to models without one pass."""

    def __init__(self, app: Any, caches: Caches) -> None:
        self.answers = getattr(app, "answers", "the gateway")
        self.row = getattr(app, "row", None)
        self._target = self.row.target if self.row is not None else ""
        self._app: ASGIApp = app
        self._caches = caches

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await self._caches.bodies.whole(scope, receive)
        scope, receive = plain(scope), Sent(body, receive)
        found = self._caches.of(scope, body, self._target)
        if found is None:
            await self._app(scope, receive, send)
            return
        cache, asked = found
        wishes = {wish.strip().lower() for wish in (header(scope, b"cache-control") or b"").split(b",")}
        if b"no-store" in wishes or not is_cacheable(scope, asked, cache.entry):
            await self._app(scope, receive, Marked(send, b"bypass"))
            return
        place = self._place(cache, scope, asked)
        if b"no-cache" in wishes or not await self._replay(cache, place, scope, send):
            await self._make(cache, place, scope, receive, send)

    def _place(self, cache: ModelCache, scope: Scope, body: Mapping[str, Any]) -> Place:
        """Where the answer to a caller is kept; who is under other policies is given other answers."""
        name = context_of(scope).principal.name
        whose = "" if cache.entry.shared else name
        under = orjson.dumps(sorted(self._caches.catalog.guards.of_key(name)))
        told = digest(cache.version, whose.encode(), under, question_of(scope, body))
        return Place(f"cache:{cache.name}", told.hex())

    async def _replay(self, cache: ModelCache, place: Place, scope: Scope, send: Send) -> bool:
        """Sends what is kept, if anything is."""
        kept: Kept | None = None
        with suppress(StoreUnavailable):
            kept = await self._caches.rows.read(place, 0)
        if kept is None or kept.state != "whole" or not kept.frames:
            return False
        context = context_of(scope)
        self._caches.note(context.request_id, context.principal.name, cache.name)
        await replayed(_each(kept.frames), Marked(send, b"hit"))
        await send(body_of(b"", last=True))
        return True

    async def _make(self, cache: ModelCache, place: Place, scope: Scope, receive: Receive, send: Send) -> None:
        keeping = Keeping(Marked(send, b"miss"), cache.entry.max_bytes // SHARE)
        try:
            await self._app(scope, receive, keeping)
            if keeping.frames and keeping.is_whole:
                with suppress(StoreUnavailable):
                    await self._keep(cache, place, keeping.frames)
        finally:
            await keeping.close()

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


class Keeping:
    """A ``send`` that takes down what it sends, up to ``most`` bytes. The last message waits for :meth:`close`, so that
    whoever has the whole answer finds it in the cache."""

    def __init__(self, send: Send, most: int) -> None:
        self.frames: list[bytes] | None = []
        self._send = send
        self._left = most
        self._transcript = Transcript(numbered=False)
        self._last: MutableMapping[str, Any] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the answer was sent to its end, and is one."""
        return self._transcript.ended and self._transcript.status == ANSWERED

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if self.frames is not None:
            more = self._transcript.frames_of(message)
            self._left -= sum(map(len, more))
            self.frames.extend(more)
            self.frames = self.frames if self._left >= 0 else None
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._last = message
        else:
            await self._send(message)

    async def close(self) -> None:
        """Sends the last message."""
        if self._last is not None:
            await self._send(self._last)


async def _each(frames: Sequence[bytes]) -> AsyncGenerator[bytes, None]:
    for frame in frames:
        yield frame
