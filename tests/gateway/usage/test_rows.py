"""What every ledger does, in a file and in a real Redis."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.store.redis import RedisStore
from gateway.store.sqlite import SQLiteStore
from gateway.usage.redis import RedisUsage
from gateway.usage.row import UsageRow
from gateway.usage.rows import Span, Sums, UsageRows, day_of
from gateway.usage.sqlite import SQLiteUsage
from tests.gateway.store.servers import RedisServer

DAY = 86_400.0
NOW = time.time()
ROW = UsageRow(
    at=NOW - 2 * DAY,
    run="req_1",
    key="app",
    team="search",
    model="up",
    deployment="cloud/gpt",
    outcome="answered",
    error="",
    requests=1,
    prompt_tokens=7,
    completion_tokens=3,
    total_tokens=10,
    cached_tokens=4,
    estimated_tokens=0,
    nanos=13_000,
    seconds=0.5,
    steps='[{"step":"responder"}]',
)
LATER = replace(ROW, at=NOW - DAY, run="req_2", key="ops", team="", nanos=None, estimated_tokens=10)
REFUSED = replace(ROW, at=NOW, run="req_3", outcome="refused", error="TokensReached", nanos=0, total_tokens=0)


@pytest.fixture(params=["sqlite", "redis"])
async def rows(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[UsageRows, None]:
    """A ledger of each kind, with nothing in it."""
    if request.param == "sqlite":
        path = tmp_path / "pen stock#1.db"
        file = SQLiteStore(path)
        await file.start()
        yield SQLiteUsage(file, path)
        await file.close()
    else:
        server: RedisServer = request.getfixturevalue("own_redis")
        redis = RedisStore(server.url, 5)
        yield RedisUsage(redis, 30 * DAY)
        await redis.close()


async def read(rows: UsageRows, span: Span | None = None) -> list[UsageRow]:
    return [row async for page in rows.read(span or Span()) for row in page]


async def test_rows_come_in_the_order_of_their_time(rows: UsageRows) -> None:
    """However they were written; nothing is there before anything was."""
    assert await read(rows) == []
    assert await rows.totals(Span(), ["key"]) == {}
    await rows.write([REFUSED, ROW])
    await rows.write([LATER])
    assert await read(rows) == [ROW, LATER, REFUSED]


async def test_a_row_that_is_written_again_is_there_once(rows: UsageRows) -> None:
    """Who did not hear that it was kept may ask again."""
    await rows.write([ROW])
    await rows.write([ROW, LATER])
    assert await read(rows) == [ROW, LATER]


async def test_a_span_chooses(rows: UsageRows) -> None:
    """By time, key, team and model."""
    await rows.write([ROW, LATER, REFUSED])
    assert await read(rows, Span(since=LATER.at)) == [LATER, REFUSED]
    assert await read(rows, Span(until=LATER.at)) == [ROW]
    assert await read(rows, Span(key="ops")) == [LATER]
    assert await read(rows, Span(team="search", model="up")) == [ROW, REFUSED]
    assert await read(rows, Span(model="other")) == []


async def test_many_rows_are_read_in_pages(rows: UsageRows) -> None:
    """Each of them once, also where many ended at one time."""
    many = [replace(ROW, run=f"req_{number:05}", at=ROW.at + number // 100) for number in range(2500)]
    await rows.write(many)
    assert await read(rows) == many


async def test_totals_of_groups(rows: UsageRows) -> None:
    """What is not known is said beside what is."""
    await rows.write([ROW, LATER, REFUSED])
    by_key = await rows.totals(Span(), ["key"])
    assert by_key[("app",)] == Sums(2, 1, 14, 6, 10, 8, 0, 13_000, 0, 1.0)
    assert by_key[("ops",)] == Sums(1, 0, 7, 3, 10, 4, 10, 0, 1, 0.5)
    assert set(await rows.totals(Span(), ["day", "model"])) == {(day_of(row.at), "up") for row in (ROW, LATER, REFUSED)}
    assert (await rows.totals(Span(key="app"), ["team", "outcome"]))["search", "refused"].failed == 1


async def test_old_rows_are_removed(rows: UsageRows) -> None:
    """What is left is what is younger."""
    await rows.write([ROW, LATER, REFUSED])
    await rows.forget(ROW.at + 0.001)
    assert await read(rows) == [LATER, REFUSED]


async def test_days_in_redis_end_by_themselves(own_redis: RedisServer) -> None:
    """When the last of their rows is old enough."""
    redis = RedisStore(own_redis.url, 5)
    await RedisUsage(redis, 30 * DAY).write([ROW, LATER])
    lives = [await redis.client.ttl(key) for key in await redis.client.keys()]
    await redis.close()
    assert len(lives) == 2
    assert all(27 * DAY < life <= 31 * DAY for life in lives)
