"""What docs/gateway/failures.md says, done to real processes: two workers, a real store, an upstream on a socket."""

from __future__ import annotations

import asyncio
import resource
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.store.protocol import Account, Amount, Hold, Limits, Store
from gateway.store.redis import RedisStore
from gateway.store.sqlite import SQLiteStore
from llm.testing import Cut, Hang, Json, Pause, ScriptedUpstream, Stream
from llm.testing.upstream import Reply, answer, choice, frame
from tests.faults.gateways import NANOS, Faulty, gateway
from tests.gateway.store.servers import RedisServer

KEY = Account("key:app", Limits(), "total")
STREAMS = 200


@pytest.fixture
def redis_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the Redis of a test keeps what it is told; its socket needs a short name."""
    return tmp_path_factory.mktemp("redis")


@pytest.fixture
def redis(redis_folder: Path) -> Iterator[RedisServer]:
    """A Redis that is treated badly; gateways reach it over TCP."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with RedisServer(redis_folder, port=port) as server:
        yield server


async def used(store: Store) -> Amount:
    """What a store says is taken of the key."""
    await store.start()
    decision = await store.reserve(Hold("look", (KEY,)), Amount(), 1)
    await store.adjust(Hold("look", (KEY,)), Amount(), final=True)
    await store.close()
    return decision.standings[0].used


def nanos_of(sums: Any) -> int:
    """The money of some sums of the ledger."""
    nanos: int = round(sums["usd"] * 10**9)
    return nanos


async def answered(it: Faulty, number: int) -> None:
    """Asks so many times, at once; all are answered."""
    assert [status for status, _ in await asyncio.gather(*(it.ask() for _ in range(number)))] == [200] * number


@pytest.mark.parametrize("kills", [False, True], ids=["stopped", "killed"])
async def test_redis_is_gone_for_a_while(kills: bool, redis: RedisServer, tmp_path: Path) -> None:
    """Requests go on, and when it is back it is told all of them, to the billionth of a dollar."""
    async with (
        ScriptedUpstream(*[answer("Hello")] * 18) as upstream,
        gateway(tmp_path, upstream, redis.tcp) as it,
    ):
        await answered(it, 6)
        redis.kill() if kills else redis.hold_up()
        await answered(it, 6)
        redis.start() if kills else redis.go_on()
        await it.store("reachable")
        await answered(it, 6)
        sums = await it.usage(18)
        assert await it.stop() == 0
    assert (sums["requests"], nanos_of(sums)) == (18, 18 * NANOS)
    taken = await used(RedisStore(redis.url, 5))
    assert (taken.nanos, taken.slots) == (18 * NANOS, 0)


async def test_redis_comes_back_empty(redis: RedisServer, redis_folder: Path, tmp_path: Path) -> None:
    """Keys of the settings go on, minutes and budgets begin anew, and what is written from then on is there."""
    async with ScriptedUpstream(*[answer("Hello")] * 8) as upstream, gateway(tmp_path, upstream, redis.tcp) as it:
        await answered(it, 4)
        await it.usage(4)
        redis.kill()
        shutil.rmtree(redis_folder / "appendonlydir")
        redis.start()
        await it.store("reachable")
        await answered(it, 4)
        sums = await it.usage(4)
        assert await it.stop() == 0
    assert sums["requests"] == 4
    assert (await used(RedisStore(redis.url, 5))).nanos <= 8 * NANOS


