"""Partition."""

from __future__ import annotations

from typing import Any

import pytest

from graph import Flow
from graph.steps.flat_map import Flatten
from graph.steps.partition import Partition, Partitioned


def even(body: int) -> bool:
    return body % 2 == 0


async def even_later(body: int) -> bool:
    return even(body)


@pytest.mark.parametrize("predicate", [even, even_later, lambda body: 1 - body % 2])
async def test_a_body_goes_to_one_side(predicate: Any) -> None:
    """To the left where the predicate is true, else to the right; the other side is None."""
    flow = Flow()
    flow.to(Partition(predicate), name="partition").respond()
    assert await flow.run(2) == Partitioned(left=2, right=None) == (2, None)
    assert await flow.run(3) == Partitioned(left=None, right=3)


async def test_of_the_event_it_is_the_body() -> None:
    """With full_event the predicate sees the event, and the sides hold bodies all the same."""
    flow = Flow()
    flow.to(Partition(lambda event: event.path == "/"), name="partition", full_event=True).respond()
    assert await flow.run(1) == Partitioned(left=1)


async def test_every_chunk_of_a_stream_is_one() -> None:
    """Each goes to a side of its own."""
    flow = Flow()
    flow.to(Flatten(), name="numbers").to(Partition(even), name="partition").respond()
    assert await flow.run([1, 2]) == [(None, 1), (2, None)]
