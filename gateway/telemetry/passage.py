"""Passage: the time that one request takes, in parts that add up to the whole, to the nanosecond.

At each moment a request is in one part. Whoever takes it into another one says so (:meth:`Passage.turn`), so no time is
in two of them and none is in none. While paths run side by side, what waits for an upstream is ``upstream``.
"""

from __future__ import annotations

from contextvars import ContextVar
from time import perf_counter_ns
from typing import Any

PARTS = ("gate", "endpoint", "read", "parse", "limits", "graph", "upstream", "write")
GATE, ENDPOINT, READ, PARSE, LIMITS, GRAPH, UPSTREAM, WRITE = range(len(PARTS))
"""In the order in which requests come to them: the table and the key; what has no part of its own; waiting for the
body; reading it; reserving; steps; waiting for upstreams; waiting for the client to take what it is sent.
All but ``read``, ``upstream`` and ``write`` are what the gateway itself takes."""


class Passage:
    """One request.

    Attributes:
        begun: when its head had come.
        part: where it is.
        span: that of its trace, if there is one.
        spent: how long it has been in each of :data:`PARTS`, in nanoseconds, up to when it came to where it is.
    """

    __slots__ = ("_since", "_waits", "begun", "part", "span", "spent")

    def __init__(self) -> None:
        self.begun = self._since = perf_counter_ns()
        self.part = GATE
        self.span: Any = None
        self.spent = [0] * len(PARTS)
        self._waits = 0

    def turn(self, part: int) -> int:
        """Goes to a part; returns the one that it was in."""
        now, was = perf_counter_ns(), self.part
        self.spent[was] += now - self._since
        self._since, self.part = now, part
        return was

    def wait(self) -> None:
        """Somebody begins to wait for an upstream."""
        if not self._waits:
            self.turn(UPSTREAM)
        self._waits += 1

    def go_on(self) -> None:
        """Somebody does not wait any more."""
        self._waits -= 1
        if not self._waits:
            self.turn(GRAPH)


PASSAGE: ContextVar[Passage | None] = ContextVar("passage", default=None)
"""That of the request which the current task answers."""


def turn(part: int) -> int:
    """Takes the request of this task, if there is one, into a part; returns the one that it was in."""
    passage = PASSAGE.get()
    return part if passage is None else passage.turn(part)
