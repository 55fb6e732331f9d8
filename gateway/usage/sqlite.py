"""The ledger in the file of a SQLite store: written by its writer, read beside it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import closing
from operator import attrgetter
from pathlib import Path
from typing import Any

from gateway.store.protocol import StoreUnavailable
from gateway.store.sqlite import SQLiteStore
from gateway.usage.row import COLUMNS, UsageRow
from gateway.usage.rows import FAILED, PAGE, SUMMED, By, Span, Sums, Totals

TABLE = """
CREATE TABLE IF NOT EXISTS usage (
    at REAL, run TEXT, key TEXT, team TEXT, model TEXT, deployment TEXT, outcome TEXT, error TEXT, requests INTEGER,
    prompt_tokens INTEGER, completion_tokens INTEGER, total_tokens INTEGER, cached_tokens INTEGER,
    estimated_tokens INTEGER, nanos INTEGER, seconds REAL, steps TEXT, PRIMARY KEY (at, run)) WITHOUT ROWID
"""
INSERT = f"INSERT OR IGNORE INTO usage VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - question marks
VALUES = attrgetter(*COLUMNS)
MEANT = "at < :until AND (:key = '' OR key = :key) AND (:team = '' OR team = :team) AND (:model = '' OR model = :model)"
READ = f"SELECT {', '.join(COLUMNS)} FROM usage WHERE (at, run) > (:at, :run) AND {MEANT} ORDER BY at, run LIMIT {PAGE}"  # noqa: S608 - names of ours
MOST_FORGOTTEN = 10_000
"""How many rows are removed at a time, so that nobody waits for long."""


class SQLiteUsage:
    """See :class:`gateway.usage.rows.UsageRows`."""

    def __init__(self, store: SQLiteStore, path: Path) -> None:
        self._store = store
        self._uri = f"{path.absolute().as_uri()}?mode=ro"

    async def write(self, rows: Sequence[UsageRow]) -> None:
        """See :meth:`UsageRows.write`."""

        def insert(db: sqlite3.Connection) -> None:
            db.execute(TABLE)
            db.executemany(INSERT, map(VALUES, rows))

        await self._store.do(insert)

    async def read(self, span: Span) -> AsyncGenerator[list[UsageRow], None]:
        """See :meth:`UsageRows.read`."""
        at, run = span.since, ""
        while rows := await self._ask(READ, {**_meant(span), "at": at, "run": run}):
            page = [UsageRow(*row) for row in rows]
            at, run = page[-1].at, page[-1].run
            yield page

    async def totals(self, span: Span, by: Sequence[By]) -> Totals:
        """See :meth:`UsageRows.totals`."""
        groups = [f"strftime('%Y-%m-%d', at, 'unixepoch') AS {each}" if each == "day" else each for each in by]
        sums = [f"COALESCE(SUM({name}), 0)" for name in SUMMED]
        failed = f"SUM(outcome IN {FAILED})"
        statement = f"SELECT {', '.join([*groups, *sums, failed, 'SUM(nanos IS NULL)'])} FROM usage WHERE at >= :since AND {MEANT}"  # noqa: S608, E501 - names of ours
        statement += f" GROUP BY {', '.join(by)}" if by else " HAVING COUNT(*) > 0"
        names = (*SUMMED, "failed", "unpriced")
        rows = await self._ask(statement, _meant(span))
        return {row[: len(by)]: Sums(**dict(zip(names, row[len(by) :], strict=True))) for row in rows}

    async def forget(self, before: float) -> None:
        """See :meth:`UsageRows.forget`."""

        def some(db: sqlite3.Connection) -> int:
            db.execute(TABLE)
            chosen = "SELECT at, run FROM usage WHERE at < ? ORDER BY at LIMIT ?"
            statement = f"DELETE FROM usage WHERE (at, run) IN ({chosen})"  # noqa: S608 - no value is in it
            return db.execute(statement, (before, MOST_FORGOTTEN)).rowcount

        while await self._store.do(some) == MOST_FORGOTTEN:
            pass

    async def _ask(self, statement: str, given: dict[str, Any]) -> list[tuple[Any, ...]]:
        return await asyncio.to_thread(self._asked, statement, given)

    def _asked(self, statement: str, given: dict[str, Any]) -> list[tuple[Any, ...]]:
        """On a connection of its own: who reads does not keep the writer waiting."""
        try:
            with closing(sqlite3.connect(self._uri, uri=True)) as db:
                return db.execute(statement, given).fetchall()
        except sqlite3.Error as error:
            if "no such table" in str(error):
                return []
            raise StoreUnavailable(f"the store's file cannot be read: {error}") from error


def _meant(span: Span) -> dict[str, Any]:
    return {name: getattr(span, name) for name in Span.__slots__}
