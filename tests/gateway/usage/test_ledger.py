"""The ledger beside the requests: what is written when, and what becomes of it without a store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest

from gateway.store.protocol import StoreUnavailable
from gateway.store.sqlite import SQLiteStore
from gateway.usage.ledger import WAITING, UsageLedger
from gateway.usage.row import Describer, UsageRow
from gateway.usage.rows import Span
from gateway.usage.sqlite import SQLiteUsage
from graph import Event, Flow, Hooks

DESCRIBE = Describer({"app": "search"}.__getitem__, {})
FLOW = Flow("echo")
FLOW.to(lambda body: body, name="same").respond()


class GoneAtFirst(SQLiteUsage):
    """A store that cannot be reached until it is said to be back."""

    gone = True

    async def write(self, rows: Sequence[UsageRow]) -> None:
        if self.gone:
            raise StoreUnavailable("gone")
        await super().write(rows)


@pytest.fixture
async def rows(tmp_path: Path) -> AsyncGenerator[GoneAtFirst, None]:
    """A ledger's file that is gone at first."""
    store = SQLiteStore(tmp_path / "penstock.db")
    await store.start()
    yield GoneAtFirst(store, tmp_path / "penstock.db")
    await store.close()


def never(row: UsageRow) -> None:
    """No row may be given up."""
    pytest.fail(row.run)


async def run(ledger: UsageLedger, number: int, first: int = 0) -> None:
    hooks = Hooks.of([ledger])
    for index in range(first, first + number):
        await FLOW.start(Event("hi", id=f"req_{index:06}", caller="app"), hooks).result()


async def kept(rows: SQLiteUsage) -> list[str]:
    return [row.run async for page in rows.read(Span()) for row in page]


async def test_what_waits_is_written_at_the_end(rows: GoneAtFirst) -> None:
    """Nothing of a worker that is told to stop is missing."""
    rows.gone = False
    ledger = UsageLedger(rows, DESCRIBE, never, 3600, pause=3600)
    await ledger.start()
    await run(ledger, 1234)
    assert await kept(rows) == []
    await ledger.close()
    assert await kept(rows) == [f"req_{index:06}" for index in range(1234)]


async def test_a_store_that_comes_back_is_told(rows: GoneAtFirst) -> None:
    """What was run meanwhile is written then, and what is run from then on."""
    ledger = UsageLedger(rows, DESCRIBE, never, 3600, pause=0)
    await ledger.start()
    await run(ledger, 3)
    assert await kept(rows) == []
    rows.gone = False
    async with asyncio.timeout(10):
        while len(await kept(rows)) < 3:
            pass
    await run(ledger, 1, 3)
    await ledger.close()
    assert len(await kept(rows)) == 4


async def test_what_cannot_be_kept_is_told(rows: GoneAtFirst) -> None:
    """The oldest rows when too many wait, and the others at the end: none is lost without a word."""
    lost: list[UsageRow] = []
    ledger = UsageLedger(rows, DESCRIBE, lost.append, 3600, pause=3600)
    await run(ledger, 3)
    (ended,) = [row for row in ledger._waiting if row.run == "req_000000"]
    ledger._waiting.extend([ended] * (WAITING - 3))
    await run(ledger, 1, 3)
    assert [row.run for row in lost] == ["req_000000"]
    await ledger.close()
    assert len(lost) == WAITING + 1
    assert lost[1].team == "search"
