"""A store that is slow or gone: what is granted meanwhile, and what it is told when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from gateway.store.guarded import GuardedStore
from gateway.store.protocol import Account, Amount, Hold, Limits
from gateway.store.redis import RedisStore
from gateway.store.sqlite import SQLiteStore
from tests.gateway.store.servers import RedisServer

ONE = Amount(requests=1, tokens=10, nanos=50, slots=1)
KEY = Account("key:app", Limits(requests=100, tokens=10_000, nanos=1000), "total")


class Watched:
    """A guarded store over a Redis, and what it has told."""

    def __init__(self, server: RedisServer) -> None:
        self.told: list[str] = []
        self.back = asyncio.Event()
        self.store = GuardedStore(RedisStore(server.url, 0.5), SQLiteStore(None), self._tell, pause=0.01)
        self.look = RedisStore(server.url, 5)

    def _tell(self, lost: str) -> None:
        self.told.append(lost)
        if not lost:
            self.back.set()

    async def used(self) -> Amount:
        """What Redis itself knows to be taken."""
        hold = Hold("look", (KEY,))
        decision = await self.look.reserve(hold, Amount(), 30)
        await self.look.adjust(hold, Amount(), final=True)
        return decision.standings[0].used


@pytest.fixture
async def watched(own_redis: RedisServer) -> AsyncGenerator[Watched, None]:
    """One of them, ready."""
    made = Watched(own_redis)
    await made.store.start()
    yield made
    await made.store.close()
    await made.look.close()


async def reserved(watched: Watched, *names: str) -> list[bool]:
    return [(await watched.store.reserve(Hold(name, (KEY,)), ONE, 30)).granted for name in names]


async def settle(watched: Watched, *names: str) -> None:
    for name in names:
        await watched.store.adjust(Hold(name, (KEY,)), Amount(1, 3, 20), final=True)


async def test_a_worker_alone_grants_a_tenth(watched: Watched, own_redis: RedisServer) -> None:
    """Of the limits, and of the money that was left when the store was last heard; callers are told what is left."""
    await reserved(watched, *"abcd")
    own_redis.kill()
    decisions = [await watched.store.reserve(Hold(name, (KEY,)), ONE, 30) for name in "efgh"]
    assert [decision.granted for decision in decisions] == [True, False, False, False]
    assert decisions[0].standings[0].used.requests == 91
    assert not watched.store.reachable
    assert "Redis does not answer" in watched.told[0]


async def test_everything_is_settled_when_it_is_back(watched: Watched, own_redis: RedisServer) -> None:
    """What ended while it was gone, what was granted without it, and what of that ends only afterwards."""
    await reserved(watched, "before", "goes on")
    own_redis.kill()
    assert await reserved(watched, "alone") == [True]
    await settle(watched, "before", "alone")
    own_redis.start()
    await asyncio.wait_for(watched.back.wait(), 10)
    assert await watched.used() == Amount(3, 3 + 10 + 3, 20 + 50 + 20, 1)
    await settle(watched, "goes on")
    assert await watched.used() == Amount(3, 9, 60, 0)
    assert watched.told[-1] == ""


async def test_what_was_granted_alone_may_end_later(watched: Watched, own_redis: RedisServer) -> None:
    """The store hears of it at its end, once."""
    own_redis.kill()
    await reserved(watched, "alone")
    own_redis.start()
    await asyncio.wait_for(watched.back.wait(), 10)
    assert await watched.used() == Amount()
    await settle(watched, "alone")
    assert await watched.used() == Amount(1, 3, 20, 0)
    assert await reserved(watched, "after") == [True]


@pytest.mark.parametrize("steps", [1, 3, 10, 30])
async def test_what_was_granted_alone_counts_once(steps: int, watched: Watched, own_redis: RedisServer) -> None:
    """Many end one soon after the other, and each of them tells the store what is owed: nothing of it twice."""
    holds = [Hold(str(number), (Account("key:app", Limits(requests=1000), "total"),)) for number in range(50)]
    own_redis.kill()
    assert all([(await watched.store.reserve(hold, ONE, 30)).granted for hold in holds])
    own_redis.start()
    await asyncio.wait_for(watched.back.wait(), 10)
    ending = []
    for hold in holds:
        ending.append(asyncio.create_task(watched.store.adjust(hold, Amount(1, 3, 20), final=True)))
        for _ in range(steps):
            await asyncio.sleep(0)
    await asyncio.gather(*ending)
    assert await watched.used() == Amount(50, 150, 1000, 0)


async def test_what_may_have_been_heard_counts_once(watched: Watched, own_redis: RedisServer) -> None:
    """Redis is slow, and does what it was asked after nobody waited any more: it is told that this is over."""
    own_redis.hold_up()
    assert await reserved(watched, "a") == [True]
    await settle(watched, "a")
    own_redis.go_on()
    await asyncio.wait_for(watched.back.wait(), 10)
    taken = await watched.used()
    assert (taken.tokens, taken.nanos, taken.slots) == (3, 20, 0)


async def test_nobody_waits_while_it_is_gone(watched: Watched, own_redis: RedisServer) -> None:
    """Only the first request waits for the time-out; the breaker keeps the others from asking."""
    own_redis.hold_up()
    await reserved(watched, "a")
    async with asyncio.timeout(0.4):
        await settle(watched, "a")
        for name in range(10):
            await reserved(watched, str(name))
    own_redis.go_on()


async def test_it_starts_without_the_store(own_redis: RedisServer) -> None:
    """A worker that begins while Redis is gone serves all the same."""
    own_redis.kill()
    watched = Watched(own_redis)
    await watched.store.start()
    assert await reserved(watched, "a") == [True]
    own_redis.start()
    await asyncio.wait_for(watched.back.wait(), 10)
    await settle(watched, "a")
    assert await watched.used() == Amount(1, 3, 20, 0)
    await watched.store.close()
    await watched.look.close()
