"""Map, and the expressions that may stand for its function."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Any

import pytest

from graph import Event, Flow, InvalidStep, StepTimeout
from graph.steps.map import Map
from graph.written.expression import Expression


def one(step: Any, **options: Any) -> Flow:
    flow = Flow()
    flow.to(step, name="step", **options).respond()
    return flow


async def words(body: str) -> AsyncGenerator[str, None]:
    for word in body.split():
        yield word


async def later(body: str) -> str:
    await asyncio.sleep(0)
    return body.upper()


def awaited(body: str) -> Awaitable[str]:
    return later(body)


@pytest.mark.parametrize("fn", [str.upper, later, awaited])
async def test_the_body_becomes_what_the_function_returns(fn: Any) -> None:
    """A function, an async one, and one that returns something to await do the same."""
    assert await one(Map(fn)).run("a") == "A"
    assert await one(Map, _fn=fn).run("a") == "A"


async def test_it_works_on_the_chunks_of_a_stream() -> None:
    """Each chunk is mapped by itself."""
    flow = Flow()
    flow.to(words).to(Map(later), name="map").respond()
    assert await flow.run("a b") == ["A", "B"]
    assert flow.streaming.kind == "live"


async def test_a_generator_streams() -> None:
    """As with every step, and seen when the flow is built."""
    flow = one(Map(words))
    assert flow.streaming.kind == "live"
    async with aclosing(flow.stream("a b")) as chunks:
        assert [chunk async for chunk in chunks] == ["a", "b"]


async def test_the_options_see_whether_the_function_is_async() -> None:
    """A deadline holds for an async function, a plain one can have a thread."""
    hanging = asyncio.Event()
    with pytest.raises(StepTimeout):
        await one(Map(waits), timeout=0.01).run(hanging)
    with pytest.raises(InvalidStep, match="a plain def cannot be stopped"):
        one(Map(str.upper), timeout=1).validate()
    assert await one(Map(str.upper), execution_mechanism="thread_pool").run("a") == "A"


async def waits(body: asyncio.Event) -> None:
    await body.wait()


@pytest.mark.parametrize(
    ("text", "body", "full_event", "answer"),
    [
        ("(event.body)", [1], True, [1]),
        ("event['x'] + 1", {"x": 1}, False, 2),
        ("body['x'] + 1", {"x": 1}, True, 2),
        ('({"extend": "something"})', None, False, {"extend": "something"}),
        ("{key: len(value) for key, value in body.items() if value}", {"a": "xyz", "b": ""}, False, {"a": 3}),
        ("sorted(body)[:2] if isinstance(body, list) else f'{body}'", [3, 1, 2], False, [1, 2]),
        ("body.split('#')  # a comment", "a#b", False, ["a", "b"]),
        ("  body.upper()\n", "a", False, "A"),
    ],
)
async def test_an_expression_stands_for_a_function(text: str, body: Any, full_event: bool, answer: Any) -> None:
    """``body`` is the body; ``event`` the event with full_event, else the body too."""
    assert await one(Map, _fn=text, full_event=full_event).run(body) == answer


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no expression"),
        ("body +", "no expression"),
        ("body = 1", "no expression"),
        ("body), (body", "no expression"),
        ("boody", "'boody' is not known; known are event, body, abs"),
        ("open('x')", "'open' is not known"),
        ("__import__('os')", "'__import__' is not known"),
        ("body.__class__", "'body.__class__' is too much for an expression; write a function"),
        ("lambda: body", "too much"),
        ("(x := body)", "too much"),
        ("[(yield body)]", "too much"),
    ],
)
def test_a_wrong_expression_is_refused_when_it_is_given(text: str, message: str) -> None:
    """One expression over known names, or an error that shows it."""
    with pytest.raises(InvalidStep) as raised:
        one(Map, _fn=text).validate()
    assert message in str(raised.value)
    assert repr(text) in str(raised.value)


def test_an_expression_can_be_pickled() -> None:
    """It goes to another process as its text."""
    again = pickle.loads(pickle.dumps(Map(_fn="body + 1")))
    assert again.do(1) == 2
    assert again.do(Event(1)) == 2
    assert repr(again.do) == "Expression('body + 1')"
    assert isinstance(again.do, Expression)


@pytest.mark.parametrize("arguments", [{}, {"fn": str, "_fn": "body"}, {"fn": 3}, {"fn": "body"}])
def test_it_needs_exactly_one_function(arguments: dict[str, Any]) -> None:
    """None, two, and what cannot be called are refused when the step is made."""
    with pytest.raises(InvalidStep, match="Map"):
        Map(**arguments)
