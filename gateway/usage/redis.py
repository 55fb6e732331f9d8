"""The ledger in Redis: a sorted set for each day, which ends by itself."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

from gateway.store.redis import RedisStore
from gateway.usage.row import DECODE, ENCODE, UsageRow
from gateway.usage.rows import DAY, PAGE, By, Span, Totals, add_up

PREFIX: Final = "penstock:{usage}"


class RedisUsage:
    """See :class:`gateway.usage.rows.UsageRows`.

    Args:
        keep: for how many seconds rows are kept.
    """

    def __init__(self, store: RedisStore, keep: float) -> None:
        self._store = store
        self._keep = keep

    async def write(self, rows: Sequence[UsageRow]) -> None:
        """See :meth:`UsageRows.write`."""
        pipe = self._store.client.pipeline(transaction=False)
        for row in rows:
            pipe.zadd(_set_of(_day(row.at)), {ENCODE(row): row.at}, nx=True)
        for day in {_day(row.at) for row in rows}:
            pipe.expireat(_set_of(day), int((day + 1) * DAY + self._keep))
        await self._store.within(pipe.execute())

    async def read(self, span: Span) -> AsyncGenerator[list[UsageRow], None]:
        """See :meth:`UsageRows.read`."""
        first = max(_day(span.since), _day(time.time() - self._keep))
        for day in range(first, min(_day(span.until), _day(time.time()) + 1) + 1):
            begun, last = 0, (float("-inf"), b"")
            while page := await self._page(day, begun):
                begun += len(page)
                new = [(at, told) for told, at in page if (at, told) > last]  # one that came late moved the others on
                last = max(last, *new) if new else last
                rows = [row for _, told in new if span.has(row := DECODE(told))]
                if rows:
                    yield rows

    async def totals(self, span: Span, by: Sequence[By]) -> Totals:
        """See :meth:`UsageRows.totals`."""
        totals: Totals = {}
        async for rows in self.read(span):
            add_up(totals, rows, by)
        return totals

    async def forget(self, before: float) -> None:
        """See :meth:`UsageRows.forget`. Whole days end by themselves."""
        await self._store.within(self._store.client.zremrangebyscore(_set_of(_day(before)), "-inf", f"({before}"))

    async def _page(self, day: int, begun: int) -> list[tuple[bytes, float]]:
        asked = self._store.client.zrange(_set_of(day), begun, begun + PAGE - 1, withscores=True)
        page: list[Any] = await self._store.within(asked)
        return [(told, float(at)) for told, at in page]


def _day(at: float) -> int:
    return int(at // DAY)


def _set_of(day: int) -> str:
    return f"{PREFIX}:{day}"
