"""Keys in the file of a SQLite store."""

from __future__ import annotations

import sqlite3

from gateway.store.sqlite import SQLiteStore

TABLES = """
CREATE TABLE IF NOT EXISTS keys (name TEXT PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS key_records (number INTEGER PRIMARY KEY AUTOINCREMENT, record BLOB NOT NULL);
"""


class SQLiteKeys:
    """See :class:`gateway.keys.rows.KeyRows`."""

    def __init__(self, store: SQLiteStore) -> None:
        self._store = store

    async def version(self) -> int:
        """See :meth:`KeyRows.version`."""

        def look(db: sqlite3.Connection) -> int:
            _make(db)
            (number,) = db.execute("SELECT COALESCE(MAX(number), 0) FROM key_records").fetchone()
            return int(number)

        number: int = await self._store.do(look)
        return number

    async def all(self) -> list[bytes]:
        """See :meth:`KeyRows.all`."""

        def look(db: sqlite3.Connection) -> list[bytes]:
            _make(db)
            return [row for (row,) in db.execute("SELECT row FROM keys ORDER BY name")]

        rows: list[bytes] = await self._store.do(look)
        return rows

    async def put(self, name: str, before: bytes | None, after: bytes, record: bytes) -> bool:
        """See :meth:`KeyRows.put`."""

        def change(db: sqlite3.Connection) -> bool:
            _make(db)
            if before is None:
                done = db.execute("INSERT OR IGNORE INTO keys VALUES (?, ?)", (name, after)).rowcount
            else:
                done = db.execute("UPDATE keys SET row = ? WHERE name = ? AND row = ?", (after, name, before)).rowcount
            if done:
                db.execute("INSERT INTO key_records (record) VALUES (?)", (record,))
            return bool(done)

        put: bool = await self._store.do(change)
        return put

    async def records(self, most: int) -> list[bytes]:
        """See :meth:`KeyRows.records`."""

        def look(db: sqlite3.Connection) -> list[bytes]:
            _make(db)
            rows = db.execute("SELECT record FROM key_records ORDER BY number DESC LIMIT ?", (most,))
            return [record for (record,) in rows]

        records: list[bytes] = await self._store.do(look)
        return records


def _make(db: sqlite3.Connection) -> None:
    """Not as a script, which would end the transaction."""
    for statement in filter(str.strip, TABLES.split(";")):
        db.execute(statement)
