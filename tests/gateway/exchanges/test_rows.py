"""Where exchanges are kept, in a file and in a real Redis: one contract for both."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.exchanges.redis import RedisExchanges
from gateway.exchanges.rows import ExchangeRows, Kept, Part, Place
from gateway.exchanges.sqlite import TABLES, SQLiteExchanges
from gateway.store.protocol import StoreUnavailable
from gateway.store.redis import RedisStore
from gateway.store.sqlite import SQLiteStore
from tests.gateway.store.servers import RedisServer

HERE = Place("key:app", "one")
MOST = 1000


@pytest.fixture(params=["sqlite", "redis"])
async def rows(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[ExchangeRows, None]:
    """Where exchanges are kept, of each kind."""
    if request.param == "sqlite":
        file = SQLiteStore(tmp_path / "penstock.db")
        await file.start()
        yield SQLiteExchanges(file)
        await file.close()
    else:
        server: RedisServer = request.getfixturevalue("own_redis")
        redis = RedisStore(server.url, 5)
        yield RedisExchanges(redis)
        await redis.close()


async def frames(rows: ExchangeRows, place: Place = HERE, number: int = 0) -> list[bytes] | None:
    kept = await rows.read(place, number)
    return None if kept is None else list(kept.frames)


async def test_a_place_is_taken_once(rows: ExchangeRows) -> None:
    """Of many who come at once one gets it; the others are told what was asked, and how far the answer is."""
    told = await asyncio.gather(*(rows.begin(HERE, f"m{number}", b"asked", 60) for number in range(10)))
    assert sorted(told, key=str) == [Kept(b"asked", "open")] * 9 + [None]


async def test_frames_are_read_from_any_number_on(rows: ExchangeRows) -> None:
    """In the order they were written, and those that are written twice once."""
    await rows.begin(HERE, "m", b"asked", 60)
    await rows.write(HERE, "m", Part("open", 0, [b"head", b"a"]), 60, MOST)
    await rows.write(HERE, "m", Part("whole", 1, [b"a", b"b\x00\n"]), 60, MOST)
    assert await frames(rows) == [b"head", b"a", b"b\x00\n"]
    assert await frames(rows, number=2) == [b"b\x00\n"]
    assert await frames(rows, number=2**31) == []
    kept = await rows.read(HERE, 0)
    assert kept is not None
    assert kept.state == "whole"


async def test_only_who_has_a_place_writes_there(rows: ExchangeRows) -> None:
    """Or gives it back; a place without a mark is anybody's."""
    await rows.begin(HERE, "mine", b"asked", 60)
    assert not await rows.write(HERE, "theirs", Part("whole", 0, [b"x"]), 60, MOST)
    await rows.drop(HERE, "theirs")
    assert await frames(rows) == []
    await rows.drop(HERE, "mine")
    assert await rows.begin(HERE, "theirs", b"other", 60) is None
    await rows.drop(HERE, "")
    assert await frames(rows) is None


async def test_a_place_is_free_when_its_time_is_over(rows: ExchangeRows) -> None:
    """That of a worker which is gone, and that of an answer which was kept long enough; nothing of it is left."""
    await rows.begin(HERE, "gone", b"asked", 60)
    await rows.write(HERE, "gone", Part("open", 0, [b"head"]), 0.02, MOST)
    async with asyncio.timeout(10):
        while await rows.begin(HERE, "new", b"asked", 60) is not None:
            pass
    assert await frames(rows) == []
    assert not await rows.write(HERE, "gone", Part("whole", 1, [b"late"]), 60, MOST)


async def test_a_space_holds_so_much(rows: ExchangeRows) -> None:
    """What was begun first goes; other spaces are not looked at."""
    places = [Place("key:app", name) for name in "abc"]
    other = Place("key:other", "a")
    for place in (other, *places):
        await rows.begin(place, "m", b"asked", 60)
        await rows.write(place, "m", Part("whole", 0, [b"x" * 400]), 60, MOST)
    assert [await frames(rows, place) for place in (other, *places)] == [[b"x" * 400], None, [b"x" * 400], [b"x" * 400]]


async def test_what_is_too_long_keeps_its_place_and_no_frames(rows: ExchangeRows) -> None:
    """And takes no room: what is dropped or too long is not counted any more."""
    for name in "abcd":
        place = Place("key:app", name)
        await rows.begin(place, "m", b"asked", 60)
        await rows.write(place, "m", Part("open", 0, [b"x" * 900]), 60, MOST)
        await rows.write(place, "m", Part("long"), 60, MOST)
    await rows.begin(HERE, "m", b"asked", 60)
    await rows.write(HERE, "m", Part("open", 0, [b"x" * 900]), 60, MOST)
    await rows.drop(HERE, "m")
    assert [await frames(rows, Place("key:app", name)) for name in "abcd"] == [[]] * 4


