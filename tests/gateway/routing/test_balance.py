"""Balance: shares, loads, latencies, prices, and who sticks to whom."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.balance import Cheapest, LeastBusy, LowestLatency, Weighted, sticky
from gateway.routing.deployment import Deployment
from llm import Price
from tests.gateway.routing.parts import Clock, deployment

WEIGHTS = st.lists(st.integers(1, 9), min_size=1, max_size=5)


def weighted(weights: list[int]) -> list[Deployment]:
    """Deployments of these weights."""
    return [deployment(f"d{at}", weight=weight) for at, weight in enumerate(weights)]


@given(WEIGHTS, st.integers(1, 3))
def test_turns_are_by_weight_exactly(weights: list[int], rounds: int) -> None:
    """Of as many requests as all weights together have, each gets its own number, whatever the weights are."""
    among, turns = weighted(weights), Weighted()
    got = Counter(turns.pick(among).name for _ in range(sum(weights) * rounds))
    assert got == {each.name: each.weight * rounds for each in among}


def test_turns_are_mixed() -> None:
    """The heavy one does not get all of its requests in a row."""
    among, turns = weighted([5, 1, 1]), Weighted()
    assert "".join(turns.pick(among).name[1] for _ in range(7)) == "0010200"


@given(WEIGHTS, st.data())
def test_turns_survive_that_some_are_out_of_service(weights: list[int], data: st.DataObject) -> None:
    """Whoever is picked is one of those that were offered, and afterwards the shares are right again."""
    among, turns = weighted(weights), Weighted()
    for _ in range(20):
        offered = data.draw(st.lists(st.sampled_from(among), min_size=1, unique=True))
        assert turns.pick(offered) in offered


def test_the_least_busy_is_by_its_weight() -> None:
    """Three requests at one that may have four times as many are less than one at the other."""
    big, small = deployment("big", weight=4), deployment("small")
    big.in_flight, small.in_flight = 2, 0
    assert LeastBusy().pick([big, small]) is big
    big.in_flight = 4
    assert LeastBusy().pick([big, small]) is small


def test_the_fastest_is_not_run_over() -> None:
    """Of two the sooner is asked, until as many are waiting for it as it is faster."""
    clock = Clock()
    fast, slow = deployment("fast", clock=clock), deployment("slow", clock=clock)
    fast.latencies(streamed=True).add(0.1)
    slow.latencies(streamed=True).add(0.35)
    balance = LowestLatency(Random(1))
    assert balance.pick([slow, fast], streamed=True) is fast
    fast.in_flight = 4
    assert balance.pick([slow, fast], streamed=True) is slow


def test_who_is_not_known_is_asked_first() -> None:
    """A deployment that nobody has timed yet gets its chance."""
    known, new = deployment("known"), deployment("new")
    known.latencies(streamed=True).add(0.001)
    assert LowestLatency(Random(1)).pick([known, new], streamed=True) is new


def test_the_cheapest_knows_its_price() -> None:
    """Those of one price take turns; one without a price is the last."""
    dear = deployment("dear", price=Price(10, 10))
    cheap = [deployment(name, price=Price(1, 2)) for name in ("a", "b")]
    unknown = deployment("unknown")
    balance = Cheapest()
    assert {balance.pick([unknown, dear, *cheap]).name for _ in range(4)} == {"a", "b"}
    assert balance.pick([unknown, dear]) is dear


@given(st.text(), st.lists(st.text(min_size=1), min_size=2, max_size=6, unique=True), st.data())
def test_an_identity_moves_only_when_it_must(identity: str, names: list[str], data: st.DataObject) -> None:
    """Whatever other deployment goes away, or comes, the one that an identity has stays."""
    among = [deployment(name) for name in names]
    own = sticky(among, identity)
    gone = data.draw(st.sampled_from([each for each in among if each is not own]))
    assert sticky([each for each in reversed(among) if each is not gone], identity) is own


def test_identities_are_shared_out_by_weight() -> None:
    """An A/B split of one to three, within what chance allows for ten thousand."""
    among = weighted([1, 3])
    got = Counter(sticky(among, f"user-{number}").name for number in range(10_000))
    assert 2300 < got["d0"] < 2700
