"""Where exchanges are kept, in a file and in a real Redis: one contract for both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from gateway.exchanges.redis import RedisExchanges
from gateway.exchanges.rows import ExchangeRows, Kept, Part, Place
from gateway.exchanges.sqlite import SQLiteExchanges
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
