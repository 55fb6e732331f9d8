"""Responses that are kept, what they are made of, and how they are followed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.endpoints.responses.conversation import inlined, page
from gateway.endpoints.responses.event_log import EventLog
from gateway.endpoints.responses.kept import KeptResponse, ResponsesInMemory
from gateway.errors import InvalidBody
from llm import InvalidRequest

ITEM = {"id": "msg_1i0", "type": "message", "role": "user", "content": []}


def kept(response_id: str, owner: str = "me", **members: Any) -> KeptResponse:
    return KeptResponse(owner, {"id": response_id, "status": "completed", "output": [], **members}, [ITEM])


async def ids_of(store: ResponsesInMemory, *ids: str) -> list[str]:
    """Those of the ids that are still kept."""
    return [name for name in ids if await store.get("me", name) is not None]


async def test_a_response_is_kept_for_its_owner() -> None:
    """As it was put, the latest of its id; for nobody else."""
    store = ResponsesInMemory()
    await store.put(kept("a", status="queued"))
    await store.put(kept("a"))
    assert await store.get("me", "a") == kept("a")
    assert await store.get("you", "a") is None
    assert await store.delete("you", "a") is False
    assert [await store.delete("me", "a"), await store.delete("me", "a")] == [True, False]


async def test_the_oldest_go_first() -> None:
    """When there are too many, and when they are too large; what is put again is the newest."""
    few = ResponsesInMemory(most=2)
    for name in "abac":
        await few.put(kept(name))
    assert await ids_of(few, *"abc") == ["a", "c"]
    small = ResponsesInMemory(max_bytes=3 * len(kept("a").to_json()))
    for name in "abcd":
        await small.put(kept(name))
    assert await ids_of(small, *"abcd") == ["b", "c", "d"]
    await small.put(kept("e", text="x" * 1000))
    assert await ids_of(small, *"abcde") == []
    await small.put(kept("f"))
    assert await ids_of(small, "f") == ["f"]


async def test_what_a_request_refers_to_is_put_into_it() -> None:
    """What was asked and answered before, then its own items; the response's id stays, for the answer to tell."""
    store = ResponsesInMemory()
    said = {"id": "msg_2", "type": "message", "role": "assistant", "content": []}
    await store.put(kept("resp_1", output=[said]))
    body = {"model": "m", "input": "next", "previous_response_id": "resp_1"}
    whole = await inlined(body, "me", store)
    assert whole == {**body, "input": [ITEM, said, {"role": "user", "content": "next"}]}
    assert await inlined({"model": "m", "input": "alone"}, "me", store) == {"model": "m", "input": "alone"}


@pytest.mark.parametrize(("status", "code"), [("queued", "in_progress"), ("in_progress", "in_progress")])
async def test_what_is_being_made_cannot_be_gone_on_from(status: str, code: str) -> None:
    """Nobody knows yet what it says."""
    store = ResponsesInMemory()
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
