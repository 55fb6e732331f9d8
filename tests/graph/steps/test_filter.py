"""Functions that steps call and nobody awaits: predicates, keys, first states."""

from __future__ import annotations

from collections.abc import Callable
from operator import add
from typing import Any

import pytest

from graph import Batch, Filter, InvalidStep, MapWithState, Reduce, SampleWindow


async def _later(*_: Any) -> bool:
    return False


later: Any = _later


@pytest.mark.parametrize(
    "make",
    [
        lambda: Filter(later),
        lambda: SampleWindow(2, key=later),
        lambda: MapWithState(0, lambda body, state: (body, state), group_by=later),
        lambda: MapWithState(later, lambda body, state: (body, state)),
        lambda: Reduce(later, add),
        lambda: Batch(2, key=later),
    ],
)
def test_async_functions_that_nobody_would_await_are_refused(make: Callable[[], Any]) -> None:
    """A coroutine is true, and equal to no other: a Filter let everything pass, and each event had a key of its own."""
    with pytest.raises(InvalidStep, match="is async, and nobody would await it; write a plain def"):
        make()
