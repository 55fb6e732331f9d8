"""Breakers: when they open, how they come back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.breaker import Breaker
from tests.gateway.routing.parts import Clock


def opened(clock: Clock) -> Breaker:
    """A breaker that has just opened."""
    breaker = Breaker(clock, failures=1, seconds=10, longest=40)
    breaker.failed(breaker.begin())
    return breaker


def test_it_opens_after_failures_in_a_row() -> None:
    """An answer in between begins the count anew."""
    breaker = Breaker(Clock(), failures=3)
    for fails in (True, True, False, True, True):
        breaker.failed() if fails else breaker.answered(breaker.begin())
    assert breaker.state == "closed"
    breaker.failed()
    assert (breaker.state, breaker.admits, breaker.wait) == ("open", False, 10)


def test_one_certain_failure_opens_it() -> None:
    """What the next request would meet too need not happen three times."""
    breaker = Breaker(Clock(), failures=3)
    breaker.failed(for_certain=True)
    assert breaker.state == "open"


def test_one_probe_at_a_time() -> None:
    """When it has cooled down, one request may go; the others wait for how that ends."""
    clock = Clock()
    breaker = opened(clock)
    clock.now += 10
    assert (breaker.state, breaker.admits) == ("half_open", True)
    probes = breaker.begin()
    assert probes
    assert not breaker.admits
    breaker.answered(probes)
    assert (breaker.state, breaker.admits) == ("closed", True)


def test_a_probe_that_is_left_makes_room_for_another() -> None:
    """A client that leaves says nothing of the deployment."""
    clock = Clock()
    breaker = opened(clock)
    clock.now += 10
    breaker.left(breaker.begin())
    assert (breaker.state, breaker.admits) == ("half_open", True)


def test_each_probe_that_fails_doubles_the_wait() -> None:
    """Up to a longest; and an answer begins anew."""
    clock = Clock()
    breaker, waits = opened(clock), []
    for _ in range(4):
        waits.append(breaker.wait)
        clock.now += breaker.wait
        breaker.failed(breaker.begin())
    assert waits == [10, 20, 40, 40]
    clock.now += 40
    breaker.answered(breaker.begin())
    breaker.failed()
    assert breaker.wait == 10


def test_late_failures_of_an_open_one_change_nothing() -> None:
    """Requests that were under way when it opened do not keep it open for longer."""
    clock = Clock()
    breaker = opened(clock)
    clock.now += 9
    breaker.failed()
    assert breaker.wait == 1


def test_a_pause_ends_without_a_probe() -> None:
    """The upstream has said itself when to come back, and how long is bounded."""
    clock = Clock()
    breaker = Breaker(clock, longest=300)
    breaker.pause(2)
    assert (breaker.state, breaker.admits, breaker.wait) == ("paused", False, 2)
    clock.now += 2
    assert not breaker.begin()
    assert breaker.admits
    breaker.pause(86400)
    assert breaker.wait == 300


def test_a_sign_of_life_ends_the_wait_for_the_probe() -> None:
    """It does not close the breaker: that is the probe's to do."""
    breaker = opened(Clock())
    breaker.try_again()
    assert (breaker.state, breaker.wait) == ("half_open", 0)


@given(
    st.lists(
        st.sampled_from(["begin", "answered", "failed", "left", "pause", "pass", "try_again"]), min_size=1, max_size=60
    )
)
def test_whatever_happens_it_comes_back(steps: list[str]) -> None:
    """In every order of events there is at most one probe, no wait is longer than the longest, and when all that is
    under way has ended and the wait is over, a request may be sent."""
    clock = Clock()
    breaker = Breaker(clock, failures=2, seconds=5, longest=60)
    under_way: list[bool] = []
    for step in steps:
        if step == "begin" and breaker.admits:
            under_way.append(breaker.begin())
        elif step in ("answered", "failed", "left") and under_way:
            getattr(breaker, step)(under_way.pop(0))
        elif step == "pause":
            breaker.pause(1000)
        elif step == "pass":
            clock.now += 3
        elif step == "try_again":
            breaker.try_again()
        assert sum(under_way) <= 1
        assert 0 <= breaker.wait <= 60
        assert breaker.state == "closed" or breaker.in_a_row or breaker.wait
    for probes in under_way:
        breaker.left(probes)
    clock.now += breaker.wait
    assert breaker.admits


@pytest.mark.parametrize("openings", [1000])
def test_it_may_open_for_ever(openings: int) -> None:
    """Doubling has no end that breaks it."""
    clock = Clock()
    breaker = opened(clock)
    for _ in range(openings):
        clock.now += breaker.wait
        breaker.failed(breaker.begin())
    assert breaker.wait == 40
