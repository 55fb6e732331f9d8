"""Latency: how long a deployment takes to begin an answer, by an average that forgets and by a window of the last."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import exp, inf

WINDOW = 200
"""How many answers a percentile is taken over."""
FADES = 30.0
"""Seconds in which what is known of a deployment that nobody asks loses about two thirds of its weight: one that was
slow is tried again."""
MOST = 0.9
"""How much of the average is left after one more answer, at most."""


@dataclass(slots=True)
class Latency:
    """Seconds until the answer began."""

    clock: Callable[[], float]
    last: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _average: float = 0.0
    _at: float = -inf

    def add(self, seconds: float) -> None:
        """One more answer. A slower one than the average is the average at once, a faster one moves it bit by bit."""
        now = self.clock()
        if seconds > self._average:
            self._average = seconds
        else:
            weight = min(exp(-max(0.0, now - self._at) / FADES), MOST)
            self._average = seconds + (self._average - seconds) * weight
        self._at = now
        self.last.append(seconds)

    @property
    def average(self) -> float:
        """The average, faded by the time since the last answer; 0 where there was none."""
        return self._average * exp(-max(0.0, self.clock() - self._at) / FADES) if self.last else 0.0

    def percentile(self, share: float) -> float:
        """What so much of the last answers (0 to 1) took at most; 0 where there was none."""
        ordered = sorted(self.last)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
