"""MapWithState."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from graph import Event, Flow, InvalidPath, InvalidStep, RunError
from graph.steps.flat_map import Flatten
from graph.steps.stateful import MapWithState


def counting(step: MapWithState, **options: Any) -> Flow:
    flow = Flow()
    flow.to(step, name="state", **options).respond()
    return flow


def total(body: Any, state: int) -> tuple[int, int]:
    """The sum of all numbers so far."""
    number = body["n"] if isinstance(body, dict) else body
    return state + number, state + number


async def total_later(body: int, state: int) -> tuple[int, int]:
    await asyncio.sleep(0)
    return total(body, state)


@pytest.mark.parametrize("fn", [total, total_later])
async def test_state_is_kept_from_run_to_run(fn: Any) -> None:
    """Each run sees what the one before it has left."""
    flow = counting(MapWithState(10, fn))
    assert [await flow.run(number) for number in (1, 2, 3)] == [11, 13, 16]


def test_state_outlives_the_loop() -> None:
    """Runs in one loop after the other go on where the last one ended."""
    flow = counting(MapWithState(0, total_later))
    assert [asyncio.run(flow.run(number)) for number in (1, 2, 3)] == [1, 3, 6]


async def test_runs_that_overlap_take_turns() -> None:
    """A run that waits inside the function keeps the next one out until it has left its state."""
    entered, go_on = asyncio.Event(), asyncio.Event()
    inside: list[int] = []

    async def slow(body: int, state: int) -> tuple[int, int]:
        inside.append(body)
        entered.set()
        await go_on.wait()
        return total(body, state)

    flow = counting(MapWithState(0, slow))
    runs = [asyncio.create_task(flow.run(number)) for number in (1, 2, 3)]
    await entered.wait()
    assert inside == [1]
    go_on.set()
    assert await asyncio.gather(*runs) == [1, 3, 6]


async def test_every_chunk_of_a_stream_sees_the_one_before() -> None:
    """A running total over chunks, and over runs."""
    flow = Flow()
    flow.to(Flatten(), name="numbers").to(MapWithState(0, total), name="total").respond()
    assert await flow.run([1, 2, 3]) == [1, 3, 6]
    assert await flow.run([1, 1]) == [7, 8]


@pytest.mark.parametrize("group_by", ["user", lambda body: body["user"]])
async def test_groups_have_a_state_each(group_by: Any) -> None:
    """By the key of a dict body, or by what a function says."""
    flow = counting(MapWithState(0, total, group_by))
    users = [("a", 1), ("b", 10), ("a", 2), ("b", 20)]
    assert [await flow.run({"user": user, "n": n}) for user, n in users] == [1, 10, 3, 30]


async def test_groups_do_not_wait_for_each_other() -> None:
    """While one is busy, another goes on."""
    go_on = asyncio.Event()

    async def slow(body: dict[str, Any], state: int) -> tuple[str, int]:
        if body["user"] == "slow":
            await go_on.wait()
        return body["user"], state

    flow = counting(MapWithState(0, slow, "user"))
    waiting = asyncio.create_task(flow.run({"user": "slow"}))
    assert await flow.run({"user": "quick"}) == "quick"
    go_on.set()
    assert await waiting == "slow"


async def test_the_group_used_longest_ago_is_forgotten() -> None:
    """Only so many are remembered; one that was forgotten begins again."""
    flow = counting(MapWithState(0, total, "user", max_groups=2))
    totals = [await flow.run({"user": user, "n": 1}) for user in "abacba"]
    assert totals == [1, 1, 2, 1, 1, 1]


async def test_a_group_with_a_run_in_it_is_not_forgotten() -> None:
    """However many others come by, what the run leaves is kept for the next one that waits for it."""
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def slow(body: dict[str, Any], state: int) -> tuple[int, int]:
        if body["user"] == "slow":
            entered.set()
            await go_on.wait()
        return total(body, state)

    step = MapWithState(0, slow, "user", max_groups=1)
    flow = counting(step)
    waiting = [asyncio.create_task(flow.run({"user": "slow", "n": 1})) for _ in range(2)]
    await entered.wait()
    for user in "abc":
        assert await flow.run({"user": user, "n": 1}) == 1
    go_on.set()
    assert await asyncio.gather(*waiting) == [1, 2]
    assert list(step._groups) == ["slow"]


@pytest.mark.parametrize("initial", [[], list])
async def test_a_state_is_copied_or_made_for_each_group(initial: Any) -> None:
    """Groups do not share what they begin with."""

    def gathered(body: str, state: list[str]) -> tuple[list[str], list[str]]:
        state.append(body)
        return list(state), state

    flow = counting(MapWithState(initial, gathered, str.lower))
    assert [await flow.run(body) for body in "abA"] == [["a"], ["b"], ["a", "A"]]


async def test_a_run_that_fails_leaves_the_state() -> None:
    """The next one sees what the last good one has left; a run that was cancelled counts as failed."""
    entered = asyncio.Event()

    async def picky(body: int, state: int) -> tuple[int, int]:
        if body < 0:
            raise ValueError("negative")
        if body == 0:
            entered.set()
            await asyncio.Event().wait()
        return total(body, state)

    flow = counting(MapWithState(0, picky))
    assert await flow.run(1) == 1
    with pytest.raises(ValueError, match="negative"):
        await flow.run(-1)
    left = asyncio.create_task(flow.run(0))
    await entered.wait()
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    assert await flow.run(2) == 3


async def test_with_the_event() -> None:
    """With full_event both functions are given the event."""

    def seen(event: Event, state: int) -> tuple[str, int]:
        return f"{event.caller} {state}", state + 1

    flow = counting(MapWithState(0, seen, lambda event: event.caller), full_event=True)
    assert [await flow.run(Event(caller=caller)) for caller in "aab"] == ["a 0", "a 1", "b 0"]


async def test_what_the_function_returns_must_be_a_pair() -> None:
    """A body and a state; anything else is an error that says what it was."""
    with pytest.raises(RunError, match=r"must return \(body, state\); it returned a int"):
        await counting(MapWithState(0, lambda body, state: 1)).run()


async def test_a_body_without_the_key_of_its_group_is_an_error() -> None:
    """It is named."""
    with pytest.raises(InvalidPath, match="MapWithState groups by the key 'user', which the body does not have"):
        await counting(MapWithState(0, total, "user")).run({"n": 1})


def test_what_cannot_be_meant_is_refused_at_build() -> None:
    """No function, no group to remember, and a mechanism that would split the state."""
    with pytest.raises(InvalidStep, match="3 is no function"):
        MapWithState(0, 3)  # type: ignore[arg-type]
    with pytest.raises(InvalidStep, match="from 1 on"):
        MapWithState(0, total, max_groups=0)
    with pytest.raises(InvalidStep, match="thread_pool needs a plain def"):
        counting(MapWithState(0, total), execution_mechanism="thread_pool").validate()
