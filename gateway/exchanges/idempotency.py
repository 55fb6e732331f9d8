"""Idempotency-Key: the same request of the same caller once more is given the first one's answer, while it is made or
later; and a stream goes on for who comes back with ``Last-Event-ID``.

The request that came first makes the answer into a :class:`Recording`, which its own client follows like everybody
else; so a client that leaves or stalls keeps nobody from it. What is recorded is written to the store beside that, for
the other workers. Only answers that were made to their end are kept: what failed may be tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from gateway.catalog.catalog import Catalog
from gateway.config.exchanges import IdempotencyEntry
from gateway.edge.body import BodyReader, parsed
from gateway.edge.context import ASGIApp, Receive, RequestContext, Scope, Send, context_of
from gateway.edge.disconnect import ClientWatch
from gateway.edge.keys import NOBODY
from gateway.edge.sse import frame, named_frame
from gateway.errors import AnswerGone, AnswerLost, InvalidBody, KeyReused, PoliciesChanged
from gateway.exchanges.recording import PAUSE, TOO_LONG, Elsewhere, Followed, Outcome, Recording
from gateway.exchanges.rows import ExchangeRows, Kept, Part, Place, State
from gateway.exchanges.sent import Sent, digest, header, plain
from gateway.exchanges.transcript import body_of, replayed
from gateway.faults import Fault
from gateway.store.protocol import StoreUnavailable
from llm import UnknownModel

LEASE = 15.0
"""For how many seconds a place is kept by a worker of which nothing is heard."""
MAX_KEY = 255
MAX_DIGITS = 15
FAILED = 500
"""From this status on an answer is not kept."""
REPLAYED = ((b"idempotent-replayed", b"true"),)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request under a key: where its exchange is kept, digests of what is asked and of the policies that hold for it,
    and what comes before the part that the client still wants."""

    place: Place
    digest: bytes
    under: bytes
    after: int | None
    body: bytes

    @property
    def told(self) -> bytes:
        """What is kept beside its answer: what was asked, and under which policies."""
        return self.digest + self.under

    def check(self, asked: bytes) -> None:
        """Looks whether an answer to what is kept so is one to this request.

        Raises:
            KeyReused: when something else was asked.
            PoliciesChanged: when other policies held.
        """
        if not asked.startswith(self.digest):
            raise KeyReused("This Idempotency-Key was used for another request; choose another key.")
        if asked != self.told:
            raise PoliciesChanged(
                "The guardrail policies that hold for this request are others than when it was answered under this "
                "Idempotency-Key, so that answer is not given again, and no other is made; choose another key."
            )


@dataclass(slots=True)
class Idempotency:
    """What the endpoints of a worker share of it."""

    rows: ExchangeRows
    entry: IdempotencyEntry
    bodies: BodyReader
    catalog: Catalog
    making: dict[Place, Recording] = field(default_factory=dict)
    """The answers that this worker makes."""
    writing: set[asyncio.Task[None]] = field(default_factory=set)

    async def write(self, asked: Asked, recording: Recording, mark: str) -> None:
        """Writes an answer to the store while it is made; at its end keeps it, or gives its place back."""
        number = 0
        while recording.outcome is None and not recording.is_long:
            news = recording.news
            with suppress(StoreUnavailable):
                number += await self._put(asked.place, recording, mark, number, LEASE)
            await recording.changed(LEASE / 3, news)
            if recording.outcome is None:
                await asyncio.sleep(PAUSE)
        entry = self.entry
        with suppress(StoreUnavailable):
            if recording.is_long:
                await self.rows.write(asked.place, mark, Part("long"), entry.keep_seconds, entry.caller_bytes)
            elif recording.outcome == "whole":
                await self._put(asked.place, recording, mark, number, entry.keep_seconds)
            else:
                await self.rows.drop(asked.place, mark)

    async def _put(self, place: Place, recording: Recording, mark: str, number: int, seconds: float) -> int:
        frames = recording.since(number)
        state: State = "whole" if recording.outcome == "whole" else "open"
        await self.rows.write(place, mark, Part(state, number, frames), seconds, self.entry.caller_bytes)
        return len(frames)


