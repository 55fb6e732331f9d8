"""Batch: case 17 of the behaviour of serving graphs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from graph import Batch, Event, Flow, InvalidStep, RunError, Unbatch
from llm import Usage


class Model:
    """Answers a list of bodies at once, and keeps what it was given."""

    def __init__(self) -> None:
        self.given: list[list[Any]] = []

    async def do(self, bodies: list[Any]) -> list[Any]:
        self.given.append(list(bodies))
        return [f"answer to {body}" for body in bodies]


def batched(model: Any, *after: Any, **options: Any) -> Flow:
    flow = Flow("batched")
    step = flow.to(Batch, name="batch", **options).to(model, name="model").to(Unbatch(), name="unbatch")
    for index, more in enumerate(after):
        step = step.to(more, name=f"after{index}")
    step.respond()
    return flow


async def answers(*runs: Any, whatever: bool = False) -> list[Any]:
    """The answers of runs at the same time; with ``whatever`` their errors too."""
    return list(await asyncio.gather(*runs, return_exceptions=whatever))


async def test_case_17_each_request_gets_its_own_answer_back() -> None:
    """Three requests at once, two to a batch, the third after a while: all answer, in one model call a batch."""
    model = Model()
    flow = batched(model, str.upper, max_events=2, flush_after_seconds=0.02)
    assert await asyncio.gather(*(flow.run(index) for index in range(3))) == [
        f"ANSWER TO {index}" for index in range(3)
    ]
    assert model.given == [[0, 1], [2]]


async def test_case_17_flat_map_ends_a_batch_too() -> None:
    """Any step that makes several of one does, in the order of the events."""

    class FlatMap:
        expands = True

        def do(self, body: list[str]) -> Iterator[str]:
            yield from body

    flow = Flow()
    flow.to(Batch(2), name="batch").to(Model(), name="model").to(FlatMap(), name="flat").respond()
    assert flow.streaming.kind == "whole"
    assert await answers(flow.run("a"), flow.run("b")) == ["answer to a", "answer to b"]


async def test_a_batch_of_one_does_not_wait() -> None:
    """max_events=1 is no batch at all."""
    assert await batched(Model(), max_events=1).run(5) == "answer to 5"


async def test_the_list_may_hold_events() -> None:
    """With full_event the model sees who asked."""

    def who(events: list[Event]) -> list[str]:
        return [event.caller for event in events]

    flow = Flow()
    flow.to(Batch, name="batch", max_events=2, full_event=True).to(who).to(Unbatch(), name="unbatch").respond()
    runs = [flow.start(Event(None, caller=name)) for name in ("ann", "bob")]
    assert await answers(*(run.result() for run in runs)) == ["ann", "bob"]


async def test_only_events_of_one_key_go_together() -> None:
    """Others have batches of their own."""
    model = Model()
    flow = batched(model, max_events=2, flush_after_seconds=5, key=lambda body: body % 2)
    await asyncio.gather(*(flow.run(number) for number in range(4)))
    assert sorted(model.given) == [[0, 2], [1, 3]]


async def test_what_fails_together_fails_for_each() -> None:
    """Every request gets the error, may handle it by itself, and the next batch works."""
    calls = 0

    def flaky(bodies: list[Any]) -> list[Any]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ValueError("broken")
        return bodies

    flow = batched(flaky, max_events=2)
    failed = await answers(flow.run(1), flow.run(2), whatever=True)
    assert [str(error) for error in failed] == ["broken", "broken"]
    assert await answers(flow.run(1), flow.run(2)) == [1, 2]


@pytest.mark.parametrize("whose", ["the step's", "the flow's"])
async def test_each_event_is_handled_by_itself_where_they_failed_together(whose: str) -> None:
    """By the handler of the step that failed, with its own body; it was given the list, and nobody had an answer."""

    def broken(bodies: list[Any]) -> list[Any]:
        raise ValueError("broken")

    flow = Flow()
    step = flow.to(Batch(2), name="batch").to(broken, name="broken")
    step.to(Unbatch(), name="unbatch").respond()
    (step if whose == "the step's" else flow).error_handler(
        lambda event: (event.origin_state, event.body, str(event.error)), name="handler", full_event=True
    )
    assert await answers(flow.run(1), flow.run(2)) == [("broken", 1, "broken"), ("broken", 2, "broken")]


async def test_the_error_of_a_batch_is_told_once_by_its_step() -> None:
    """As one error is raised for all, each of them added a note, of the step that gathers."""

    def broken(bodies: list[Any]) -> list[Any]:
        raise ValueError("broken")

    flow = batched(broken, max_events=2)
    failed = await answers(flow.run(1), flow.run(2), whatever=True)
    assert [error.__notes__ for error in failed] == [["in step 'model' of flow 'batched'"]] * 2


@pytest.mark.parametrize(("made", "message"), [([1], "1 results came out"), ([1, 2, 3], "3 results came out")])
async def test_results_must_be_as_many_as_events(made: list[int], message: str) -> None:
    """Nobody gets somebody else's answer."""
    flow = batched(lambda bodies: made, max_events=2)
    failed = await answers(flow.run(1), flow.run(2), whatever=True)
    for error in failed:
        assert isinstance(error, RunError)
        assert f"2 events went together from 'batch', and {message} of 'unbatch'" in str(error)


