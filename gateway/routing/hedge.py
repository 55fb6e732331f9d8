"""Hedge: a second deployment is asked when the first is slower than nearly always, and the faster one answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from gateway.routing.begun import Begun
from gateway.routing.deployment import Deployment

SLOW = 0.95
"""The share of a deployment's answers that begin before it is hedged."""
LEAST = 20
"""How many answers it must have given before that can be told."""


def hedge_after(deployment: Deployment, *, streamed: bool) -> float | None:
    """Seconds after which a second deployment is asked; None where nothing is known of the first."""
    latencies = deployment.latencies(streamed=streamed)
    return latencies.percentile(SLOW) if len(latencies.last) >= LEAST else None


async def hedged(first: Awaitable[Begun], seconds: float, second: Callable[[], Awaitable[Begun] | None]) -> Begun:
    """The answer that begins first. The other call is cancelled, on every way out.

    Args:
        second: makes the second call, if there is a deployment for it.

    Raises:
        ModelError: that of the first call, when both fail, or when it fails before there is a second.
    """
    leader = asyncio.ensure_future(first)
    racing = [leader]
    begun: Begun | None = None
    try:
        await asyncio.wait(racing, timeout=seconds)
        if not leader.done() and (other := second()) is not None:
            racing.append(asyncio.ensure_future(other))
        begun = await _faster(racing)
        return begun
    finally:
        await _end([call for call in racing if call.cancelled() or not call.done() or _answer(call) is not begun])


async def _faster(racing: Sequence[asyncio.Future[Begun]]) -> Begun:
    running = set(racing)
    while running:
        _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for call in racing:
            if (begun := _answer(call)) is not None:
                return begun
    return racing[0].result()


def _answer(call: asyncio.Future[Begun]) -> Begun | None:
    """The answer of a call, if it has one by now."""
    return call.result() if call.done() and not call.cancelled() and call.exception() is None else None


async def _end(lost: Sequence[asyncio.Future[Begun]]) -> None:
    """Cancels calls, and closes an answer that came at the same moment as the one that is given."""
    for call in lost:
        call.cancel()
    for end in await asyncio.gather(*lost, return_exceptions=True):
        if isinstance(end, Begun):
            async with end:
                pass
