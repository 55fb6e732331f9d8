"""Backoff: how long to wait before the same deployments are asked once more.

stamina, which repeats steps of graphs, is not used here: its loop asks the same thing again, and here another
deployment is asked first, without a wait; and it costs 78 µs for each request that needs no second try, which is more
than the rest of what the gateway does for one.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that double, each by chance between half of it and all of it, so that clients do not come back together."""

    seconds: float = 0.5
    """The first wait."""
    longest: float = 10.0
    """The longest wait: what an upstream wants more than that is not waited for."""

    def wait(self, waited: int, asked_for: float, random: Random) -> float | None:
        """Seconds to wait when that has been done so many times; None when it would take too long.

        Args:
            asked_for: the least wait, as an upstream said in ``Retry-After``; the backoff's own comes on top of it.
        """
        if asked_for > self.longest:
            return None
        return asked_for + min(self.seconds * 2.0 ** min(waited, 32), self.longest) * random.uniform(0.5, 1.0)
