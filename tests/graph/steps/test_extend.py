"""Extend."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest

from graph import Event, Flow, InvalidPath, InvalidStep, RunError
from graph.steps.extend import Extend


def one(step: Any, **options: Any) -> Flow:
    flow = Flow()
    flow.to(step, name="step", **options).respond()
    return flow


def size(body: dict[str, Any]) -> dict[str, Any]:
    return {"size": len(body)}


async def size_later(body: dict[str, Any]) -> dict[str, Any]:
    return size(body)


def size_awaited(body: dict[str, Any]) -> Awaitable[dict[str, Any]]:
    return size_later(body)


@pytest.mark.parametrize("fn", [size, size_later, size_awaited])
async def test_the_body_gets_more_keys(fn: Any) -> None:
    """What the function returns is added or replaced; the dict that came in stays as it was."""
    body = {"a": 1, "size": None}
    assert await one(Extend(fn)).run(body) == {"a": 1, "size": 2}
    assert body == {"a": 1, "size": None}


async def test_with_an_expression() -> None:
    """MLRun's line, word for word."""
    assert await one(Extend, _fn='({"extend": "something"})').run({"a": 1}) == {"a": 1, "extend": "something"}


async def test_with_the_event() -> None:
    """The function sees the event, and its body is what gets more keys."""

    def with_id(event: Event) -> dict[str, str]:
        return {"id": event.id}

    flow = one(Extend(with_id), full_event=True)
    assert await flow.run(Event({"a": 1}, id="x")) == {"a": 1, "id": "x"}


async def test_on_the_chunks_of_a_stream() -> None:
    """Each chunk is a dict of its own."""
    flow = Flow()
    flow.to(lambda body: ({"n": n} for n in body), name="numbers").to(Extend(size), name="extend").respond()
    assert await flow.run([1, 2]) == [{"n": 1, "size": 1}, {"n": 2, "size": 1}]


async def test_what_is_no_dict_is_named() -> None:
    """Both the body and what the function returns must be dicts."""
    with pytest.raises(InvalidPath, match="the body is a list, no dict; Extend needs one"):
        await one(Extend(lambda body: {})).run([1])
    with pytest.raises(RunError, match="must return a dict; it returned a NoneType"):
        await one(Extend(lambda body: None)).run({})


def test_a_generator_is_refused() -> None:
    """Nobody would run it."""

    def generator(body: Any) -> Any:
        yield body

    with pytest.raises(InvalidStep, match=r"Extend: .* is a generator; only Map and FlatMap can stream"):
        Extend(generator)
