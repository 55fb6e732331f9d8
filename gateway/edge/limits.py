"""What keys and teams may spend: reserved before each run, settled once after it, on every way out.

An :class:`~graph.Instrument`, so that whatever runs a graph for a caller is under the limits of that caller, and no
endpoint can forget them. A key that has none, and no team that has some, is not looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, MutableMapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from secrets import token_hex
from typing import Any, TypeAlias

from gateway.edge.allowance import headers_of, refusal_of
from gateway.edge.bounds import Bounds, taken
from gateway.edge.context import AFFORD, Send
from gateway.errors import PriceNeeded
from gateway.store.leased import LeasedStore
from gateway.store.protocol import NOTHING, Account, Amount, Decision, Hold, Store, StoreUnavailable
from gateway.telemetry.passage import LIMITS, turn
from graph import FlowRun, Instrument

Accounts: TypeAlias = tuple[Account, ...]
REQUEST = Amount(requests=1, slots=1)


@dataclass(slots=True)
class Reservation:
    """What a run has reserved."""

    hold: Hold
    asked: Amount
    admission: Admission


@dataclass(slots=True)
class Admission:
    """One request of a caller who has limits; also the ``send`` of its answer, which it tells them in.

    Its first run takes the request and its place, and each run what it may cost. The place is free when all have ended.
    """

    accounts: Accounts
    send: Send
    limiter: Limiter
    begun: bool = False
    ran: bool = False
    running: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    keeping: list[tuple[Hold, Amount]] = field(default_factory=list)
    """The first run, when it has ended and others go on: its reservation is the place of all."""
    further: list[Hold] = field(default_factory=list)
    """What was reserved on the way, for further calls when others had failed."""
    settling: list[asyncio.Task[None]] = field(default_factory=list)

    def __call__(self, message: MutableMapping[str, Any]) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *self.headers]
        elif self.settling and not message.get("more_body", False):
            return self._settled(message)
        return self.send(message)

    async def _settled(self, message: MutableMapping[str, Any]) -> None:
        await asyncio.wait(self.settling)
        await self.send(message)

    def needs(self, bound: Amount) -> Amount:
        """What the next run of it reserves, which takes so many tokens and so much money."""
        first, self.begun = not self.begun, True
        return bound + REQUEST if first else bound

    def ended(self, hold: Hold, asked: Amount, took: Amount) -> list[tuple[Hold, Amount]]:
        """What is to be settled now that a run of it is over, which took so many tokens and so much money."""
        self.running -= 1
        over = [(hold, Amount(asked.requests, took.tokens, took.nanos))]
        if asked.slots and self.running:
            self.keeping = over
            return []
        return over if self.running else [*over, *self.keeping, *((each, NOTHING) for each in self.further)]


ADMISSION: ContextVar[Admission | None] = ContextVar("admission", default=None)
"""The request that the current task answers, if its caller has limits."""


def beside() -> None:
    """What the current task runs from here on is paid like the request that it is for, but is no further request, and
    neither takes its place nor gives it back."""
    admission = ADMISSION.get()
    if admission is not None:
        other = Admission(
            admission.accounts, admission.send, admission.limiter, begun=True, settling=admission.settling
        )
        ADMISSION.set(other)
        AFFORD.set(partial(admission.limiter.afford, other))


def spend() -> None:
    """The request that was taken ahead is not given back, whether or not a run follows: something has been paid."""
    admission = ADMISSION.get()
    if admission is not None:
        admission.ran = True


@asynccontextmanager
async def taken_ahead() -> AsyncGenerator[bool, None]:
    """Around what costs something before the first run of the current request: whether its caller has a request and a
    place left, which are this one's as long as it lasts. The request is given back where no run has followed and nobody
    has said that it is spent."""
    admission = ADMISSION.get()
    if admission is None or admission.begun:
        yield True
        return
    hold = await admission.limiter.take(admission)
    try:
        yield hold is not None
    finally:
        if hold is not None:
            admission.limiter.give_back(admission, hold)


class Limiter(Instrument):
    """Holds callers to their limits.

    Args:
        lease: how long a reservation keeps its place when its worker is gone, in seconds.
    """

    def __init__(self, store: Store, bounds: Bounds, lease: float) -> None:
        self._store = store
        self._advanced = store if isinstance(store, LeasedStore) else None
        """Where most of what is asked for is there already, so that nobody must be waited for."""
        self._bounds = bounds
        self._lease = lease
        self._name, self._numbers = f"run_{token_hex(12)}_", count()
        self._open: dict[FlowRun, Reservation] = {}
        self._held: dict[str, Hold] = {}
        """What is reserved and not settled, by id."""
        self._settling: set[asyncio.Task[None]] = set()
        self._renewing: asyncio.Task[None] | None = None

    def admit(self, accounts: Accounts, send: Send) -> Send:
        """What answers a request that is charged to these: ``send`` itself, if nothing limits it."""
        admission = Admission(accounts, send, self) if accounts else None
        ADMISSION.set(admission)
        AFFORD.set(None if admission is None else partial(self.afford, admission))
        return send if admission is None else admission

    async def start(self) -> None:
        """From here on what is under way keeps its leases."""
        self._renewing = asyncio.create_task(self._renew_on())

    async def close(self) -> None:
        """Settles what has ended."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait((self._renewing,))
        if self._settling:
            await asyncio.wait(self._settling)

    async def before_run(self, run: FlowRun) -> None:
        """Reserves what a run may take at most.

        Raises:
            LimitReached: when the caller or its team has not so much left.
            PriceNeeded: when a budget limits them, and nobody has said what the run may cost.
            StoreUnavailable: when nobody can decide.
        """
        admission = ADMISSION.get()
        if run.outer is not None or admission is None:
            return
        self._check_price(run, admission.accounts)
        asked = admission.needs(self._bounds.of(run))
        hold = self._next_hold(admission)
        decision = await self._reserve(admission, hold, asked)
        admission.headers = headers_of(admission.accounts, decision)
        if not decision.granted:
            raise refusal_of(admission.accounts, decision, asked)
        admission.ran = True
        admission.running += 1
        self._held[hold.id] = hold
        self._open[run] = Reservation(hold, asked, admission)

    def on_run_end(self, run: FlowRun) -> None:
        """Settles what the run has really taken."""
        reservation = self._open.pop(run, None)
        if reservation is not None:
            admission = reservation.admission
            for hold, amount in admission.ended(reservation.hold, reservation.asked, taken(run)):
                self._settle(admission, hold, amount)

    async def renew(self) -> None:
        """Gives what is under way a whole lease again."""
        if self._held:
            await self._store.renew(list(self._held.values()), self._lease)

    async def take(self, admission: Admission) -> Hold | None:
        """Takes the request and its place before its first run; None where the caller has none left, or nobody can
        decide."""
        hold = self._next_hold(admission)
        try:
            decision = await self._reserve(admission, hold, REQUEST)
        except StoreUnavailable:
            return None
        if not decision.granted:
            return None
        admission.begun = True
        admission.running += 1
        self._held[hold.id] = hold
        return hold

    def give_back(self, admission: Admission, hold: Hold) -> None:
        """Gives back what :meth:`take` took: the place once all runs have ended, the request if there were none."""
        asked = Amount(requests=int(admission.ran), slots=1)
        for each, amount in admission.ended(hold, asked, NOTHING):
            self._settle(admission, each, amount)

    async def afford(self, admission: Admission, tokens: int, nanos: int) -> bool:
        """Reserves so much more for a request that is under way; whether there was so much left."""
        hold, asked = self._next_hold(admission), Amount(tokens=tokens, nanos=nanos)
        decision = await self._reserve(admission, hold, asked)
        if decision.granted:
            self._held[hold.id] = hold
            admission.further.append(hold)
        return decision.granted

    def _next_hold(self, admission: Admission) -> Hold:
        return Hold(f"{self._name}{next(self._numbers)}", admission.accounts)

    async def _reserve(self, admission: Admission, hold: Hold, asked: Amount) -> Decision:
        was = turn(LIMITS)
        try:
            drawn = self._advanced.draw(hold, asked) if self._advanced is not None else None
            return drawn or await self._store.reserve(hold, asked, self._lease)
        except BaseException:
            self._settle(admission, hold, NOTHING)
            raise
        finally:
            turn(was)

    def _check_price(self, run: FlowRun, accounts: Accounts) -> None:
        model = self._bounds.unpriced(run)
        if model and any(account.limits.nanos is not None for account in accounts):
            raise PriceNeeded(model)

    def _settle(self, admission: Admission, hold: Hold, amount: Amount) -> None:
        """At once, or else in a task of its own, which nobody's cancellation reaches."""
        self._held.pop(hold.id, None)
        if self._advanced is not None and self._advanced.settle(hold, amount):
            return
        task = asyncio.create_task(self._tell(hold, amount))
        admission.settling.append(task)
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _tell(self, hold: Hold, amount: Amount) -> None:
        await self._store.adjust(hold, amount, final=True)

    async def _renew_on(self) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            await self.renew()
