"""Periods of budgets, by the calendar and in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, TypeAlias

Period: TypeAlias = Literal["day", "week", "month", "total"]
"""How long a budget lasts until it is whole again; weeks begin on Mondays, ``total`` never ends."""


def starts(period: Period, now: float) -> tuple[int, ...]:
    """When the period before this one, this one and the two that follow begin (seconds since 1970).

    Whose clock is right picks among them, so that a worker whose clock is wrong by less than a period does no harm.
    """
    if period == "total":
        return (0,)
    first = _first(period, datetime.fromtimestamp(now, UTC).date())
    days = [_first(period, first - timedelta(days=1)), first]
    while len(days) < 4:
        days.append(_first(period, days[-1] + timedelta(days=_LONGEST[period])))
    return tuple(int(datetime.combine(day, time(), UTC).timestamp()) for day in days)


def current(begun: tuple[int, ...], now: float) -> tuple[int, int | None]:
    """When the period of this time begins, and when it ends."""
    at = max((index for index, start in enumerate(begun) if start <= now), default=0)
    return begun[at], begun[at + 1] if at + 1 < len(begun) else None


_LONGEST = {"day": 1, "week": 7, "month": 31}


def _first(period: Period, day: date) -> date:
    """The first day of the period that a day is in."""
    if period == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period == "month" else day
