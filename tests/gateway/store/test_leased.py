"""Quotas that are taken in advance: what a worker decides by itself, and what others are left with meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gateway.store.leased import LeasedStore
from gateway.store.protocol import SLICE, Account, Amount, Decision, Hold, Limits, Store
from tests.gateway.store.conftest import Place

ONE = Amount(requests=1, tokens=10, nanos=5, slots=1)
KEY = Account("key:app", Limits(requests=100, slots=20), "total")


class Counted:
    """A store that counts how often it is asked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked = 0
        self.told = 0
        self.adjusted = asyncio.Event()

    async def start(self) -> None:
        await self._store.start()

    async def close(self) -> None:
        await self._store.close()

    async def reserve(self, hold: Hold, asked: Amount, seconds: float) -> Decision:
        self.asked += 1
        return await self._store.reserve(hold, asked, seconds)

    async def adjust(self, hold: Hold, amount: Amount, *, final: bool) -> bool:
        done = await self._store.adjust(hold, amount, final=final)
        self.told += 1
        self.adjusted.set()
        return done

    async def renew(self, holds: Sequence[Hold], seconds: float) -> None:
        await self._store.renew(holds, seconds)


async def used(store: Store) -> Amount:
    hold = Hold("look", (KEY,))
    decision = await store.reserve(hold, Amount(), 30)
    await store.adjust(hold, Amount(), final=True)
    return decision.standings[0].used


async def test_most_requests_ask_nobody(place: Place) -> None:
    """Ten more are granted for each that asks, and the callers are told how they stand, not how the quota does."""
    counted = Counted(await place.worker())
    store = LeasedStore(counted, ahead=place.clock)
    decisions = [await store.reserve(Hold(str(number), (KEY,)), ONE, 30) for number in range(3)]
    assert await store.adjust(Hold("0", (KEY,)), Amount(1, 2, 3), final=True)
    assert counted.asked == 1
    assert [decision.standings[0].used.requests for decision in decisions] == [1, 2, 3]
    await store.close()


async def test_what_a_quota_covers_is_decided_at_once(place: Place) -> None:
    """Nobody is waited for: neither to take from it nor, once, to settle; what it does not cover the store decides."""
    behind, look = await place.worker(), await place.worker()
    store = LeasedStore(behind, ahead=place.clock)
    a, b, c = (Hold(name, (KEY,)) for name in "abc")
    assert store.draw(a, ONE) is None
    await store.reserve(a, ONE, 30)
    assert store.draw(b, ONE) is not None
    assert [store.settle(b, Amount(1, 4, 2)), store.settle(b, Amount(1, 4, 2))] == [True, False]
    place.clock.move(SLICE)
    assert store.draw(c, ONE) is None
    await store.reserve(c, ONE, 30)
    assert [store.settle(a, Amount(1, 6, 1)), store.settle(a, Amount(1, 6, 1))] == [True, False]
    assert store.settle(c, Amount(1, 1, 1))
    await store.close()
    assert await used(look) == Amount(3, 11, 4, 0)


async def test_what_is_left_of_a_quota_is_given_back(place: Place) -> None:
    """When the slice is over: what is under way keeps its place, and when that ends, what it took is what counts."""
    behind, look = Counted(await place.worker()), await place.worker()
    store = LeasedStore(behind, ahead=place.clock)
    await store.reserve(Hold("a", (KEY,)), ONE, 30)
    await store.reserve(Hold("b", (KEY,)), ONE, 30)
    assert await used(look) == Amount(11, 10 + 10 - 10, 5, 3)
    await store.adjust(Hold("b", (KEY,)), Amount(1, 4, 2), final=True)
    place.clock.move(SLICE)
    await store.reserve(Hold("c", (KEY,)), ONE, 30)
    assert await used(look) == Amount(2 + 11, 14 + 10, 7 + 5, 1 + 3)
    await store.adjust(Hold("a", (KEY,)), Amount(1, 6, 1), final=True)
    assert (await used(look)).slots == 3
    await store.close()
    assert (await used(look)).requests == 3


async def test_what_is_over_after_its_quota_is_told_together(place: Place) -> None:
    """Nobody waits for the store, which counts it as reserved until it hears of all of it at once."""
    behind, look = Counted(await place.worker()), await place.worker()
    store = LeasedStore(behind, ahead=place.clock)
    holds = [Hold(name, (KEY,)) for name in "abc"]
    for hold in holds:
        await store.reserve(hold, ONE, 30)
    place.clock.move(SLICE)
    await store.reserve(Hold("e", (KEY,)), ONE, 30)
    told, before = behind.told, await used(look)
    behind.adjusted.clear()
    assert all(store.settle(hold, Amount(1, 1, 1)) for hold in holds)
    assert await used(look) == before
    async with asyncio.timeout(5):
        await behind.adjusted.wait()
    assert behind.told == told + 1
    assert (await used(look)).slots == before.slots - 3
    await store.close()


