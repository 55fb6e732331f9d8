"""Hedges: a second call for a slow first one, and never two answers."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from gateway.routing.deployment import Deployment
from gateway.routing.hedge import LEAST, hedge_after
from llm import UpstreamUnavailable, Usage
from llm.testing import FaultyProvider, ScriptedProvider, broken, hanging, late, say
from llm.testing.faulty import Fault
from tests.gateway.routing.parts import Clock, asked, deployment, routed

DOWN = UpstreamUnavailable("it is down")


def timed(name: str, clock: Clock, *faults: Fault | None, weight: float = 1) -> Deployment:
    """A deployment that has always begun within 10 ms."""
    provider = FaultyProvider(ScriptedProvider.of(*[say(f"by {name}")] * 5), faults)
    made = deployment(name, provider, clock, weight=weight)
    for _ in range(LEAST):
        made.latencies(streamed=True).add(0.01)
    return made


def pair(clock: Clock, first: Fault, second: Fault | None = None) -> tuple[Deployment, Deployment]:
    """Two, of which the first is asked first."""
    return timed("a", clock, first, weight=9), timed("b", clock, second)


async def test_who_is_slower_than_nearly_always_is_overtaken() -> None:
    """The second answers; the first is cancelled, and what it has read is counted."""
    clock = Clock()
    first, second = pair(clock, hanging())
    request = asked("x" * 40)
    async with aclosing(routed(first, second, clock=clock, hedge=True).stream("model", request)) as chunks:
        assert "".join([chunk.content or "" async for chunk in chunks]) == "by b"
    assert request.trail is not None
    assert request.trail.answered == "b"
    [lost] = request.trail.failed
    assert (lost.deployment, lost.error, lost.usage) == ("a", "cancelled", Usage.of(10, 0, estimated=True))
    assert (first.in_flight, first.cancelled, first.breaker.in_a_row, second.in_flight) == (0, 1, 0, 0)


async def test_the_first_may_still_win() -> None:
    """It was slow, and yet sooner than the second."""
    clock = Clock()
    go = asyncio.Event()
    first, second = pair(clock, late(go), hanging())
    request = asked()
    chunks = routed(first, second, clock=clock, hedge=True).stream("model", request)
    telling = asyncio.ensure_future(anext(chunks))
    async with asyncio.timeout(5):
        while not second.in_flight:
            await asyncio.sleep(0)
    go.set()
    assert (await telling).content == "by "
    await chunks.aclose()
    assert request.trail is not None
    assert [call.deployment for call in request.trail.failed] == ["b"]
    assert (first.in_flight, second.in_flight) == (0, 0)


@pytest.mark.parametrize(("one", "other"), [(broken(DOWN), None), (hanging(), broken(DOWN))])
async def test_a_failure_of_one_leaves_the_other(one: Fault, other: Fault | None) -> None:
    """Who fails at once is followed by a retry, who fails in the race loses it."""
    clock = Clock()
    first, second = pair(clock, one, other)
    provider = routed(first, second, clock=clock, hedge=True)
    chunks = provider.stream("model", asked())
    if other is None:
        assert (await anext(chunks)).content == "by "
    else:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await anext(chunks)
        assert second.failed["server"] == 1
    await chunks.aclose()
    assert (first.in_flight, second.in_flight) == (0, 0)


async def test_a_client_that_leaves_ends_both() -> None:
    """Two calls are under way, and both end with it."""
    clock = Clock()
    first, second = pair(clock, hanging(), hanging())
    chunks = routed(first, second, clock=clock, hedge=True).stream("model", asked())
    telling = asyncio.ensure_future(anext(chunks))
    async with asyncio.timeout(5):
        while not second.in_flight:
            await asyncio.sleep(0)
    telling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await telling
    assert (first.in_flight, second.in_flight, first.cancelled, second.cancelled) == (0, 0, 1, 1)


async def test_two_that_answer_at_the_same_moment_are_one_answer() -> None:
    """The other one is closed."""
    clock = Clock()
    go = asyncio.Event()
    first, second = pair(clock, late(go), late(go))
    chunks = routed(first, second, clock=clock, hedge=True).stream("model", asked())
    telling = asyncio.ensure_future(anext(chunks))
    async with asyncio.timeout(5):
        while not second.in_flight:
            await asyncio.sleep(0)
    go.set()
    await telling
    assert first.in_flight + second.in_flight == 1
    await chunks.aclose()
    assert (first.in_flight, second.in_flight) == (0, 0)


def test_nobody_is_hedged_before_it_is_known() -> None:
    """A percentile of a few answers is none."""
    new = deployment("new")
    for _ in range(LEAST - 1):
        new.latencies(streamed=True).add(0.01)
    assert hedge_after(new, streamed=True) is None
    new.latencies(streamed=True).add(0.5)
    assert hedge_after(new, streamed=True) == 0.5
    assert hedge_after(new, streamed=False) is None
