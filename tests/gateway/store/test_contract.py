"""What every store does, on a file and on a real Redis."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from gateway.store.periods import Period
from gateway.store.protocol import LATE, NOTHING, Account, Amount, Decision, Hold, Limits, Store
from tests.gateway.store.conftest import Place

LEASE = 30.0
ONE = Amount(requests=1, tokens=40, nanos=10, slots=1)


def account(name: str = "key:app", period: Period = "total", **limits: int) -> Account:
    return Account(name, Limits(**limits), period)


async def reserve(store: Store, name: str, *accounts: Account, asked: Amount = ONE, lease: float = LEASE) -> Decision:
    return await store.reserve(Hold(name, accounts), asked, lease)


async def settle(store: Store, name: str, *accounts: Account, took: Amount) -> bool:
    return await store.adjust(Hold(name, accounts), took, final=True)


async def used(store: Store, whom: Account) -> Amount:
    """What is taken of an account."""
    decision = await reserve(store, "nothing", whom, asked=Amount())
    await settle(store, "nothing", whom, took=Amount())
    return decision.standings[-1].used


@pytest.mark.parametrize(
    ("limits", "granted"),
    [
        ({"requests": 3}, 3),
        ({"tokens": 100}, 2),
        ({"nanos": 39}, 3),
        ({"slots": 2}, 2),
        ({"requests": 3, "tokens": 50}, 1),
        ({}, 5),
    ],
)
async def test_so_much_is_granted_and_no_more(store: Store, limits: dict[str, int], granted: int) -> None:
    """Whichever limit comes first, and without one everything; what stands afterwards is what was granted."""
    whom = Account("key:app", Limits(**limits), "total")
    decisions = [await reserve(store, str(number), whom) for number in range(5)]
    assert [decision.granted for decision in decisions] == [number < granted for number in range(5)]
    assert decisions[-1].standings[0].used == Amount(granted, 40 * granted, 10 * granted, granted)


async def test_all_accounts_or_none(store: Store) -> None:
    """What a team refuses is not taken from the key, and the other way round."""
    key, team = account(requests=5), account("team:search", tokens=50)
    assert (await reserve(store, "a", key, team)).granted
    assert not (await reserve(store, "b", key, team)).granted
    assert await used(store, account("team:search")) == ONE
    refused = await reserve(store, "c", key, team)
    assert [standing.used for standing in refused.standings] == [ONE, ONE]


async def test_the_minute_slides(place: Place) -> None:
    """Sixty seconds never hold more than the limit, and five later it is free again; a refusal says when."""
    store, whom = await place.worker(), account(requests=2)
    assert (await reserve(store, "a", whom)).granted
    place.clock.move(30)
    assert (await reserve(store, "b", whom)).granted
    refused = await reserve(store, "c", whom)
    first, second = refused.standings[0].leaving
    assert (first.requests, first.tokens, second.requests) == (1, 40, 1)
    assert 30 <= first.at - refused.now <= 35
    assert 25 <= second.at - first.at <= 35
    place.clock.move(29.5)
    assert not (await reserve(store, "d", whom)).granted
    place.clock.move(6)
    assert (await reserve(store, "e", whom)).granted
    assert not (await reserve(store, "f", whom)).granted


async def test_what_was_not_used_is_given_back(store: Store) -> None:
    """Tokens and money come back in their minute, a place is free, and the request has been sent all the same."""
    whom = account(tokens=100, nanos=100, slots=1)
    assert (await reserve(store, "a", whom, asked=Amount(1, 90, 90, 1))).granted
    assert await settle(store, "a", whom, took=Amount(1, 12, 3))
    assert await used(store, whom) == Amount(1, 12, 3, 0)
    assert (await reserve(store, "b", whom, asked=Amount(1, 88, 97, 1))).granted


async def test_what_was_used_beyond_the_bound_is_counted(store: Store) -> None:
    """It has been spent, whatever the limit says; from then on nothing is granted."""
    whom = account(tokens=100, nanos=100)
    await reserve(store, "a", whom)
    assert await settle(store, "a", whom, took=Amount(1, 500, 600))
    assert await used(store, whom) == Amount(1, 500, 600, 0)
    assert not (await reserve(store, "b", whom, asked=Amount(tokens=1))).granted
    assert not (await reserve(store, "c", whom, asked=Amount(nanos=1))).granted


async def test_a_reservation_is_settled_once(store: Store) -> None:
    """The second time changes nothing and says so; so does what was never reserved."""
    whom = account(tokens=100)
    await reserve(store, "a", whom)
    assert await settle(store, "a", whom, took=Amount(1, 5, 5))
    assert not await settle(store, "a", whom, took=Amount(1, 99, 99))
    assert not await settle(store, "never", whom, took=Amount(1, 99, 99))
    assert await used(store, whom) == Amount(1, 5, 5, 0)


async def test_asked_again_it_takes_nothing_more(store: Store) -> None:
    """A connection that broke off leaves open whether it was heard: the same id is the same reservation."""
    whom = account(requests=2)
    assert (await reserve(store, "a", whom)).granted
    assert (await reserve(store, "a", whom)).granted
    assert await used(store, whom) == ONE


async def test_a_lease_ends(place: Place) -> None:
    """Of a worker that is gone the places are free, and what it had reserved is spent."""
    store, whom = await place.worker(), account(nanos=100, slots=1)
    await reserve(store, "a", whom, lease=30)
    place.clock.move(29)
    assert not (await reserve(store, "b", whom)).granted
    place.clock.move(2)
    assert await used(store, whom) == Amount(1, 40, 10, 0)
    assert (await reserve(store, "c", whom)).granted
    assert await used(store, whom) == Amount(2, 80, 20, 1)


async def test_what_is_settled_late_counts(place: Place) -> None:
    """Who was kept from it for longer than the lease has no place any more, but says what it took: once, and not for
    ever."""
    store, whom = await place.worker(), account(slots=1)
    for name in "ab":
        assert (await reserve(store, name, whom, lease=30)).granted
        place.clock.move(31)
    assert (await reserve(store, "c", whom)).granted
    assert not await store.adjust(Hold("never", (whom,)), NOTHING, final=True)
    await store.renew([Hold("a", (whom,))], 30)
    assert await settle(store, "a", whom, took=Amount(1, 1, 1))
    assert not await settle(store, "a", whom, took=Amount(1, 1, 1))
    assert await used(store, whom) == Amount(3, 81, 21, 1)
    place.clock.move(LATE)
    assert (await used(store, whom)).slots == 0
    assert not await settle(store, "b", whom, took=Amount(1, 1, 1))
    assert (await used(store, whom)).nanos == 21


async def test_a_lease_is_renewed(place: Place) -> None:
    """What goes on for long keeps its place, and is settled at its end; what has ended does not come back."""
    store, whom = await place.worker(), account(slots=1)
    await reserve(store, "a", whom, lease=30)
    place.clock.move(20)
    await store.renew([Hold("a", (whom,)), Hold("never", (whom,))], 30)
    place.clock.move(20)
    assert not (await reserve(store, "b", whom)).granted
    assert await settle(store, "a", whom, took=Amount(1, 1, 1))
    await store.renew([Hold("a", (whom,))], 30)
    assert (await used(store, whom)).slots == 0


async def test_a_reservation_is_made_smaller(store: Store) -> None:
    """Some of it is given back while it goes on; at its end the figure is what counts."""
    whom = account(requests=100, slots=10)
    await reserve(store, "a", whom, asked=Amount(10, 400, 1000, 10))
    assert await store.adjust(Hold("a", (whom,)), Amount(4, 100, 300, 2), final=False)
    assert await used(store, whom) == Amount(4, 100, 300, 2)
    assert await settle(store, "a", whom, took=Amount(4, 120, 200))
    assert await used(store, whom) == Amount(4, 120, 200, 0)


@pytest.mark.parametrize("period", ["day", "week", "month"])
async def test_a_budget_is_whole_again_in_the_next_period(place: Place, period: Period) -> None:
    """By the calendar; what is settled late for a period that is over is no money of the next."""
    store, whom = await place.worker(), account(period=period, nanos=10)
    assert (await reserve(store, "a", whom, lease=10**8)).granted
    assert not (await reserve(store, "b", whom)).granted
    place.clock.move(seconds_until_next(period) - 60)
    assert not (await reserve(store, "c", whom)).granted
    place.clock.move(120)
    assert (await reserve(store, "d", whom)).granted
    assert await settle(store, "a", whom, took=Amount(1, 0, 10**6))
    assert (await used(store, whom)).nanos == 10


def seconds_until_next(period: Period) -> float:
    now = datetime.fromtimestamp(time.time(), UTC)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "week":
        return (today + timedelta(days=7 - now.weekday()) - now).total_seconds()
    if period == "day":
        return (today + timedelta(days=1) - now).total_seconds()
    return ((today.replace(day=1) + timedelta(days=32)).replace(day=1) - now).total_seconds()


async def test_a_budget_in_total_never_ends(place: Place) -> None:
    """Years later it is spent."""
    store, whom = await place.worker(), account(nanos=10)
    await reserve(store, "a", whom)
    place.clock.move(10**8)
    assert not (await reserve(store, "b", whom)).granted


async def test_large_sums_are_exact(store: Store) -> None:
    """A million dollars, to the billionth."""
    whom = account(nanos=10**15)
    assert (await reserve(store, "a", whom, asked=Amount(nanos=10**15 - 1))).granted
    assert (await reserve(store, "b", whom, asked=Amount(nanos=1))).granted
    assert not (await reserve(store, "c", whom, asked=Amount(nanos=1))).granted
    assert await settle(store, "a", whom, took=Amount(nanos=10**15 - 3))
    assert (await used(store, whom)).nanos == 10**15 - 2


async def test_workers_share_limits_exactly(place: Place) -> None:
    """Of what several ask for at once, just as much is granted as the limit allows, and settled by any of them."""
    workers = [await place.worker() for _ in range(3)]
    key, team = account(requests=25), account("team:t", slots=20)
    decisions = await asyncio.gather(
        *(reserve(workers[number % 3], str(number), key, team) for number in range(60)),
    )
    assert sum(decision.granted for decision in decisions) == 20
    granted = [str(number) for number, decision in enumerate(decisions) if decision.granted]
    settled = [settle(workers[2 - at % 3], name, key, team, took=Amount(1, 1, 1)) for at, name in enumerate(granted)]
    assert all(await asyncio.gather(*settled))
    assert await used(workers[0], account("team:t")) == Amount(20, 20, 20, 0)
    again = await asyncio.gather(*(reserve(workers[at % 3], f"again{at}", key, team) for at in range(10)))
    assert sum(decision.granted for decision in again) == 5


async def test_it_survives_restarts(place: Place) -> None:
    """Of the workers, and of what is behind the store: what was spent, what is reserved, whose lease it is."""
    store, whom = await place.worker(), account(requests=3, slots=2)
    await reserve(store, "a", whom)
    await reserve(store, "b", whom)
    await settle(store, "b", whom, took=Amount(1, 7, 7))
    await place.close()
    place.restart()
    store = await place.worker()
    assert await used(store, whom) == Amount(2, 47, 17, 1)
    assert await settle(store, "a", whom, took=Amount(1, 1, 1))
    assert await used(store, whom) == Amount(2, 8, 8, 0)


async def test_accounts_of_any_name(store: Store) -> None:
    """Names are data, whatever stands in them."""
    for name in ("key:a}b", "key:'; DROP TABLE spent; --", "key:ключ{", "key:*"):
        assert (await reserve(store, name, account(name, requests=1), account(f"team:{name}"))).granted
        assert not (await reserve(store, f"{name}2", account(name, requests=1), account(f"team:{name}"))).granted
