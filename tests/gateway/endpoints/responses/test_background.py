"""Responses that are made in the background: how many, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.edge.context import Send
from gateway.endpoints.responses.background import Background
from gateway.endpoints.responses.echo import opening
from gateway.endpoints.responses.event_log import EventLog
from gateway.endpoints.responses.making import Making, Overheard
from gateway.errors import TooManyInBackground
from gateway.kept import AnswersInMemory
from gateway.telemetry.logs import logger
from graph import Event

BODY = {"model": "m", "input": "hi", "background": True}


def making(store: AnswersInMemory, name: str, answer: Callable[[], Awaitable[None]]) -> Making:
    """A response that this function makes."""
    api = Overheard()

    async def begin(_: Send) -> None:
        api.dialect(Event(id=f"req_{name}"), BODY)
        await answer()

    return Making("me", [], store, api, begin, opening(name, 1, BODY))


async def waiting() -> None:
    await asyncio.Event().wait()


async def breaking() -> None:
    raise ZeroDivisionError("a secret")


async def status_of(store: AnswersInMemory, response_id: str) -> str:
    found = await store.get("response", "me", response_id)
    assert found is not None
    return str(found.answer["status"])


async def test_one_that_is_cancelled_before_it_began_says_so() -> None:
    """Its task had not run at all; the second has begun."""
    store, background = AnswersInMemory(), Background(logger())
    background.start(("me", "resp_1"), making(store, "1", waiting), None)
    await background.cancel(("me", "resp_1"))
    log = EventLog()
    background.start(("me", "resp_2"), making(store, "2", waiting), log)
    await asyncio.sleep(0)
    await background.cancel(("me", "resp_2"))
    assert [await status_of(store, name) for name in ("resp_1", "resp_2")] == ["cancelled"] * 2
    assert [event async for event in log.follow(0)] == []


async def test_no_more_than_so_many_are_made_at_once() -> None:
    """One more is refused, until one has ended; closing ends all."""
    store, background = AnswersInMemory(), Background(logger(), most=2)
    for name in "12":
        background.check()
        background.start(("me", f"resp_{name}"), making(store, name, waiting), None)
    with pytest.raises(TooManyInBackground, match="2 responses"):
        background.check()
    await background.cancel(("me", "resp_1"))
    background.check()
    await background.close()
    assert await status_of(store, "resp_2") == "cancelled"


async def test_the_events_of_the_latest_stay() -> None:
    """Of as many as may be made at once."""
    store, background = AnswersInMemory(), Background(logger(), most=1)
    for name in "12":
        background.start(("me", name), making(store, name, waiting), EventLog())
        await background.cancel(("me", name))
    assert background.log_of(("me", "1")) is None
    assert background.log_of(("me", "2")) is not None
    background.forget(("me", "2"))
    assert background.log_of(("me", "2")) is None


async def test_one_that_breaks_is_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """Its caller is told that it failed, and nothing of why; the log says both."""
    store, background, log = AnswersInMemory(), Background(logger()), EventLog()
    background.start(("me", "resp_1"), making(store, "1", breaking), log)
    events = b"".join([event async for event in log.follow(0)])
    assert b"response.failed" in events
    assert b"a secret" not in events
    assert await status_of(store, "resp_1") == "failed"
    found = await store.get("response", "me", "resp_1")
    assert found is not None
    assert found.answer["created_at"] == 1  # as its caller was told before it began
    line = capsys.readouterr().err
    assert "resp_1" in line
    assert "a secret" in line
