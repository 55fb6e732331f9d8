"""Request bodies: bounded in length, in time and in what they hold."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from gateway.edge.body import MAX_VALUES, BodyReader, ClientLeft
from gateway.edge.context import Receive, Scope
from gateway.errors import BodyTimeout, BodyTooLarge, InvalidBody

READER = BodyReader(max_bytes=1_000_000, seconds=30)
PLAIN: Scope = {"headers": []}


def sent(*reads: bytes, ends: bool = True) -> Receive:
    """A client that sends a body in these reads; one that never ends goes silent after them."""
    waiting = list(reads)

    async def receive() -> MutableMapping[str, Any]:
        if not waiting:
            await asyncio.Event().wait()
        read = waiting.pop(0)
        return {"type": "http.request", "body": read, "more_body": bool(waiting) or not ends}

    return receive


async def test_a_body_in_pieces_is_parsed_once_it_is_whole() -> None:
    """Where the pieces are cut does not matter."""
    assert await READER.json(PLAIN, sent(b'{"a": "\xc3', b"", b'\xbc"}')) == {"a": "ü"}


async def test_a_body_that_never_ends_runs_into_the_timeout() -> None:
    """The error says how long was waited."""
    with pytest.raises(BodyTimeout, match=r"not here within 0\.01 seconds"):
        await BodyReader(1000, 0.01).json(PLAIN, sent(b'{"a": ', ends=False))


async def test_a_reader_that_is_cancelled_stops_reading() -> None:
    """Also after its first wait; what it waited for hears of it."""
    begun, heard = asyncio.Event(), asyncio.Event()

    async def receive() -> MutableMapping[str, Any]:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            heard.set()
        return {}

    reading = asyncio.ensure_future(READER.whole(PLAIN, receive))
    await begun.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert heard.is_set()


async def test_a_body_that_comes_late_is_read() -> None:
    """What was waited for is not lost."""
    come = asyncio.get_running_loop().create_future()

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": await come}

    reading = asyncio.ensure_future(READER.json(PLAIN, receive))
    asyncio.get_running_loop().call_soon(come.set_result, b"[1]")
    assert await reading == [1]


async def test_a_body_that_is_too_long_is_refused_before_it_is_whole() -> None:
    """Nothing is waited for any more once the limit is passed; a body of just that length is read."""
    reader = BodyReader(10, 30)
    assert await reader.json(PLAIN, sent(b'"12345678"')) == "12345678"
    with pytest.raises(BodyTooLarge, match="longer than 10 bytes"):
        await reader.json(PLAIN, sent(b'"123456789"', ends=False))


async def test_a_client_that_leaves_before_its_body_is_whole() -> None:
    """Nobody is there to be told what is wrong with it."""

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientLeft):
        await READER.json(PLAIN, receive)


async def test_a_body_of_too_many_values_is_refused_before_it_is_parsed() -> None:
    """Each array or object takes a hundred times the memory of its bytes; so many are read, and not one more."""
    most = b"[" + b",".join([b"[]"] * (MAX_VALUES - 1)) + b"]"
    assert len(await READER.json(PLAIN, sent(most))) == MAX_VALUES - 1
    with pytest.raises(InvalidBody, match=f"more than {MAX_VALUES} arrays and objects"):
        await READER.json(PLAIN, sent(most[:-1] + b",{}]"))


@pytest.mark.parametrize(
    "body", [b"[" * 1025 + b"]" * 1025, b'{"a":' * 201 + b"1" + b"}" * 201, b"[" * 100_000], ids=["[", "{", "open"]
)
async def test_a_body_that_is_nested_too_deeply_is_refused(body: bytes) -> None:
    """What could be read and not be written would fail wherever it is sent on, counted or compared."""
    with pytest.raises(InvalidBody, match=r"could not parse the JSON body|more than 200 levels"):
        await READER.json(PLAIN, sent(body))
    assert await READER.json(PLAIN, sent(b'[{"a": ' * 100 + b"1" + b"}]" * 100))


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 1}',
        b'{"a": {"b": 1, "c": ":", "b": 2}}',
        b'[{"a": 1}, {"b" : [], "b"\n:2, "c": "\\":"}]',
        b'{"a": 1, "\\u0061": 2}',
    ],
)
async def test_a_name_that_is_twice_in_an_object_is_refused(body: bytes) -> None:
    """The gateway and the upstream might not read the same one of them."""
    with pytest.raises(InvalidBody, match="the same name twice"):
        await READER.json(PLAIN, sent(body))


async def test_colons_in_strings_are_no_names() -> None:
    """Whatever stands in strings, with backslashes and quotes in it, nothing is twice."""
    body = b'{"a:b": "c\\\\\\":", "d": [{"a:b": ": \\"e\\":", "u": "http://x"}, "{:}"]}'
    assert len(await READER.json(PLAIN, sent(body))) == 2


async def test_a_body_that_is_announced_as_too_long_is_not_waited_for() -> None:
    """Its length is enough to refuse it."""
    with pytest.raises(BodyTooLarge):
        await BodyReader(10, 30).json({"headers": [(b"content-length", b"11")]}, sent(b"", ends=False))
