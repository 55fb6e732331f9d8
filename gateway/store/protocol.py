"""Store: what workers share of limits. What is reserved before the work is settled once, or ends with its lease.

The minute of a limit slides: it is the slice that the clock is in and the twelve slices of five seconds before it, so
that no sixty seconds ever hold more than the limit. A budget is that of a day, a week or a month by the calendar, in
UTC, or of all time. The clock is the store's, never a worker's.

A worker that is killed settles nothing. When the lease of what it had reserved ends, its places are free again; its
tokens and its money stay spent as they were reserved, as nobody knows what the work has cost. One that was only kept
from settling, by a store that was gone for longer than the lease, may still say for an hour what it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from typing import Protocol

from gateway.store.periods import Period

SLICE = 5
"""How many seconds a slice of the minute has."""
SLICES = 13
"""How many slices count: that of now, which has just begun perhaps, and a whole minute before it."""
NANOS = 1_000_000_000
"""Money is counted in whole billionths of a US dollar."""
LATE = 3600
"""For how many seconds after its lease a reservation may still be settled; it has no places then."""
MOST = 10**15
"""The largest figure that is taken for what a run took, whatever an upstream says: stores count it exactly."""


@dataclass(slots=True)
class Amount:
    """What is asked of an account, or taken from it. Nobody changes one, nor what else a request makes of these; were
    they frozen, they would take three times as long to make."""

    requests: int = 0
    tokens: int = 0
    nanos: int = 0
    slots: int = 0
    """Places among the requests that are under way at once."""

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            self.requests + other.requests,
            self.tokens + other.tokens,
            self.nanos + other.nanos,
            self.slots + other.slots,
        )

    def __sub__(self, other: Amount) -> Amount:
        return Amount(
            self.requests - other.requests,
            self.tokens - other.tokens,
            self.nanos - other.nanos,
            self.slots - other.slots,
        )


NOTHING = Amount()


@dataclass(frozen=True, slots=True)
class Limits:
    """What an account may take: requests and tokens a minute, money a period, places at once; None is no limit."""

    requests: int | None = None
    tokens: int | None = None
    nanos: int | None = None
    slots: int | None = None

    def broken(self, used: Amount, asked: Amount) -> list[str]:
        """The names of the limits that so much more would break. Of what is not asked for, too much may be taken."""
        return [
            name
            for name in Limits.__slots__
            if (limit := getattr(self, name)) is not None
            and (more := getattr(asked, name)) > 0
            and getattr(used, name) + more > limit
        ]


@dataclass(frozen=True, slots=True)
class Account:
    """Whom work is charged to: a key, or a team."""

    name: str
    """``key:app`` or ``team:search``."""
    limits: Limits
    period: Period = "month"
    """Of the limit on money."""

    def __hash__(self) -> int:
        """By its name: it is looked up in each request, and rarely two have the same one."""
        return hash(self.name)

    @property
    def told(self) -> str:
        """The name as callers are told it."""
        kind, _, name = self.name.partition(":")
        return f"{kind} '{name}'"


@dataclass(frozen=True, slots=True)
class Hold:
    """A reservation: its id, and the accounts that it is charged to, all of them or none. The last is the widest."""

    id: str
    accounts: tuple[Account, ...]


@dataclass(frozen=True, slots=True)
class Leaving:
    """What leaves the minute of an account at a time (seconds since 1970)."""

    at: float
    requests: int
    tokens: int


@dataclass(slots=True)
class Standing:
    """What is taken of an account; of one that has refused, also when its minute becomes free again."""

    used: Amount
    leaving: tuple[Leaving, ...] = ()


@dataclass(slots=True)
class Decision:
    """Whether a reservation was granted, by which clock (seconds since 1970), and how its accounts stand after it."""

    granted: bool
    now: float
    standings: tuple[Standing, ...]


class StoreUnavailable(Exception):
    """The store cannot be reached, or does not answer in time."""


class Store(Protocol):
    """What all workers see alike. It survives restarts of theirs and of its own.

    Every method raises :class:`StoreUnavailable`.
    """

    async def start(self) -> None:
        """Makes it ready."""
        ...

    async def close(self) -> None:
        """Gives back what it holds; what was asked of it before is done."""
        ...

    async def reserve(self, hold: Hold, asked: Amount, seconds: float) -> Decision:
        """Takes an amount from all accounts, for so many seconds, if none of them has too little left. Asked again with
        the same id, it takes nothing more."""
        ...

    async def adjust(self, hold: Hold, amount: Amount, *, final: bool) -> bool:
        """Says what a reservation really takes; ``final``, that it is over: its places are free.

        False, and without effect, for one that is over already, or whose lease ended more than :data:`LATE` seconds
        ago. More than was reserved is taken too, whatever the limits say: it has been spent.
        """
        ...

    async def renew(self, holds: Sequence[Hold], seconds: float) -> None:
        """Gives reservations that are not over, and whose lease has not ended, so many seconds from now on."""
        ...


def slice_of(now: float) -> int:
    """The number of the slice that a time is in."""
    return floor(now / SLICE)


def leaves_at(number: int) -> float:
    """When a slice no longer counts."""
    return float((number + SLICES) * SLICE)


def none_ahead() -> float:
    """Stores go by their clocks as they are; a test moves time on, by seconds that are added to them."""
    return 0.0
