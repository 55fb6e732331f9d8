"""What a request refers to, and how responses that are made are followed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.endpoints.pages import page
from gateway.endpoints.responses.conversation import inlined
from gateway.endpoints.responses.event_log import EventLog
from gateway.errors import InvalidBody
from gateway.kept import AnswersInMemory, KeptAnswer
from llm import InvalidRequest

ITEM = {"id": "msg_1i0", "type": "message", "role": "user", "content": []}


def kept(response_id: str, **members: Any) -> KeptAnswer:
    response = {"id": response_id, "object": "response", "model": "m", "status": "completed", "output": [], **members}
    return KeptAnswer("me", response, [ITEM])


async def test_what_a_request_refers_to_is_put_into_it() -> None:
    """What was asked and answered before, then its own items; the response's id stays, for the answer to tell."""
    store = AnswersInMemory()
    said = {"id": "msg_2", "type": "message", "role": "assistant", "content": []}
    await store.put(kept("resp_1", output=[said]))
    body = {"model": "m", "input": "next", "previous_response_id": "resp_1"}
    whole = await inlined(body, "me", store)
    assert whole == {**body, "input": [ITEM, said, {"role": "user", "content": "next"}]}
    assert await inlined({"model": "m", "input": "alone"}, "me", store) == {"model": "m", "input": "alone"}


@pytest.mark.parametrize(("status", "code"), [("queued", "in_progress"), ("in_progress", "in_progress")])
async def test_what_is_being_made_cannot_be_gone_on_from(status: str, code: str) -> None:
    """Nobody knows yet what it says."""
    store = AnswersInMemory()
    await store.put(kept("resp_1", status=status))
    with pytest.raises(InvalidRequest) as raised:
        await inlined({"model": "m", "input": "next", "previous_response_id": "resp_1"}, "me", store)
    assert raised.value.code == f"previous_response_{code}"


def test_pages_of_items() -> None:
    """From either end, behind any of them; a page of nothing has no ids."""
    items = [{"id": name} for name in "abcd"]
    assert [item["id"] for item in page(items, None, 3, "asc")["data"]] == ["a", "b", "c"]
    assert [item["id"] for item in page(items, "c", 3, "desc")["data"]] == ["b", "a"]
    assert page(items, "b", 1, "asc") == {
        "object": "list",
        "data": [{"id": "c"}],
        "first_id": "c",
        "last_id": "c",
        "has_more": True,
    }
    assert page(items, "d", 1, "asc")["first_id"] is None


async def test_events_are_followed_from_any_of_them() -> None:
    """Those that are there at once, the others when they come, until the end."""
    log = EventLog()
    log.add(b"0\n\n1\n\n")

    async def follow(number: int) -> list[bytes]:
        return [event async for event in log.follow(number)]

    first, second = asyncio.create_task(follow(0)), asyncio.create_task(follow(2))
    await asyncio.sleep(0)
    log.add(b"2\n\n")
    await asyncio.sleep(0)
    log.end()
    assert await first == [b"0\n\n", b"1\n\n", b"2\n\n"]
    assert await second == [b"2\n\n"]
    assert await follow(3) == []


async def test_the_oldest_events_go_first() -> None:
    """Whoever wants them then is told so."""
    log = EventLog(max_bytes=6)
    log.add(b"0\n\n1\n\n2\n\n")
    log.end()
    assert [event async for event in log.follow(1)] == [b"1\n\n", b"2\n\n"]
    with pytest.raises(InvalidBody, match="before number 1"):
        log.check(0)
