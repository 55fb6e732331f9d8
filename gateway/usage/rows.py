"""UsageRows: where the ledger is kept, and what can be asked of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time
from typing import Any, Final, Literal, Protocol, TypeAlias, get_args

from gateway.store.protocol import NANOS
from gateway.usage.row import UsageRow

By: TypeAlias = Literal["key", "team", "model", "deployment", "outcome", "day"]
GROUPS: Final[tuple[By, ...]] = get_args(By)
EVER: Final = date(1970, 1, 1)
DAY: Final = 86_400
PAGE: Final = 1000
"""How many rows are read at a time."""


@dataclass(frozen=True, slots=True)
class Span:
    """Which rows are meant: those that ended from ``since`` on and before ``until`` (seconds since 1970), of one key,
    team or model where that is named."""

    since: float = 0.0
    until: float = float(2**40)
    key: str = ""
    team: str = ""
    model: str = ""

    def has(self, row: UsageRow) -> bool:
        """Whether a row is meant."""
        named = ((self.key, row.key), (self.team, row.team), (self.model, row.model))
        return self.since <= row.at < self.until and all(not wanted or wanted == its for wanted, its in named)


@dataclass(slots=True)
class Sums:
    """What several rows add up to."""

    requests: int = 0
    failed: int = 0
    """Runs that failed or were refused."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    estimated_tokens: int = 0
    nanos: int = 0
    """Billionths of a US dollar, of those rows whose cost is known."""
    unpriced: int = 0
    """Rows whose cost nobody knows."""
    seconds: float = 0.0

    def add(self, row: UsageRow) -> None:
        """Adds one row."""
        for name in SUMMED:
            setattr(self, name, getattr(self, name) + (getattr(row, name) or 0))
        self.failed += row.outcome in FAILED
        self.unpriced += row.nanos is None

    def to_json(self) -> dict[str, Any]:
        """The sums as the admin API shows them."""
        sums = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**sums, "usd": sums.pop("nanos") / NANOS}


FAILED = ("failed", "refused")
SUMMED = tuple(each.name for each in fields(Sums) if each.name not in {"failed", "unpriced"})
Totals: TypeAlias = dict[tuple[str, ...], Sums]


class UsageRows(Protocol):
    """Every method raises :class:`~gateway.store.protocol.StoreUnavailable`."""

    async def write(self, rows: Sequence[UsageRow]) -> None:
        """Keeps rows. Those that are kept already stay as they are, so that whoever heard nothing may ask again."""
        ...

    def read(self, span: Span) -> AsyncGenerator[list[UsageRow], None]:
        """The rows of a span in the order of their time, some at a time."""
        ...

    async def totals(self, span: Span, by: Sequence[By]) -> Totals:
        """What they add up to in each group, by the values that make the group."""
        ...

    async def forget(self, before: float) -> None:
        """Removes what ended before a time (seconds since 1970)."""
        ...


def add_up(totals: Totals, rows: Iterable[UsageRow], by: Sequence[By]) -> None:
    """Adds rows to the totals of their groups."""
    for row in rows:
        group = tuple(day_of(row.at) if each == "day" else getattr(row, each) for each in by)
        totals.setdefault(group, Sums()).add(row)


def day_of(at: float) -> str:
    """The day of a time, in UTC: ``2026-11-22``."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def span_of(since: date, until: date | None, *, key: str = "", team: str = "", model: str = "") -> Span:
    """The span of whole days in UTC, both included."""
    last = float(2**40) if until is None else _begins(until) + DAY
    return Span(_begins(since), last, key, team, model)


def _begins(day: date) -> float:
    return datetime.combine(day, time(), UTC).timestamp()