async def test_who_leaves_before_the_batch_starts_is_not_taken_along() -> None:
    """The others do not wait for it, and do not pay for it."""
    model = Model()
    flow = batched(model, max_events=2)
    leaving = asyncio.create_task(flow.run("left"))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert await answers(flow.run("a"), flow.run("b")) == ["answer to a", "answer to b"]
    assert model.given == [["a", "b"]]


async def test_when_everybody_has_left_the_work_ends() -> None:
    """One that leaves alone ends nothing; the last one does."""
    working, ended = asyncio.Event(), asyncio.Event()

    async def stuck(bodies: list[Any]) -> list[Any]:
        try:
            working.set()
            await asyncio.Event().wait()
        finally:
            ended.set()
        return bodies

    flow = batched(stuck, max_events=2)
    first, second = asyncio.create_task(flow.run(1)), asyncio.create_task(flow.run(2))
    await working.wait()
    first.cancel()
    await asyncio.wait([first])
    assert not ended.is_set()
    second.cancel()
    await asyncio.wait([second])
    await asyncio.wait_for(ended.wait(), 5)


async def test_what_a_batch_costs_is_paid_however_it_ends() -> None:
    """By all when it fails; by those who stay when one leaves, and by the last one when all do: it was lost."""
    working, left = asyncio.Event(), asyncio.Event()

    async def spend(event: Event) -> None:
        event.account("m", Usage.of(4, 2))
        if event.body == [1, 2]:
            raise ValueError("broken")
        working.set()
        await left.wait()

    flow = Flow()
    flow.to(Batch(2), name="batch").to(spend, name="spend", full_event=True).to(Unbatch(), name="unbatch").respond()

    failed = [flow.start(Event(body)) for body in (1, 2)]
    await answers(*(run.result() for run in failed), whatever=True)
    assert [run.usage for run in failed] == [Usage.of(2, 1)] * 2
    for leaving, paid in ((1, [Usage(), Usage.of(4, 2)]), (2, [Usage(), Usage.of(4, 2)])):
        working.clear()
        left.clear()
        runs = [flow.start(Event(body)) for body in "ab"]
        tasks = [asyncio.create_task(run.result()) for run in runs]
        await working.wait()
        for task in tasks[:leaving]:
            task.cancel()
            await asyncio.wait([task])
        left.set()
        await asyncio.wait(tasks)
        assert [run.usage for run in runs] == paid


async def test_what_a_batch_costs_is_shared_out() -> None:
    """The shares of all requests add up to what the model call cost."""

    def spend(event: Event) -> None:
        event.account("m", Usage.of(5, 2))

    flow = Flow()
    flow.to(Batch(2), name="batch").to(spend, name="spend", full_event=True).to(Unbatch(), name="unbatch").respond()
    runs = [flow.start(Event(index)) for index in range(2)]
    await asyncio.gather(*(run.result() for run in runs))
    assert [run.usage for run in runs] == [Usage.of(3, 1), Usage.of(2, 1)]


async def test_a_batch_inside_a_cycle() -> None:
    """Requests may meet again and again, each until it has enough."""

    class Enough:
        def do(self, body: int) -> int:
            return body

        def select_outlets(self, body: int) -> str:
            return "batch" if body < 3 else "end"

    flow = Flow(allow_cyclic=True)
    flow.to(Batch(2, flush_after_seconds=0.01), name="batch").to(
        lambda bodies: [body + 1 for body in bodies], name="model"
    ).to(Unbatch(), name="unbatch").to(Enough(), name="enough").cycle_to("batch").to("{}".format, name="end").respond()
    assert await answers(flow.run(0), flow.run(2)) == ["3", "3"]


def test_a_batch_that_nobody_parts_is_refused() -> None:
    """Without Unbatch or FlatMap nobody would get an answer of their own."""
    flow = Flow()
    flow.to(Batch(2), name="batch").to(Model(), name="model").respond()
    with pytest.raises(InvalidStep, match="'batch' batches events and no step parts them again; put an Unbatch"):
        flow.validate()


@pytest.mark.parametrize("arguments", [(0, None), (2, -1)])
def test_a_batch_that_cannot_be(arguments: tuple[int, float | None]) -> None:
    """Numbers that make no sense are refused where they are written."""
    with pytest.raises(InvalidStep, match="cannot be"):
        Batch(*arguments)
