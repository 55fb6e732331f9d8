"""Batch and Unbatch: a part of the graph that events of different requests walk together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graph.errors import InvalidStep
from graph.running.batching import Batcher
from graph.written.expression import plain_function


class Batch:
    """Gathers events of different requests: what follows is given the list of their bodies, up to the next Unbatch or
    FlatMap, which gives each request its own element back.

    Args:
        max_events: so many go together at most.
        flush_after_seconds: fewer go when the first has waited so long; None waits for the number.
        key: of a body; only events with the same key go together.

    With the option ``full_event`` the list holds Events instead of bodies.
    """

    needs_whole = True

    def __init__(
        self,
        max_events: int,
        flush_after_seconds: float | None = None,
        key: Callable[[Any], Any] | None = None,
    ) -> None:
        if max_events < 1 or (flush_after_seconds is not None and flush_after_seconds < 0):
            raise InvalidStep(f"Batch(max_events={max_events}, flush_after_seconds={flush_after_seconds}) cannot be")
        self.batcher = Batcher(max_events, flush_after_seconds, plain_function("Batch: its key", key))

    def do(self, body: Any) -> Any:
        """An event by itself; the engine gathers before this is called."""
        return body


class Unbatch:
    """Ends a Batch: the body must be a list with one element for each event that went together."""

    unbatches = True
    needs_whole = True

    def do(self, body: list[Any]) -> list[Any]:
        return body
