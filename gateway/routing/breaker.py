"""Breaker: when a deployment that fails is left alone for a while, and how it comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal


@dataclass(slots=True)
class Breaker:
    """Opens after some failures in a row. When it has cooled down, one request at a time probes it: if that is
    answered it closes, if not it opens for twice as long.

    A pause is something else: the upstream itself has said when to come back, and then needs no probe.
    """

    clock: Callable[[], float]
    """Seconds, monotonic."""
    failures: int = 3
    """How many in a row open it."""
    seconds: float = 10.0
    """How long it cools down the first time."""
    longest: float = 300.0
    """How long it cools down, or pauses, at most."""
    in_a_row: int = 0
    """Failures since the last answer."""
    _openings: int = 0
    _until: float = field(default=0.0)
    _paused_until: float = field(default=0.0)
    _probing: bool = False

    @property
    def state(self) -> Literal["closed", "open", "half_open", "paused"]:
        """``closed`` is in service; ``half_open`` waits for, or is under, its probe."""
        now = self.clock()
        if self._openings and now < self._until:
            return "open"
        if now < self._paused_until:
            return "paused"
        return "half_open" if self._openings else "closed"

    @property
    def admits(self) -> bool:
        """Whether a request may be sent."""
        if not self._openings and not self._paused_until:
            return True
        state = self.state
        return state == "closed" or (state == "half_open" and not self._probing)

    @property
    def wait(self) -> float:
        """Seconds until a request may be sent; 0 where that is now, or as soon as the probe has ended."""
        return max(0.0, max(self._until if self._openings else 0.0, self._paused_until) - self.clock())

    def begin(self) -> bool:
        """A request is sent. Whether it is the probe; how it ends must be said in any case."""
        probes = self.state == "half_open" and not self._probing
        self._probing = self._probing or probes
        return probes

    def left(self, probes: bool) -> None:
        """A request ended, and says nothing of the deployment."""
        self._probing = self._probing and not probes

    def answered(self, probes: bool) -> None:
        """A request was answered."""
        self.left(probes)
        self.in_a_row = self._openings = 0

    def failed(self, probes: bool = False, *, for_certain: bool = False) -> None:
        """A request failed; ``for_certain`` where the next one would too. Late news of an open one change nothing."""
        self.left(probes)
        self.in_a_row += 1
        if self.state != "open" and (probes or for_certain or self.in_a_row >= self.failures):
            self._until = self.clock() + self._cool_down()
            self._openings += 1

    def pause(self, seconds: float) -> None:
        """The upstream wants to be left alone for so long."""
        self._paused_until = max(self._paused_until, self.clock() + min(seconds, self.longest))

    def try_again(self) -> None:
        """It seems to be well: if it is open, the next request may probe it."""
        self._until = min(self._until, self.clock())

    def _cool_down(self) -> float:
        return float(min(self.seconds * 2 ** min(self._openings, 32), self.longest))