async def test_who_follows_is_known_for_a_while(rows: ExchangeRows) -> None:
    """To the worker that makes the answer."""
    await rows.begin(HERE, "m", b"asked", 60)
    assert not await rows.followed(HERE)
    await rows.follow(HERE, 60)
    assert await rows.followed(HERE)
    await rows.follow(HERE, 0.001)
    async with asyncio.timeout(10):
        while await rows.followed(HERE):
            pass


async def test_a_store_that_is_gone_says_so() -> None:
    """And nothing else."""
    rows = SQLiteExchanges(SQLiteStore(None))
    with pytest.raises(StoreUnavailable):
        await rows.begin(HERE, "m", b"asked", 60)


async def size_of(file: SQLiteStore, space: str) -> tuple[int, int]:
    """What is said to be kept in a space, and what is."""

    def look(db: sqlite3.Connection) -> tuple[int, int]:
        (said,) = db.execute("SELECT COALESCE(SUM(size), 0) FROM exchange_spaces WHERE space = ?", (space,)).fetchone()
        (kept,) = db.execute("SELECT COALESCE(SUM(size), 0) FROM exchanges WHERE space = ?", (space,)).fetchone()
        return said, kept

    sizes: tuple[int, int] = await file.do(look)
    return sizes


async def steps_of_a_write(file: SQLiteStore, rows: SQLiteExchanges, place: Place) -> int:
    """How many steps SQLite takes for one."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    await rows.begin(place, "m", b"asked", 60)
    await file.do(lambda db: db.set_progress_handler(count, 1))
    await rows.write(place, "m", Part("whole", 0, [b"x"]), 60, 10_000_000)
    await file.do(lambda db: db.set_progress_handler(None, 0))
    return steps


async def test_a_write_does_not_cost_more_where_much_is_kept() -> None:
    """What is kept of a space is not added up for each."""
    file = SQLiteStore(None)
    await file.start()
    rows = SQLiteExchanges(file)
    few = await steps_of_a_write(file, rows, Place("cache:up", "first"))
    for number in range(500):
        place = Place("cache:up", str(number))
        await rows.begin(place, "m", b"asked", 60)
        await rows.write(place, "m", Part("whole", 0, [b"x"]), 60, 10_000_000)
    many = await steps_of_a_write(file, rows, Place("cache:up", "last"))
    await file.close()
    assert many < few + 100


async def test_workers_count_together(tmp_path: Path) -> None:
    """However their writes, drops and what has to go come between each other: the sum is what is kept."""
    files = [SQLiteStore(tmp_path / "penstock.db") for _ in range(3)]
    for file in files:
        await file.start()

    async def work(file: SQLiteStore, worker: int) -> None:
        rows = SQLiteExchanges(file)
        for number in range(40):
            place = Place("cache:up", f"{(number * 7 + worker) % 50}")
            await rows.begin(place, f"m{worker}", b"asked", 60)
            await rows.write(place, f"m{worker}", Part("open", 0, [b"x" * 30]), 60, MOST)
            if number % 5 == 0:
                await rows.write(place, f"m{worker}", Part("long"), 60, MOST)
            if number % 7 == 0:
                await rows.drop(place, "")

    await asyncio.gather(*(work(file, worker) for worker, file in enumerate(files)))
    said, kept = await size_of(files[0], "cache:up")
    for file in files:
        await file.close()
    assert 0 < said == kept <= MOST


async def test_a_file_that_was_made_before_is_added_up_once(tmp_path: Path) -> None:
    """Also where the worker that opens it is the second to do so."""
    with closing(sqlite3.connect(tmp_path / "penstock.db")) as db:
        for statement in TABLES[:4]:
            db.execute(statement)
        for name in "ab":
            row = ("key:app", name, "m", b"asked", "whole", 1.0, 2.0**40, 400, 0.0)
            db.execute("INSERT INTO exchanges VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        db.commit()
    for _ in range(2):
        file = SQLiteStore(tmp_path / "penstock.db")
        await file.start()
        await SQLiteExchanges(file).begin(Place("key:app", "c"), "m", b"asked", 60)
        assert await size_of(file, "key:app") == (800, 800)
        await file.close()
