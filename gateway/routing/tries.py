"""Tries: how many deployments are asked for one answer, in which order, and what is waited for in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from gateway.routing.backoff import Backoff
from gateway.routing.call import Asked
from gateway.routing.choosing import Chooser
from gateway.routing.deployment import Deployment
from gateway.routing.failures import failure_of, is_fault
from gateway.routing.patience import Patience
from llm import ModelError, UpstreamError, UpstreamRateLimited, UpstreamUnavailable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Policy:
    """How often, how long, and whether twice at once is asked."""

    retries: int = 2
    """How many more calls there may be after the first."""
    backoff: Backoff = field(default_factory=Backoff)
    patience: Patience = field(default_factory=Patience)
    hedge: bool = False


class Tries:
    """Asks one deployment after the other, those that failed once more after a wait, and gives up at some point.

    Args:
        clock: seconds, monotonic.
        sleep: how it waits.
    """

    def __init__(
        self,
        chooser: Chooser,
        policy: Policy | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Random | None = None,
    ) -> None:
        self.policy = policy or Policy()
        self.clock = clock
        self._chooser = chooser
        self._sleep = sleep
        self._random = random or Random()  # noqa: S311 - for waits, never for secrets

    def next(
        self, among: Sequence[Deployment], asked: Asked, without: Collection[Deployment] = ()
    ) -> Deployment | None:
        """The deployment to ask next; None when there is none."""
        return self._chooser.choose(among, asked.request, asked.trail, without)

    async def first(
        self,
        among: Sequence[Deployment],
        asked: Asked,
        ask: Callable[[Deployment], Awaitable[T]],
        tried: set[Deployment],
    ) -> T:
        """What the first deployment that does not fail answers.

        Args:
            tried: those that have failed since the last wait; ``ask`` may add to it.

        Raises:
            ModelError: that of the last one; at once where another one would say the same, or it may not go on.
        """
        hopeless: set[Deployment] = set()
        failed: ModelError | None = None
        waits = 0
        for _ in range(self.policy.retries + 1):
            if failed is not None and not await asked.may_go_on():
                raise failed
            deployment = self.next(among, asked, tried | hopeless)
            if deployment is None and failed is not None and await self._waited(among, hopeless, waits, asked):
                waits += 1
                tried.clear()
                deployment = self.next(among, asked, hopeless)
            if deployment is None:
                raise failed or _out_of_service(among)
            tried.add(deployment)
            try:
                return await ask(deployment)
            except ModelError as error:
                if not is_fault(failure_of(error)):
                    raise
                failed = error
                if error.hopeless:
                    hopeless.add(deployment)
        raise failed or _out_of_service(among)

    async def _waited(
        self, among: Sequence[Deployment], hopeless: Collection[Deployment], waits: int, asked: Asked
    ) -> bool:
        """Waits until one of them may be asked again, unless that is too long, or none of them is worth it."""
        left = [each.breaker for each in among if each not in hopeless and each.breaker.state != "open"]
        if not left:
            return False
        asked_for = min(breaker.wait for breaker in left)
        seconds = self.policy.backoff.wait(waits, asked_for, self._random)
        if seconds is None or seconds >= asked.deadline.left:
            return False
        await self._sleep(seconds)
        return True


def _out_of_service(among: Sequence[Deployment]) -> UpstreamError:
    """Why nobody can be asked, and when somebody can."""
    soonest = min((each.breaker.wait for each in among), default=None)
    paused = any(each.breaker.state == "paused" for each in among)
    kind = UpstreamRateLimited if paused else UpstreamUnavailable
    return kind("no deployment of the model is in service", retry_after=soonest)