async def test_a_quota_is_given_back_when_nothing_more_is_asked(place: Place) -> None:
    """At the end of its slice, by itself."""
    behind, look = Counted(await place.worker()), await place.worker()
    store = LeasedStore(behind, ahead=place.clock)
    await store.reserve(Hold("a", (KEY,)), ONE, 30)
    await store.adjust(Hold("a", (KEY,)), Amount(1, 1, 1), final=True)
    async with asyncio.timeout(SLICE + 5):
        await behind.adjusted.wait()
    assert await used(look) == Amount(1, 1, 1, 0)
    await store.close()


@pytest.mark.parametrize("workers", [1, 2, 4])
async def test_the_limit_is_reached_and_never_passed(place: Place, workers: int) -> None:
    """Together they are granted no more than the limit; and what is refused too early is less than half of it."""
    stores = [LeasedStore(await place.worker(), ahead=place.clock) for _ in range(workers)]
    key = Account("key:app", Limits(requests=100))
    asked = (stores[number % workers].reserve(Hold(str(number), (key,)), ONE, 30) for number in range(200))
    granted = sum(decision.granted for decision in await asyncio.gather(*asked))
    assert 100 - 10 * (workers - 1) <= granted <= 100
    for store in stores:
        await store.close()


async def test_small_limits_are_asked_for_each_time(place: Place) -> None:
    """Of a limit of which there is no tenth nothing is taken in advance, so others can have all of it."""
    one, other = [LeasedStore(await place.worker(), ahead=place.clock) for _ in range(2)]
    key = Account("key:app", Limits(requests=3))
    granted = [(await one.reserve(Hold("a", (key,)), ONE, 30)).granted]
    granted += [(await other.reserve(Hold(name, (key,)), ONE, 30)).granted for name in ("b", "c", "d")]
    assert granted == [True, True, True, False]
    await one.close()
    await other.close()


async def test_what_is_under_way_is_renewed(place: Place) -> None:
    """The quota that it took from keeps its lease."""
    behind, look = await place.worker(), await place.worker()
    store = LeasedStore(behind, ahead=place.clock)
    await store.reserve(Hold("a", (KEY,)), ONE, 30)
    place.clock.move(20)
    await store.renew([Hold("a", (KEY,))], 30)
    place.clock.move(20)
    assert (await used(look)).slots == 3
    assert await store.adjust(Hold("a", (KEY,)), Amount(1, 1, 1), final=True)
    await store.close()
    assert (await used(look)).slots == 0


class Held(Counted):
    """A store that does what it is asked, and keeps who asks waiting until ``go`` is set."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.go, self.did = asyncio.Event(), asyncio.Event()

    async def reserve(self, hold: Hold, asked: Amount, seconds: float) -> Decision:
        decision = await super().reserve(hold, asked, seconds)
        self.did.set()
        await self.go.wait()
        return decision


async def test_who_leaves_while_a_quota_is_asked_for_costs_nothing(place: Place) -> None:
    """The quota that nobody waits for any more is given back at once, and not with its lease."""
    held = Held(await place.worker())
    store = LeasedStore(held, ahead=place.clock)
    asking = asyncio.create_task(store.reserve(Hold("a", (KEY,)), ONE, 30))
    await held.did.wait()
    asking.cancel()
    await asyncio.wait((asking,))
    await asyncio.wait_for(held.adjusted.wait(), 10)
    held.go.set()
    assert await used(held) == Amount()


async def test_a_large_limit_is_not_taken_in_advance(place: Place) -> None:
    """At most what fifty such requests need: so much is lost with a worker that is killed."""
    rich = Account("key:app", Limits(nanos=10**12), "total")
    below = await place.worker()
    store = LeasedStore(below, ahead=place.clock)
    await store.reserve(Hold("a", (rich,)), ONE, 30)
    assert (await used(below)).nanos == 51 * ONE.nanos
    await store.close()


async def test_who_asks_often_takes_more_in_advance(place: Place) -> None:
    """As much as a second of such requests needs, four times as much each time, so that the store is asked rarely."""
    rich = Account("key:app", Limits(requests=10**9), "total")
    counted = Counted(await place.worker())
    store = LeasedStore(counted, ahead=place.clock)
    for number in range(2000):
        hold = Hold(str(number), (rich,))
        if store.draw(hold, ONE) is None:
            await store.reserve(hold, ONE, 30)
    assert counted.asked < 2000 / 51
    await store.close()
