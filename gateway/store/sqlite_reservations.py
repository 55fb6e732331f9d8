"""What reservations do to the tables of a SQLite file, inside a transaction that somebody else begins and ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from math import floor

from gateway.store.periods import current, starts
from gateway.store.protocol import (
    LATE,
    SLICES,
    Account,
    Amount,
    Decision,
    Hold,
    Leaving,
    Standing,
    leaves_at,
    slice_of,
)

TABLES = """
CREATE TABLE IF NOT EXISTS minutes (
    account TEXT, slice INTEGER, requests INTEGER, tokens INTEGER, PRIMARY KEY (account, slice)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spent (account TEXT PRIMARY KEY, period INTEGER, nanos INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS holds (
    id TEXT PRIMARY KEY, until REAL, slice INTEGER, requests INTEGER, tokens INTEGER, nanos INTEGER, slots INTEGER
    ) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS held (
    account TEXT, id TEXT, period INTEGER, slots INTEGER, until REAL, PRIMARY KEY (account, id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS holds_until ON holds (until);
CREATE INDEX IF NOT EXISTS held_until ON held (until);
"""


def reserve(db: sqlite3.Connection, now: float, hold: Hold, asked: Amount, seconds: float) -> Decision:
    """See :meth:`gateway.store.protocol.Store.reserve`."""
    _forget_ended(db, now)
    used = [_used(db, now, account) for account in hold.accounts]
    if db.execute("SELECT 1 FROM holds WHERE id = ?", (hold.id,)).fetchone() is not None:
        return Decision(True, now, tuple(map(Standing, used)))
    if any(account.limits.broken(taken, asked) for account, taken in zip(hold.accounts, used, strict=True)):
        standings = (
            Standing(taken, _leaving(db, now, account)) for account, taken in zip(hold.accounts, used, strict=True)
        )
        return Decision(False, now, tuple(standings))
    number, until = slice_of(now), now + seconds
    row = (hold.id, until, number, asked.requests, asked.tokens, asked.nanos, asked.slots)
    db.execute("INSERT INTO holds VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    for account in hold.accounts:
        period, _ = current(starts(account.period, now), now)
        db.execute("INSERT INTO held VALUES (?, ?, ?, ?, ?)", (account.name, hold.id, period, asked.slots, until))
        db.execute("DELETE FROM minutes WHERE account = ? AND slice <= ?", (account.name, number - SLICES))
        _count(db, account.name, number, asked.requests, asked.tokens)
        _spend(db, account.name, period, asked.nanos)
    return Decision(True, now, tuple(Standing(taken + asked) for taken in used))


def adjust(db: sqlite3.Connection, now: float, hold: Hold, amount: Amount, *, final: bool) -> bool:
    """See :meth:`gateway.store.protocol.Store.adjust`."""
    found = db.execute(
        "SELECT slice, requests, tokens, nanos, slots FROM holds WHERE id = ? AND until > ?", (hold.id, now - LATE)
    ).fetchone()
    if found is None:
        return False
    more = amount - Amount(*found[1:])
    for account, period in db.execute("SELECT account, period FROM held WHERE id = ?", (hold.id,)).fetchall():
        for requests, tokens in ((more.requests, 0), (0, more.tokens)):
            back = min(requests, tokens) < 0
            _count(db, account, found[0] if back else slice_of(now), requests, tokens)
        _spend(db, account, period, more.nanos, late=True)
    if final:
        db.execute("DELETE FROM holds WHERE id = ?", (hold.id,))
        db.execute("DELETE FROM held WHERE id = ?", (hold.id,))
    else:
        values = (amount.requests, amount.tokens, amount.nanos, amount.slots, hold.id)
        db.execute("UPDATE holds SET requests = ?, tokens = ?, nanos = ?, slots = ? WHERE id = ?", values)
        db.execute("UPDATE held SET slots = ? WHERE id = ?", (amount.slots, hold.id))
    return True


def renew(db: sqlite3.Connection, now: float, ids: Sequence[str], seconds: float) -> None:
    """See :meth:`gateway.store.protocol.Store.renew`."""
    for table in ("holds", "held"):
        rows = ((now + seconds, name, now) for name in ids)
        db.executemany(f"UPDATE {table} SET until = ? WHERE id = ? AND until > ?", rows)  # noqa: S608 - names of ours


def _forget_ended(db: sqlite3.Connection, now: float) -> None:
    """Those that can no longer be settled."""
    db.execute("DELETE FROM holds WHERE until <= ?", (now - LATE,))
    db.execute("DELETE FROM held WHERE until <= ?", (now - LATE,))


def _used(db: sqlite3.Connection, now: float, account: Account) -> Amount:
    period, _ = current(starts(account.period, now), now)
    requests, tokens = db.execute(
        "SELECT COALESCE(SUM(requests), 0), COALESCE(SUM(tokens), 0) FROM minutes WHERE account = ? AND slice > ?",
        (account.name, slice_of(now) - SLICES),
    ).fetchone()
    spent = db.execute("SELECT nanos FROM spent WHERE account = ? AND period = ?", (account.name, period)).fetchone()
    under_way = "SELECT COALESCE(SUM(slots), 0) FROM held WHERE account = ? AND until > ?"
    (slots,) = db.execute(under_way, (account.name, now)).fetchone()
    return Amount(floor(requests), floor(tokens), spent[0] if spent else 0, floor(slots))


def _leaving(db: sqlite3.Connection, now: float, account: Account) -> tuple[Leaving, ...]:
    rows = db.execute(
        "SELECT slice, requests, tokens FROM minutes WHERE account = ? AND slice > ? ORDER BY slice",
        (account.name, slice_of(now) - SLICES),
    )
    return tuple(Leaving(leaves_at(number), requests, tokens) for number, requests, tokens in rows)


def _count(db: sqlite3.Connection, account: str, number: int, requests: int, tokens: int) -> None:
    """Adds to a slice of an account; nothing is taken back from one that is gone."""
    if min(requests, tokens) < 0:
        statement = "UPDATE minutes SET requests = requests + ?, tokens = tokens + ? WHERE account = ? AND slice = ?"
        db.execute(statement, (requests, tokens, account, number))
    elif requests or tokens:
        db.execute(
            "INSERT INTO minutes VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE "
            "SET requests = requests + excluded.requests, tokens = tokens + excluded.tokens",
            (account, number, requests, tokens),
        )


def _spend(db: sqlite3.Connection, account: str, period: int, nanos: int, *, late: bool = False) -> None:
    """Adds to what an account has spent in a period. What comes late for one that is over changes nothing."""
    if late:
        db.execute("UPDATE spent SET nanos = nanos + ? WHERE account = ? AND period = ?", (nanos, account, period))
    else:
        db.execute(
            "INSERT INTO spent VALUES (?, ?, ?) ON CONFLICT DO UPDATE "
            "SET nanos = excluded.nanos + IIF(period = excluded.period, nanos, 0), period = excluded.period",
            (account, period, nanos),
        )
