"""Request bodies: bounded in length, in time and in what they hold."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from gateway.edge.body import MAX_VALUES, BodyReader, ClientLeft
from gateway.edge.context import Receive
from gateway.errors import BodyTimeout, BodyTooLarge, InvalidBody

READER = BodyReader(max_bytes=1_000_000, seconds=30)


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
    assert await READER.json(sent(b'{"a": "\xc3', b"", b'\xbc"}')) == {"a": "ü"}


async def test_a_body_that_never_ends_runs_into_the_timeout() -> None:
    """The error says how long was waited."""
    with pytest.raises(BodyTimeout, match=r"not here within 0\.01 seconds"):
        await BodyReader(1000, 0.01).json(sent(b'{"a": ', ends=False))


async def test_a_body_that_is_too_long_is_refused_before_it_is_whole() -> None:
    """Nothing is waited for any more once the limit is passed; a body of just that length is read."""
    reader = BodyReader(10, 30)
    assert await reader.json(sent(b'"12345678"')) == "12345678"
    with pytest.raises(BodyTooLarge, match="longer than 10 bytes"):
        await reader.json(sent(b'"123456789"', ends=False))


async def test_a_client_that_leaves_before_its_body_is_whole() -> None:
    """Nobody is there to be told what is wrong with it."""

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientLeft):
        await READER.json(receive)


async def test_a_body_of_too_many_values_is_refused_before_it_is_parsed() -> None:
    """Each array or object takes a hundred times the memory of its bytes; so many are read, and not one more."""
    most = b"[" + b",".join([b"[]"] * (MAX_VALUES - 1)) + b"]"
    assert len(await READER.json(sent(most))) == MAX_VALUES - 1
    with pytest.raises(InvalidBody, match=f"more than {MAX_VALUES} arrays and objects"):
        await READER.json(sent(most[:-1] + b",{}]"))


@pytest.mark.parametrize(
    "body", [b"[" * 1025 + b"]" * 1025, b'{"a":' * 1025 + b"1" + b"}" * 1025, b"[" * 100_000], ids=["[", "{", "open"]
)
async def test_a_body_that_is_nested_too_deeply_is_refused(body: bytes) -> None:
    """A thousand levels, and then it is the caller's fault."""
    with pytest.raises(InvalidBody, match="could not parse the JSON body"):
        await READER.json(sent(body))
    assert await READER.json(sent(b"[" * 1000 + b"]" * 1000))
