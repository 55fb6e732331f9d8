"""LeasedStore: quotas that a worker has taken in advance, so that most requests ask nobody.

A worker takes a tenth of each limit together with what a request of a key needs, at most as much as fifty of these
need, or as many as it has in a second, and decides by itself until the slice of the minute is over; then it gives back
what is left. Nothing is taken in advance once half of a limit is used: then the store is asked for each request. So no
limit is ever passed; and what may be refused too early, for five seconds at most, is what others hold in advance: a
tenth for each worker and key, and never more than half of the limit. What was reserved of a quota whose time is over is
settled with the store within a tenth of a second, together with whatever else of it is over by then; until then the
store counts it as reserved.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, field, replace
from secrets import token_hex
from typing import Any, TypeAlias

from gateway.store.protocol import (
    NOTHING,
    SLICE,
    Account,
    Amount,
    Decision,
    Hold,
    Limits,
    Standing,
    Store,
    StoreUnavailable,
    none_ahead,
    slice_of,
)

SHARE = 10
"""Which part of a limit a worker takes in advance: one in so many."""
AHEAD = 50
"""For how many requests like the one that asks a worker takes at most, where it has not more of them in a second: what
is lost with a worker that is killed."""
SOON = 0.1
"""Within how many seconds the store hears of what is over, of a quota whose time is."""
Accounts: TypeAlias = tuple[Account, ...]


@dataclass(slots=True, eq=False)
class Quota:
    """What was taken in advance, and what has become of it."""

    hold: Hold
    decision: Decision
    at: float
    """When it was asked for, by the worker's clock."""
    total: Amount
    left: Amount
    drawn: dict[str, Amount] = field(default_factory=dict)
    """What reservations took that are not over."""
    draws: int = 0
    """How many reservations took from it."""
    retired: bool = False
    ends: float = field(init=False)
    """When the slice that it counts in is over."""
    ending: asyncio.TimerHandle | None = None
    """What retires it when its time is over."""
    telling: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.ends = self.at + (slice_of(self.decision.now) + 1) * SLICE - self.decision.now

    def draw(self, hold: Hold, asked: Amount, now: float) -> Decision | None:
        """Takes from what is left; None where that is too little, or its time is over."""
        if self.retired or now >= self.ends:
            return None
        for each in hold.accounts:
            if _short(each.limits, self.left, asked):
                return None
        left = self.left = self.left - asked
        self.drawn[hold.id] = asked
        self.draws += 1
        standings = [Standing(standing.used - left) for standing in self.decision.standings]
        return Decision(True, self.decision.now + now - self.at, tuple(standings))

    def per_second(self, now: float) -> int:
        """How many reservations take from it in a second of its time, of which a quarter at least is looked at."""
        return int(self.draws / max(min(now, self.ends) - self.at, 0.25))

    def settle(self, name: str, amount: Amount, *, final: bool) -> None:
        """A reservation that took from it takes just so much; one that is over has given its places back."""
        self.left += self.drawn.pop(name) - amount
        if not final:
            self.drawn[name] = amount
        elif amount.slots:
            self.left += Amount(slots=amount.slots)


