"""Deployment: one of several models behind a name, and how it has been doing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.routing.breaker import Breaker
from gateway.routing.latency import Latency
from llm import Model


@dataclass(eq=False, slots=True)
class Deployment:
    """A model, its share of the requests, and its state in this process."""

    name: str
    model: Model
    clock: Callable[[], float]
    breaker: Breaker
    weight: float = 1.0
    in_flight: int = 0
    answered: int = 0
    """How many answers it has given to their end."""
    cancelled: int = 0
    """How many were left, by a client or because another deployment was faster."""
    failed: Counter[str] = field(default_factory=Counter)
    """How many failed, by class."""
    last_error: str = ""
    _streamed: Latency = field(init=False)
    _whole: Latency = field(init=False)

    def __post_init__(self) -> None:
        self._streamed, self._whole = Latency(self.clock), Latency(self.clock)

    @property
    def usd(self) -> float | None:
        """What a million tokens in and a million out cost in US dollars; None when nobody knows."""
        price = self.model.price
        return None if price is None else price.input + price.output

    def latency(self, *, streamed: bool) -> float:
        """Seconds until an answer begins, on average; 0 where nobody knows. One that is not streamed begins when it is
        whole."""
        return self.latencies(streamed=streamed).average

    def latencies(self, *, streamed: bool) -> Latency:
        """How long the last answers took to begin."""
        return self._streamed if streamed else self._whole

    def state(self) -> dict[str, Any]:
        """What the admin API shows."""
        breaker = self.breaker
        return {
            "name": self.name,
            "upstream": self.model.upstream,
            "weight": self.weight,
            "state": breaker.state,
            "seconds_until_asked": round(breaker.wait, 3),
            "failures_in_a_row": breaker.in_a_row,
            "in_flight": self.in_flight,
            "answered": self.answered,
            "cancelled": self.cancelled,
            "failed": dict(self.failed),
            "last_error": self.last_error or None,
            "seconds_to_first_chunk": _latency(self._streamed),
            "seconds_to_whole_answer": _latency(self._whole),
        }


def _latency(latency: Latency) -> dict[str, float] | None:
    if not latency.last:
        return None
    shares = {f"p{share}": round(latency.percentile(share / 100), 4) for share in (50, 95)}
    return {"average": round(latency.average, 4), **shares}
