"""SQLiteStore: a file that the workers of one machine share."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeAlias, TypeVar

from gateway.store import sqlite_reservations as reservations
from gateway.store.protocol import Amount, Decision, Hold, StoreUnavailable, none_ahead

MOST = 256
"""How many operations are one transaction at most."""
BUSY_SECONDS = 5.0
TRANSIENT = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_SCHEMA})
"""Errors that others who use or open the file make, and that pass. For some of them SQLite does not wait by itself
(https://www.sqlite.org/wal.html#sometimes_queries_return_sqlite_busy_in_wal_mode)."""
AGAIN_SECONDS = 0.005
Made = TypeVar("Made")
Work: TypeAlias = Callable[[sqlite3.Connection], Any]


class SQLiteStore:
    """All state in one SQLite file in WAL mode, behind one writer in each process.

    The writer takes whatever waits as one transaction, so that many requests pay for one commit. What was committed is
    there after a crash of the process; after one of the machine, what was written in its last moments may be missing.

    Args:
        path: the file, made when the store starts; None for a store in memory, of this process.
        busy: how many seconds another process may keep the file locked.
    """

    def __init__(self, path: Path | None, ahead: Callable[[], float] = none_ahead, busy: float = BUSY_SECONDS) -> None:
        self._path = path
        self._ahead = ahead
        self._busy = busy
        self._waiting: SimpleQueue[tuple[Work, Future[Any]] | None] = SimpleQueue()
        self._writer: Thread | None = None

    async def start(self) -> None:
        """Opens the file; of one that is open, looks whether it can be written."""
        if self._writer is not None:
            await self.do(lambda db: None)
            return
        opened: Future[None] = Future()
        writer = Thread(target=self._write, args=(opened,), name="penstock-store", daemon=True)
        writer.start()
        await _of_writer(opened)
        self._writer = writer

    async def close(self) -> None:
        """Writes what waits, and closes the file."""
        if self._writer is not None:
            self._waiting.put(None)
            await asyncio.to_thread(self._writer.join)
            self._writer = None

    async def reserve(self, hold: Hold, asked: Amount, seconds: float) -> Decision:
        """See :meth:`Store.reserve`."""
        decision: Decision = await self.do(lambda db: reservations.reserve(db, self._now(), hold, asked, seconds))
        return decision

    async def adjust(self, hold: Hold, amount: Amount, *, final: bool) -> bool:
        """See :meth:`Store.adjust`."""
        done: bool = await self.do(lambda db: reservations.adjust(db, self._now(), hold, amount, final=final))
        return done

    async def renew(self, holds: Sequence[Hold], seconds: float) -> None:
        """See :meth:`Store.renew`."""
        await self.do(lambda db: reservations.renew(db, self._now(), [hold.id for hold in holds], seconds))

    def _now(self) -> float:
        return time.time() + self._ahead()

    async def do(self, work: Work) -> Any:
        """What some work makes, once it is committed together with what else waited.

        Raises:
            StoreUnavailable: when it is not, and nothing has changed.
        """
        if self._writer is None:
            raise StoreUnavailable("the store is closed")
        done: Future[Any] = Future()
        self._waiting.put((work, done))
        return await _of_writer(done)

    def _write(self, opened: Future[None]) -> None:
        """The writer: one thread, one connection."""
        try:
            db = _patiently(lambda: _opened(self._path, self._busy), self._busy)
        except sqlite3.Error as error:
            opened.set_exception(error)
            return
        opened.set_result(None)
        while (first := self._waiting.get()) is not None:
            batch, ends = _batch(first, self._waiting)
            _transact(db, batch, self._busy)
            if ends:
                break
        db.close()


async def _of_writer(done: Future[Any]) -> Any:
    """What the writer has made. Whoever stops waiting for it does not keep it from being done."""
    try:
        return await asyncio.shield(asyncio.wrap_future(done))
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the store's file cannot be used: {error}") from error


def _patiently(work: Callable[[], Made], busy: float) -> Made:
    """What some work makes, done again while others are in its way. Where SQLite has waited for as long as it may,
    nobody waits again. For the writer's thread."""
    until = time.monotonic() + busy / 2
    while True:
        try:
            return work()
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code not in TRANSIENT or time.monotonic() >= until:
                raise
        time.sleep(AGAIN_SECONDS)


def _opened(path: Path | None, busy: float) -> sqlite3.Connection:
    name = ":memory:" if path is None else str(path)
    db = sqlite3.connect(name, timeout=busy, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.executescript(reservations.TABLES)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _batch(
    first: tuple[Work, Future[Any]], waiting: SimpleQueue[tuple[Work, Future[Any]] | None]
) -> tuple[list[tuple[Work, Future[Any]]], bool]:
    """What waits, and whether nothing comes after it."""
    batch = [first]
    while len(batch) < MOST:
        try:
            item = waiting.get_nowait()
        except Empty:
            return batch, False
        if item is None:
            return batch, True
        batch.append(item)
    return batch, False


def _transact(db: sqlite3.Connection, batch: Sequence[tuple[Work, Future[Any]]], busy: float) -> None:
    """Does all of it, or none; nobody is told before it is committed."""
    try:
        made = _patiently(lambda: _committed(db, [work for work, _ in batch]), busy)
    except Exception as error:  # whatever it is, the writer goes on
        for _, done in batch:
            done.set_exception(error)
        return
    for (_, done), result in zip(batch, made, strict=True):
        done.set_result(result)


def _committed(db: sqlite3.Connection, works: Sequence[Work]) -> list[Any]:
    """What works make in one transaction, of which nothing stays where one fails."""
    try:
        db.execute("BEGIN IMMEDIATE")
        made = [work(db) for work in works]
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # what failed may have been rolled back already
            db.execute("ROLLBACK")
        raise
    return made