class LeasedStore:
    """A store that asks another for quotas, and gives what is asked of it from these."""

    def __init__(self, store: Store, share: int = SHARE, ahead: Callable[[], float] = none_ahead) -> None:
        self._store = store
        self._share = share
        self._ahead = ahead
        self._quotas: dict[Accounts, Quota] = {}
        self._asking: dict[Accounts, asyncio.Lock] = {}
        self._not_before: dict[Accounts, float] = {}
        """Until when nothing is asked for in advance, as that was refused."""
        self._of: dict[str, Quota] = {}
        """The quotas that reservations took from, by the ids of these."""
        self._due: dict[Quota, asyncio.TimerHandle] = {}
        """Quotas whose time is over and of which something more is, and when the store is told."""
        self._telling: set[asyncio.Task[Any]] = set()
        """What the store is being told of quotas, which nobody's cancellation reaches."""

    async def start(self) -> None:
        """See :meth:`Store.start`."""
        await self._store.start()

    async def close(self) -> None:
        """Gives back all quotas."""
        for quota in self._quotas.values():
            if not quota.retired:
                self._retire(quota)
        for quota, timer in tuple(self._due.items()):
            timer.cancel()
            self._tell_due(quota)
        if self._telling:
            await asyncio.wait(self._telling)
        await self._store.close()

    async def reserve(self, hold: Hold, asked: Amount, seconds: float) -> Decision:
        """See :meth:`Store.reserve`."""
        drawn = self.draw(hold, asked)
        if drawn is not None:
            return drawn
        async with self._asking.setdefault(hold.accounts, asyncio.Lock()):
            drawn = self.draw(hold, asked) or await self._drawn_anew(hold, asked, seconds)
        return drawn or await self._store.reserve(hold, asked, seconds)

    async def adjust(self, hold: Hold, amount: Amount, *, final: bool) -> bool:
        """See :meth:`Store.adjust`."""
        quota = self._of.get(hold.id)
        if quota is None:
            return await self._store.adjust(hold, amount, final=final)
        quota.settle(hold.id, amount, final=final)
        if final:
            del self._of[hold.id]
        if quota.retired:
            await self._tell(quota)
        return True

    def settle(self, hold: Hold, amount: Amount) -> bool:
        """What :meth:`adjust` does with a reservation that is over, without waiting until the store has heard of it;
        False, and nothing is done, where it is of no quota."""
        quota = self._of.pop(hold.id, None)
        if quota is None:
            return False
        quota.settle(hold.id, amount, final=True)
        if quota.retired and quota not in self._due:
            self._due[quota] = asyncio.get_running_loop().call_later(SOON, self._tell_due, quota)
        return True

    async def renew(self, holds: Sequence[Hold], seconds: float) -> None:
        """See :meth:`Store.renew`."""
        theirs = {(self._of[hold.id].hold if hold.id in self._of else hold) for hold in holds}
        await self._store.renew(tuple(theirs), seconds + SLICE)

    def draw(self, hold: Hold, asked: Amount) -> Decision | None:
        """What :meth:`reserve` says where a quota has so much left; None where the store must be asked."""
        quota = self._quotas.get(hold.accounts)
        drawn = quota.draw(hold, asked, self._now()) if quota is not None else None
        if quota is not None and drawn is not None:
            self._of[hold.id] = quota
        return drawn

    async def _drawn_anew(self, hold: Hold, asked: Amount, seconds: float) -> Decision | None:
        """From a new quota; None where so much in advance is not granted, or nothing would be left of it."""
        before = self._quotas.pop(hold.accounts, None)
        if before is not None and not before.retired:
            await asyncio.shield(self._retire(before))
        at, shares = self._now(), _shares(hold.accounts, self._share)
        ahead = max(AHEAD, 0 if before is None else before.per_second(at))
        if shares == NOTHING or at < self._not_before.get(hold.accounts, 0.0):
            return None
        total = asked + Amount(*map(min, astuple(shares), (ahead * each for each in astuple(asked))))
        theirs = Hold(
            f"quota_{token_hex(12)}", tuple(replace(each, limits=_half(each.limits)) for each in hold.accounts)
        )
        try:  # who draws from it in its last moment still has a whole lease
            decision = await self._store.reserve(theirs, total, seconds + SLICE)
        except BaseException:
            self._apart(self._store.adjust(theirs, NOTHING, final=True))
            raise
        if not decision.granted:
            self._not_before[hold.accounts] = at + SLICE
            return None
        quota = self._quotas[hold.accounts] = Quota(theirs, decision, at, total, total)
        quota.ending = asyncio.get_running_loop().call_later(quota.ends - self._now(), self._retire, quota)
        return self.draw(hold, asked)

    def _retire(self, quota: Quota) -> asyncio.Task[Any]:
        """Nothing is drawn from it any more; the task tells the store what was."""
        if quota.ending is not None:
            quota.ending.cancel()
        quota.retired = True
        return self._apart(self._tell(quota))

    def _tell_due(self, quota: Quota) -> None:
        del self._due[quota]
        self._apart(self._tell(quota))

    def _apart(self, told: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(_unless_away(told))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)
        return task

    async def _tell(self, quota: Quota) -> None:
        """Says what of a quota is really taken; in turn, so that what is said last is what holds."""
        async with quota.telling:
            await self._store.adjust(quota.hold, quota.total - quota.left, final=not quota.drawn)

    def _now(self) -> float:
        return time.monotonic() + self._ahead()


async def _unless_away(told: Coroutine[Any, Any, Any]) -> None:
    """What the store does not hear, its lease ends."""
    with suppress(StoreUnavailable):
        await told


def _shares(accounts: Accounts, share: int) -> Amount:
    """What is taken in advance: that part of the smallest limit of each kind, and nothing where there is none."""
    smallest: dict[str, int] = {}
    for name in Limits.__slots__:
        limits = (getattr(each.limits, name) for each in accounts)
        smallest[name] = min((limit for limit in limits if limit is not None), default=0) // share
    return Amount(**smallest)


def _half(limits: Limits) -> Limits:
    return Limits(*(None if limit is None else limit // 2 for limit in astuple(limits)))


def _short(limits: Limits, left: Amount, asked: Amount) -> bool:
    return (
        (limits.requests is not None and asked.requests > left.requests)
        or (limits.tokens is not None and asked.tokens > left.tokens)
        or (limits.nanos is not None and asked.nanos > left.nanos)
        or (limits.slots is not None and asked.slots > left.slots)
    )
