"""Backoff: waits that double, by chance, and no longer than allowed."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.backoff import Backoff


@given(st.integers(0, 10_000), st.floats(0, 10), st.integers())
def test_a_wait_is_never_less_than_asked_for_nor_much_longer(waited: int, asked_for: float, seed: int) -> None:
    """What the upstream says is kept, and what comes on top is between half of the backoff and all of it."""
    wait = Backoff(0.5, 10).wait(waited, asked_for, Random(seed))
    assert wait is not None
    own = min(0.5 * 2 ** min(waited, 32), 10)
    assert own / 2 - 1e-9 <= wait - asked_for <= own + 1e-9


def test_what_takes_too_long_is_not_waited_for() -> None:
    """An upstream that wants an hour gets no more requests, and the caller an answer now."""
    assert Backoff(0.5, 10).wait(0, 3600, Random(1)) is None


def test_clients_do_not_come_back_together() -> None:
    """A hundred that failed at the same moment come back at a hundred others."""
    random = Random(1)
    assert len({Backoff().wait(0, 1, random) for _ in range(100)}) == 100
