"""Exchanges in the file of a SQLite store."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

from gateway.exchanges.rows import Kept, Part, Place
from gateway.store.sqlite import SQLiteStore

TABLES = (
    """CREATE TABLE IF NOT EXISTS exchanges (
    space TEXT, id TEXT, mark TEXT, asked BLOB, state TEXT, begun REAL, until REAL, size INTEGER, followed REAL,
    PRIMARY KEY (space, id)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS exchanges_until ON exchanges (until)",
    "CREATE INDEX IF NOT EXISTS exchanges_begun ON exchanges (space, begun, size)",
    """CREATE TABLE IF NOT EXISTS exchange_frames (
    space TEXT, id TEXT, number INTEGER, frame BLOB, PRIMARY KEY (space, id, number)) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS exchange_spaces (space TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID",
    """INSERT INTO exchange_spaces SELECT space, SUM(size) FROM exchanges
    WHERE NOT EXISTS (SELECT 1 FROM exchange_spaces) GROUP BY space HAVING SUM(size) > 0""",
    """CREATE TRIGGER IF NOT EXISTS exchange_grows AFTER UPDATE OF size ON exchanges WHEN NEW.size <> OLD.size BEGIN
    INSERT INTO exchange_spaces VALUES (NEW.space, NEW.size - OLD.size)
    ON CONFLICT (space) DO UPDATE SET size = size + excluded.size; END""",
    """CREATE TRIGGER IF NOT EXISTS exchange_goes AFTER DELETE ON exchanges WHEN OLD.size > 0 BEGIN
    UPDATE exchange_spaces SET size = size - OLD.size WHERE space = OLD.space;
    DELETE FROM exchange_spaces WHERE space = OLD.space AND size = 0; END""",
)
"""What a space takes is kept by the file itself, in the transaction that changes it, whichever worker that is."""
THERE = "space = ? AND id = ?"
MOST_FORGOTTEN = 100
"""How many that are over are removed at a time, so that nobody waits for long."""


class SQLiteExchanges:
    """See :class:`gateway.exchanges.rows.ExchangeRows`."""

    def __init__(self, store: SQLiteStore) -> None:
        self._store = store
        self._made = False

    async def begin(self, place: Place, mark: str, asked: bytes, seconds: float) -> Kept | None:
        """See :meth:`ExchangeRows.begin`."""

        def take(db: sqlite3.Connection) -> Kept | None:
            now = time.time()
            over = "SELECT space, id FROM exchanges WHERE until <= ? LIMIT ?"
            _forget(db, [Place(*row) for row in db.execute(over, (now, MOST_FORGOTTEN))])
            there = _head(db, place, now)
            if there is None:
                _forget(db, [place])
                row = (*place, mark, asked, "open", now, now + seconds, 0, 0.0)
                db.execute("INSERT INTO exchanges VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            return there

        kept: Kept | None = await self._do(take)
        return kept

    async def write(self, place: Place, mark: str, part: Part, seconds: float, most: int) -> bool:
        """See :meth:`ExchangeRows.write`."""

        def add(db: sqlite3.Connection) -> bool:
            now = time.time()
            if db.execute(f"SELECT 1 FROM exchanges WHERE {THERE} AND mark = ?", (*place, mark)).fetchone() is None:  # noqa: S608 - a text of ours, as below
                return False
            if part.state == "long":
                db.execute(f"DELETE FROM exchange_frames WHERE {THERE}", place)  # noqa: S608
            have = _count(db, place)
            new = part.frames[max(0, have - part.number) :]
            rows = [(*place, have + at, frame) for at, frame in enumerate(new)]
            db.executemany("INSERT INTO exchange_frames VALUES (?, ?, ?, ?)", rows)
            size = "0" if part.state == "long" else "size + ?"
            given = () if part.state == "long" else (sum(map(len, new)),)
            statement = f"UPDATE exchanges SET state = ?, until = ?, size = {size} WHERE {THERE}"  # noqa: S608
            db.execute(statement, (part.state, now + seconds, *given, *place))
            _hold(db, place.space, most)
            return True

        written: bool = await self._do(add)
        return written

    async def read(self, place: Place, number: int) -> Kept | None:
        """See :meth:`ExchangeRows.read`."""

        def look(db: sqlite3.Connection) -> Kept | None:
            head = _head(db, place, time.time())
            if head is None:
                return None
            statement = f"SELECT frame FROM exchange_frames WHERE {THERE} AND number >= ? ORDER BY number"  # noqa: S608
            return Kept(head.asked, head.state, [frame for (frame,) in db.execute(statement, (*place, number))])

        kept: Kept | None = await self._do(look)
        return kept

    async def drop(self, place: Place, mark: str) -> None:
        """See :meth:`ExchangeRows.drop`."""

        def give_back(db: sqlite3.Connection) -> None:
            found = db.execute(f"SELECT mark FROM exchanges WHERE {THERE}", place).fetchone()  # noqa: S608
            if found is not None and mark in ("", found[0]):
                _forget(db, [place])

        await self._do(give_back)

    async def follow(self, place: Place, seconds: float) -> None:
        """See :meth:`ExchangeRows.follow`."""
        statement = f"UPDATE exchanges SET followed = ? WHERE {THERE}"  # noqa: S608
        await self._do(lambda db: db.execute(statement, (time.time() + seconds, *place)).rowcount)

    async def followed(self, place: Place) -> bool:
        """See :meth:`ExchangeRows.followed`."""
        statement = f"SELECT 1 FROM exchanges WHERE {THERE} AND followed > ?"  # noqa: S608
        return bool(await self._do(lambda db: db.execute(statement, (*place, time.time())).fetchone()))

    async def _do(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        def made(db: sqlite3.Connection) -> Any:
            for statement in () if self._made else TABLES:
                db.execute(statement)
            return work(db)

        result = await self._store.do(made)
        self._made = True
        return result


def _head(db: sqlite3.Connection, place: Place, now: float) -> Kept | None:
    statement = f"SELECT asked, state FROM exchanges WHERE {THERE} AND until > ?"  # noqa: S608
    row = db.execute(statement, (*place, now)).fetchone()
    return None if row is None else Kept(*row)


def _count(db: sqlite3.Connection, place: Place) -> int:
    statement = f"SELECT COALESCE(MAX(number) + 1, 0) FROM exchange_frames WHERE {THERE}"  # noqa: S608
    (number,) = db.execute(statement, place).fetchone()
    return int(number)


def _hold(db: sqlite3.Connection, space: str, most: int) -> None:
    """Removes what was begun first in a space that takes too much."""
    (size,) = db.execute("SELECT COALESCE(SUM(size), 0) FROM exchange_spaces WHERE space = ?", (space,)).fetchone()
    if size <= most:
        return
    rows = db.execute("SELECT id, size FROM exchanges WHERE space = ? ORDER BY begun", (space,))
    going = []
    while size > most and (row := rows.fetchone()) is not None:
        going.append(Place(space, row[0]))
        size -= row[1]
    _forget(db, going)


def _forget(db: sqlite3.Connection, places: Sequence[Place]) -> None:
    for table in ("exchanges", "exchange_frames"):
        db.executemany(f"DELETE FROM {table} WHERE {THERE}", places)  # noqa: S608
