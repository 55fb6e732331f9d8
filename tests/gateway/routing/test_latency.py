"""Latency: averages that forget, percentiles of the last answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.latency import FADES, WINDOW, Latency
from tests.gateway.routing.parts import Clock

SECONDS = st.lists(st.floats(0.001, 1000), min_size=1, max_size=50)


@given(SECONDS)
def test_the_average_is_among_what_was_seen(seconds: list[float]) -> None:
    """It is never faster than the fastest nor slower than the slowest."""
    latency = Latency(Clock())
    for each in seconds:
        latency.add(each)
    assert min(seconds) * (1 - 1e-9) <= latency.average <= max(seconds) * (1 + 1e-9)


def test_slow_counts_at_once_and_fast_bit_by_bit() -> None:
    """A deployment that gets stuck is left at once, and has to show more than once that it is well again."""
    latency = Latency(Clock())
    latency.add(0.1)
    latency.add(2.0)
    assert latency.average == 2.0
    latency.add(0.1)
    assert 1.5 < latency.average < 2.0
    for _ in range(100):
        latency.add(0.1)
    assert latency.average == pytest.approx(0.1, rel=0.01)


def test_what_nobody_asks_is_forgotten() -> None:
    """Else one that was slow once would never be asked again."""
    clock = Clock()
    latency = Latency(clock)
    latency.add(3.0)
    clock.now += FADES * 5
    assert latency.average < 0.03


@given(SECONDS, st.floats(0, 1))
def test_a_percentile_is_one_of_the_last(seconds: list[float], share: float) -> None:
    """And at least so much of them is not slower."""
    latency = Latency(Clock())
    for each in seconds:
        latency.add(each)
    found = latency.percentile(share)
    assert found in seconds
    assert sum(each <= found for each in seconds) >= share * len(seconds) * (1 - 1e-9)


def test_nothing_is_kept_for_ever() -> None:
    """The window has a bound, and before the first answer there is nothing."""
    latency = Latency(Clock())
    assert (latency.average, latency.percentile(0.95)) == (0, 0)
    for _ in range(WINDOW * 3):
        latency.add(1.0)
    assert len(latency.last) == WINDOW
