"""Balance: which of the deployments that are in service is asked next."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from math import inf, log
from random import Random

from gateway.routing.deployment import Deployment


class Weighted:
    """Turns by weight, mixed as evenly as can be: of as many requests as all weights together have each deployment gets
    its own number (smooth weighted round robin, as nginx has it)."""

    def __init__(self) -> None:
        self._credit: dict[str, float] = {}

    def pick(self, among: Sequence[Deployment], *, streamed: bool = False) -> Deployment:
        """One of them."""
        credit = self._credit
        for each in among:
            credit[each.name] = credit.get(each.name, 0.0) + each.weight
        best = max(among, key=lambda each: credit[each.name])
        credit[best.name] -= sum(each.weight for each in among)
        return best


class LeastBusy:
    """The one with the fewest requests in flight for its weight; of several by turns."""

    def __init__(self) -> None:
        self._turns = Weighted()

    def pick(self, among: Sequence[Deployment], *, streamed: bool = False) -> Deployment:
        """One of them."""
        loads = [(each.in_flight + 1) / each.weight for each in among]
        least = min(loads)
        return self._turns.pick([each for each, load in zip(among, loads, strict=True) if load == least])


class LowestLatency:
    """Of two by chance the one that begins sooner, as busy as it is: whoever is fastest is not run over by all."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def pick(self, among: Sequence[Deployment], *, streamed: bool = False) -> Deployment:
        """One of them."""
        two = self._random.sample(among, 2) if len(among) > 1 else among
        return min(two, key=lambda each: each.latency(streamed=streamed) * (each.in_flight + 1))


class Cheapest:
    """The one that costs least; of several by turns. What costs nobody knows what comes last."""

    def __init__(self) -> None:
        self._turns = Weighted()

    def pick(self, among: Sequence[Deployment], *, streamed: bool = False) -> Deployment:
        """One of them."""
        costs = [inf if each.usd is None else each.usd for each in among]
        least = min(costs)
        return self._turns.pick([each for each, cost in zip(among, costs, strict=True) if cost == least])


def sticky(among: Sequence[Deployment], identity: str) -> Deployment:
    """The one that belongs to an identity: always the same, in every worker and after a restart, and of many identities
    each deployment has its share by weight. When one is out of service only its own identities move (weighted
    rendezvous hashing)."""
    return max(among, key=lambda each: -each.weight / log(_draw(each.name, identity)))


def _draw(name: str, identity: str) -> float:
    """A number between 0 and 1, without both, that belongs to these."""
    digest = blake2b(f"{name}\0{identity}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return ((int.from_bytes(digest) >> 12) + 0.5) / 2**52