async def test_the_file_is_locked(tmp_path: Path) -> None:
    """Requests wait for it as long as they have to and go on without it; nothing of them is lost."""
    async with ScriptedUpstream(*[answer("Hello")] * 8) as upstream, gateway(tmp_path, upstream) as it:
        await answered(it, 4)
        other = sqlite3.connect(tmp_path / "penstock.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await answered(it, 4)
        other.execute("ROLLBACK")
        other.close()
        sums = await it.usage(8)
        assert await it.stop() == 0
    assert sums["requests"] == 8
    assert await used(SQLiteStore(tmp_path / "penstock.db")) == Amount(8, 80, 8 * NANOS, 0)


async def test_the_disk_is_full(tmp_path: Path) -> None:
    """The same, for workers that may not write into files any more."""
    async with ScriptedUpstream(*[answer("Hello")] * 8) as upstream, gateway(tmp_path, upstream) as it:
        await answered(it, 4)
        await it.usage(4)
        pids = await it.process.workers()
        for pid in pids:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        await answered(it, 4)
        for pid in pids:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        sums = await it.usage(8)
        assert await it.stop() == 0
    assert sums["requests"] == 8
    assert await used(SQLiteStore(tmp_path / "penstock.db")) == Amount(8, 80, 8 * NANOS, 0)


async def test_the_upstream_answers_badly(tmp_path: Path) -> None:
    """It refuses, fails, or says what nobody understands: the caller hears an error, each is charged what the ledger
    says of it, and no place is kept."""
    replies: list[Reply] = [
        Json({"error": {"message": "no"}}, 403),
        Json(b"", 500),
        Json(b"<html>"),
        Json({"choices": 7}),
    ]
    async with ScriptedUpstream(*replies) as upstream, gateway(tmp_path, upstream) as it:
        assert all([(await it.ask())[0] >= 400 for _ in replies])
        sums = await it.usage(len(replies))
        assert await it.stop() == 0
    assert (sums["requests"], sums["failed"]) == (4, 4)
    assert await used(SQLiteStore(tmp_path / "penstock.db")) == Amount(4, sums["total_tokens"], nanos_of(sums), 0)


@pytest.mark.parametrize("end", [Cut, Hang], ids=["cuts", "hangs"])
async def test_the_upstream_breaks_off(end: type[Cut | Hang], tmp_path: Path) -> None:
    """What was said until then is charged as it was counted; the client of one that hangs leaves, and its place is
    free."""
    async with (
        ScriptedUpstream(Stream([*Stream.words("first"), end()])) as upstream,
        gateway(tmp_path, upstream) as it,
    ):
        async with it.chat(stream=True) as told:
            assert b"first" in await told.content.readuntil(b"first")
            if end is Cut:
                assert b"error" in await told.read()
        sums = await it.usage(1)
        assert await it.stop() == 0
    assert sums["requests"] == 1
    taken = await used(SQLiteStore(tmp_path / "penstock.db"))
    assert taken == Amount(1, sums["total_tokens"], nanos_of(sums), 0)


async def test_a_worker_is_killed_in_mid_stream(tmp_path: Path) -> None:
    """What it had reserved stays spent, what the ledger had said stays in it, and the other one goes on."""
    pieces = [*Stream.words("first"), Hang()]
    replies: list[Reply] = [*[answer("Hello")] * 4, *[Stream(pieces)] * 8, *[answer("Hello")] * 4]
    async with ScriptedUpstream(*replies) as upstream, gateway(tmp_path, upstream) as it:
        await answered(it, 4)
        before = await it.usage(4)
        async with AsyncExitStack() as streams:
            told = [await streams.enter_async_context(it.chat(stream=True)) for _ in range(8)]
            for each in told:
                await each.content.readuntil(b"first")
            await it.kill_one()
        await it.process.workers()
        await answered(it, 4)
        sums = await it.usage(before["requests"] + 4)
        assert await it.stop() == 0
    assert 8 <= sums["requests"] <= 16
    taken = await used(SQLiteStore(tmp_path / "penstock.db"))
    assert taken.nanos >= nanos_of(sums)


async def test_no_stream_is_cut_on_drain(tmp_path: Path) -> None:
    """Two hundred are under way in two workers when the gateway is told to stop: all of them are whole."""
    pause = Pause()
    pieces = [*Stream.words("first"), pause, frame(choice({"content": "second"}))]
    end = Stream.end({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10})
    async with (
        ScriptedUpstream(*[Stream([*pieces, *end])] * STREAMS) as upstream,
        gateway(tmp_path, upstream) as it,
        AsyncExitStack() as streams,
    ):
        told = await asyncio.gather(*(streams.enter_async_context(it.chat(stream=True)) for _ in range(STREAMS)))
        await asyncio.gather(*(each.content.readuntil(b"first") for each in told))
        it.process.process.terminate()
        with suppress(aiohttp.ClientError):
            async with asyncio.timeout(30):
                while (await it.http.get(f"{it.process.address}/v2/health/ready")).status == 200:
                    pass
        pause.set()
        rests = await asyncio.gather(*(each.read() for each in told))
        assert await it.process.ended() == 0
    assert sum(rest.endswith(b"data: [DONE]\n\n") and b"second" in rest for rest in rests) == STREAMS
    taken = await used(SQLiteStore(tmp_path / "penstock.db"))
    assert taken == Amount(STREAMS, STREAMS * 10, STREAMS * NANOS, 0)
    with sqlite3.connect(tmp_path / "penstock.db") as db:
        rows = db.execute("SELECT COUNT(*), SUM(total_tokens) FROM usage WHERE outcome = 'answered'").fetchone()
    db.close()
    assert rows == (STREAMS, STREAMS * 10)
