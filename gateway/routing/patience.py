"""Patience: how long an answer is waited for. That for a connection is its provider's (``connect_seconds``)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf, isinf
from typing import TypeVar

from llm import UpstreamTimeout

T = TypeVar("T")
MOMENT = 0.01
"""So few seconds are none: nobody answers in them, and timers strike a little early."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds; ``inf`` for as long as the provider lets it."""

    first_token: float = inf
    """Until a streamed answer begins; then another deployment is asked."""
    idle: float = inf
    """Between two pieces of it."""
    total: float = inf
    """For the whole answer, whoever gives it, with all that was tried before."""


class Deadline:
    """When the whole of an answer must be there."""

    def __init__(self, clock: Callable[[], float], seconds: float) -> None:
        self._clock = clock
        self._until = clock() + seconds

    @property
    def left(self) -> float:
        """Seconds until then; 0 when it is but a moment."""
        left = self._until - self._clock()
        return left if left > MOMENT else 0.0


async def within(seconds: float, made: Awaitable[T], what: str) -> T:
    """What comes of ``made``, if it comes in time.

    Raises:
        UpstreamTimeout: when it does not.
    """
    if isinf(seconds):
        return await made
    try:
        async with asyncio.timeout(seconds):
            return await made
    except TimeoutError:
        raise UpstreamTimeout(f"the deployment took more than {seconds:g} s for {what}") from None