class Idempotent:
    """An endpoint, and round it what the header asks for. A request without it passes."""

    def __init__(self, app: Any, shared: Idempotency) -> None:
        self.answers = getattr(app, "answers", "the gateway")
        self.row = getattr(app, "row", None)
        self._app: ASGIApp = app
        self._shared = shared

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = header(scope, b"idempotency-key")
        if key is None or context_of(scope).principal is NOBODY:
            await self._app(scope, receive, send)
        else:
            await self._once(await self._asked(key, scope, receive), scope, receive, send)

    async def _asked(self, key: bytes, scope: Scope, receive: Receive) -> Asked:
        """The request under a key.

        Raises:
            InvalidBody: when the key or the number of the last event is none.
        """
        if not 0 < len(key) <= MAX_KEY:
            raise InvalidBody(f"An Idempotency-Key has 1 to {MAX_KEY} characters.")
        last = header(scope, b"last-event-id")
        if last is not None and not (last.isdigit() and len(last) <= MAX_DIGITS):
            raise InvalidBody("Last-Event-ID is the id of an event of this gateway: a number.")
        body = await self._shared.bodies.whole(scope, receive)
        where = f"{scope['method']} {scope['path']}".encode(), scope.get("query_string", b"")
        place = Place(f"key:{context_of(scope).principal.name}", digest(key).hex())
        under = digest(self._policies(scope, body))
        return Asked(place, digest(*where, body), under, None if last is None else int(last), body)

    def _policies(self, scope: Scope, body: bytes) -> bytes:
        """Those that hold for a request, to compare."""
        context, catalog = context_of(scope), self._shared.catalog
        names: tuple[str, ...] = ()
        if any(catalog.guards):
            names = self._named(context, body)
        return catalog.guards.told(context.principal.name, names)

    def _named(self, context: RequestContext, body: bytes) -> tuple[str, ...]:
        """Those that the model of a request names; all that there are where its body does not say in JSON alone which
        model that is, or asks for a version of it."""
        catalog, row = self._shared.catalog, self.row
        told, params = (_object(body), context.params) if row is None else ({"model": row.target}, {})
        if told is None or "version" in told:
            return tuple(catalog.guards)
        with suppress(UnknownModel):
            deployed = catalog.deployed_as(params.get("model") or str(told.get("model")), context.principal)
            return deployed.guardrails(params.get("version", ""))
        return ()

    async def _once(self, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        """Makes the answer, or follows it. What breaks before it has begun is made anew."""
        while True:
            mark = token_hex(12)
            there = self._shared.making.get(asked.place) or await self._take(asked, mark)
            if there is None:
                await self._make(asked, mark, scope, receive, send)
                return
            asked.check(there.asked)
            followed = there if isinstance(there, Recording) else Elsewhere(self._shared.rows, asked.place)
            if await _follow(followed, asked.after or 0, scope, receive, send):
                return

    async def _take(self, asked: Asked, mark: str) -> Recording | Kept | None:
        """Who has made or makes the answer: nobody yet, if the place is ours now.

        Raises:
            AnswerGone: when there is nothing that could go on, or it was too long to be kept.
        """
        rows = self._shared.rows
        if asked.after is None:
            kept = await rows.begin(asked.place, mark, asked.told, LEASE)
        else:
            kept = await rows.read(asked.place, 2**31)
            if kept is None:
                raise AnswerGone("Nothing is kept under this Idempotency-Key that could go on.")
        if kept is not None and kept.state == "long" and kept.asked == asked.told:
            raise AnswerGone(TOO_LONG)
        return None if kept is None else self._shared.making.get(asked.place) or kept

    async def _make(self, asked: Asked, mark: str, scope: Scope, receive: Receive, send: Send) -> None:
        shared = self._shared
        recording = shared.making[asked.place] = Recording(asked.told, shared.entry.max_bytes)
        writing = asyncio.create_task(shared.write(asked, recording, mark))
        telling = asyncio.create_task(_tell(recording, send, writing))
        shared.writing.add(writing)
        writing.add_done_callback(shared.writing.discard)

        async def left() -> None:
            telling.cancel()
            await recording.abandoned(shared.entry.linger_seconds, _others(shared.rows, asked.place))

        outcome: Outcome = "broken"
        try:
            await self._app(plain(scope), Sent(asked.body, receive, left), recording)
            outcome = "whole" if recording.ended and recording.status < FAILED else "broken"
        finally:
            recording.finish(outcome)
            del shared.making[asked.place]
            await asyncio.wait((telling, writing))


async def _tell(recording: Recording, send: Send, writing: asyncio.Task[None]) -> None:
    """Sends a recording to the client that asked for it first; the end of one that broke not before its place is free,
    as that client may ask again at once."""
    if await replayed(recording.frames(0), send) and recording.ended:
        if recording.outcome == "broken":
            await asyncio.wait((writing,))
        await send(body_of(b"", last=True))


async def _follow(followed: Followed, after: int, scope: Scope, receive: Receive, send: Send) -> bool:
    """Sends what is followed; False when that broke before anything was sent.

    Raises:
        AnswerLost: when it broke later, which the client has been told.
    """
    begun = False
    async with ClientWatch(receive) as watch:
        begun = await replayed(followed.frames(after), send, REPLAYED)
        if begun and not followed.ended:
            lost = AnswerLost("The answer broke off: what made it is gone.")
            await send(body_of(_event(lost, scope), last=True))
            raise lost
        if begun:
            await send(body_of(b"", last=True))
    return begun or watch.left


def _object(body: bytes) -> dict[str, Any] | None:
    """The JSON object that a body is, if it is one."""
    with suppress(InvalidBody):
        told = parsed(body)
        return told if isinstance(told, dict) else None
    return None


def _event(error: Exception, scope: Scope) -> bytes:
    """The event that ends a stream with an error."""
    body = Fault.of(error).body_for(scope["path"])
    return named_frame("error", body) if body.get("type") == "error" else frame(body)


def _others(rows: ExchangeRows, place: Place) -> Callable[[], Awaitable[bool]]:
    async def follow() -> bool:
        try:
            return await rows.followed(place)
        except StoreUnavailable:
            return False

    return follow
