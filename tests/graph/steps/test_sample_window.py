"""SampleWindow."""

from __future__ import annotations

from typing import Any

import pytest

from graph import DROPPED, Event, Flow, InvalidStep
from graph.steps.flat_map import Flatten
from graph.steps.sample_window import SampleWindow


def sampling(step: SampleWindow, **options: Any) -> Flow:
    flow = Flow()
    flow.to(step, name="sample", **options).to(lambda body: {"passed": body}, name="end").respond()
    return flow


async def passed(flow: Flow, bodies: list[Any]) -> list[Any]:
    """The bodies that got an answer."""
    answers = [await flow.run(body) for body in bodies]
    return [answer["passed"] for answer in answers if answer is not None]


@pytest.mark.parametrize(("emit", "numbers"), [("first", [0, 3, 6]), ("last", [2, 5])])
@pytest.mark.parametrize("full_event", [False, True])
async def test_case_16_of_a_window_of_runs_one_passes(emit: Any, numbers: list[int], full_event: bool) -> None:
    """The others are dropped, which ends their run without an answer."""
    flow = sampling(SampleWindow(3, emit), full_event=full_event)
    assert await passed(flow, list(range(7))) == numbers


async def test_of_the_chunks_of_a_stream_too() -> None:
    """Every third chunk reaches the client, and the count goes on with the next stream."""
    flow = Flow()
    flow.to(Flatten(), name="numbers").to(SampleWindow(3), name="sample").respond()
    assert await flow.run([0, 1, 2, 3, 4]) == [0, 3]
    assert await flow.run([5, 6, 7]) == 6


@pytest.mark.parametrize("key", ["user", lambda body: body["user"]])
async def test_every_key_has_its_own_window(key: Any) -> None:
    """By the key of a dict body, or by what a function says."""
    flow = sampling(SampleWindow(2, "first", key))
    bodies = [{"user": user, "n": n} for n, user in enumerate("aabab")]
    assert [body["n"] for body in await passed(flow, bodies)] == [0, 2, 3]


async def test_the_key_used_longest_ago_is_forgotten() -> None:
    """Its window begins again."""
    flow = sampling(SampleWindow(3, key=str, max_keys=2))
    assert await passed(flow, list("abcab")) == ["a", "b", "c", "a", "b"]


def test_what_does_not_pass_is_dropped() -> None:
    """Of an event it is the event that passes."""
    step = SampleWindow(2)
    event = Event(1)
    assert step.do(event) is event
    assert step.do(event) is DROPPED


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window_size": 1}, "2 events or more"),
        ({"window_size": 2, "max_keys": 0}, "at least 1 key"),
        ({"window_size": 2, "emit": "middle"}, "write 'first' or 'last'"),
        ({"window_size": 2, "key": 3}, "no function"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_build(arguments: dict[str, Any], message: str) -> None:
    """A window of one, a word that nobody knows, a key that is no function."""
    with pytest.raises(InvalidStep, match=message):
        SampleWindow(**arguments)
