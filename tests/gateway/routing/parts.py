"""Deployments over a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from gateway.routing.backoff import Backoff
from gateway.routing.breaker import Breaker
from gateway.routing.call import Asked
from gateway.routing.choosing import BalanceName, Chooser, Sticky, balance_of
from gateway.routing.deployment import Deployment
from gateway.routing.patience import Deadline, Patience
from gateway.routing.routed import RoutedProvider
from gateway.routing.tries import Policy, Tries
from llm import ChatRequest, Model, ModelProvider, Price, Trail
from llm.testing import ScriptedProvider


@dataclass
class Clock:
    """Seconds that pass when the test says so, or when somebody sleeps."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Lets so many seconds pass at once."""
        self.slept.append(seconds)
        self.now += seconds


def deployment(
    name: str,
    provider: ModelProvider | None = None,
    clock: Callable[[], float] | None = None,
    *,
    weight: float = 1,
    price: Price | None = None,
    failures: int = 3,
) -> Deployment:
    """A deployment that nobody has asked yet."""
    clock = clock or Clock()
    model = Model("model", provider or ScriptedProvider.of(), name, price=price)
    return Deployment(name, model, clock, Breaker(clock, failures), weight)


def routed(
    *deployments: Deployment,
    clock: Clock,
    balance: BalanceName = "weighted",
    stick_to: Sticky = "",
    fallbacks: Any = None,
    **policy: Any,
) -> RoutedProvider:
    """A provider over these, whose waits cost no time."""
    policy = {"backoff": Backoff(0.5, 10.0), "patience": Patience(), **policy}
    chooser = Chooser(balance_of(balance, Random(1)), stick_to)
    tries = Tries(chooser, Policy(**policy), clock=clock, sleep=clock.sleep, random=Random(1))
    return RoutedProvider("model", deployments, tries, fallbacks)


def asked(text: str = "hi", caller: str = "", *, stream: bool = True, **parameters: Any) -> ChatRequest:
    """A request, with a trail."""
    request = ChatRequest.of_text("model", text).having(**parameters)
    request.stream, request.trail = stream, Trail(caller)
    return request


def asking(request: ChatRequest, clock: Clock) -> Asked:
    """The same without a deadline."""
    return Asked(request, request.trail or Trail(), Deadline(clock, 1e9))
