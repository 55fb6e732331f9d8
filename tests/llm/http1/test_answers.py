"""What an upstream may send, whole and in parts: each answer is right, or an error of ours, and none is another's."""

from __future__ import annotations

import gzip
import socket
import zlib
from struct import pack

import pytest

from llm.errors import UpstreamBrokeOff, UpstreamError, UpstreamGarbled, UpstreamUnreachable
from llm.http1.coding import PIECE
from llm.http1.connection import MAX_HEAD_BYTES
from llm.http1.transport import HttpTransport
from tests.llm.http1.raw import OK, Exchange, RawServer, Serving, always, chunked, length, once

EARLY = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\ncontent-length: 3\r\n\r\n"
LONG = bytes(range(256)) * 400
RAW = zlib.compressobj(wbits=-15)
CODED = {
    "gzip": gzip.compress(LONG),
    "x-gzip": gzip.compress(LONG[:1000]) + gzip.compress(LONG[1000:]),
    "deflate": zlib.compress(LONG),
    "Deflate": RAW.compress(LONG) + RAW.flush(),
}


async def asked(url: str, transport: HttpTransport, method: str = "POST") -> tuple[int, bytes]:
    """Status and body of an answer."""
    response = await transport.request(method, url, {}, b"{}" if method == "POST" else None)
    try:
        return response.status, await response.read()
    finally:
        response.close()


async def twice(serve: Serving, method: str = "POST") -> tuple[list[tuple[int, bytes]], int]:
    """Two answers one after the other, and over how many connections they came."""
    async with RawServer(serve) as server:
        transport = HttpTransport()
        try:
            return [await asked(server.url, transport, method) for _ in range(2)], server.connections
        finally:
            await transport.close()


def bytewise(answer: bytes) -> tuple[bytes, ...]:
    return tuple(answer[i : i + 1] for i in range(len(answer)))


WHOLE = [
    (length(b"ab"), 200, b"ab"),
    (length(b""), 200, b""),
    (length(b"ab", b"x-empty:"), 200, b"ab"),
    (chunked(b"a", b"b"), 200, b"ab"),
    (chunked(b"ab", trailers=b"x-sum: 1\r\nx-more: 2\r\n"), 200, b"ab"),
    (OK + b"transfer-encoding: chunked\r\n\r\n2;a=b\r\nab\r\n0;c\r\n\r\n", 200, b"ab"),
    (EARLY + length(b"ab"), 200, b"ab"),
    (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", 304, b""),
    (b"HTTP/1.1 404\r\ncontent-length: 2\r\n\r\nno", 404, b"no"),
]


@pytest.mark.parametrize(("answer", "status", "body"), WHOLE)
@pytest.mark.parametrize("split", [False, True])
async def test_a_whole_answer_leaves_its_connection_to_the_next_one(
    answer: bytes, status: int, body: bytes, split: bool
) -> None:
    """Interim answers and trailers are part of it, and a byte may be a packet."""
    answers, connections = await twice(always(*bytewise(answer)) if split else always(answer))
    assert answers == [(status, body)] * 2
    assert connections == 1


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (OK + b"\r\nab", b"ab"),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nab", b"ab"),
        (length(b"ab", b"connection: close"), b"ab"),
        (length(b"ab") + b"\r\n", b"ab"),
        (length(b"ab"), b"ab"),
    ],
)
async def test_an_answer_may_end_with_its_connection(answer: bytes, body: bytes) -> None:
    """Whether it says so or not; the next request goes over a new one, and is never lost."""
    answers, connections = await twice(once(answer))
    assert answers == [(200, body)] * 2
    assert connections == 2


async def test_the_answer_to_head_has_no_body() -> None:
    """Whatever its length says; and its connection is not used again."""
    answers, connections = await twice(always(OK + b"content-length: 5\r\n\r\n"), "HEAD")
    assert answers == [(200, b"")] * 2
    assert connections == 2


@pytest.mark.parametrize(
    "surplus",
    [length(b"xx"), b"H", b"garbage", b"\r\nHTTP/1.1 100 Continue\r\n\r\n"],
)
@pytest.mark.parametrize("joined", [True, False])
async def test_an_answer_that_nobody_asked_for_is_nobodys(surplus: bytes, joined: bool) -> None:
    """Its connection is dropped; the right answer before it is whole."""
    right = length(b"ab")
    answers, connections = await twice(always(right + surplus) if joined else always(right, surplus))
    assert answers == [(200, b"ab")] * 2
    assert connections == 2


GARBLED = [
    b"garbage\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabXX0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nx : y\r\ncontent-length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nx: a\r\n folded\r\ncontent-length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nx: a\ncontent-length: 2\r\n\r\nab",
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    length(b"ab", b"content-encoding: br"),
    OK + b"x-big: " + b"y" * (8 * MAX_HEAD_BYTES) + b"\r\ncontent-length: 2\r\n\r\nab",
    EARLY * 40_000 + length(b"ab"),
    OK + b"transfer-encoding: chunked\r\n\r\n2;" + b"e" * (8 * MAX_HEAD_BYTES) + b"\r\nab\r\n0\r\n\r\n",
    chunked(b"ab", trailers=b"content-length: 7\r\n"),
    chunked(b"ab", trailers=b"x-big: " + b"y" * (8 * MAX_HEAD_BYTES) + b"\r\n"),
]


@pytest.mark.parametrize("answer", GARBLED, ids=lambda answer: repr(answer[:70]))
async def test_what_is_not_http_as_it_should_be_is_an_error(answer: bytes) -> None:
    """Two lengths, half a chunk, a head without end: it is told, and the connection is closed."""
    async with RawServer(always(answer)) as server:
        transport = HttpTransport()
        with pytest.raises(UpstreamGarbled):
            await asked(server.url, transport)
        await server.closed.wait()
        await transport.close()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", UpstreamUnreachable),
        (b"HTTP/1.1 200 OK\r\ncontent-", UpstreamUnreachable),
        (EARLY, UpstreamUnreachable),
        (length(b"abc")[:-1], UpstreamBrokeOff),
        (chunked(b"abc")[:-1], UpstreamBrokeOff),
        (chunked(b"abc")[:-9], UpstreamBrokeOff),
        (length(gzip.compress(LONG)[:-1], b"content-encoding: gzip"), UpstreamBrokeOff),
    ],
)
async def test_an_answer_that_breaks_off_is_never_taken_for_a_whole_one(
    answer: bytes, error: type[UpstreamError]
) -> None:
    """Before its head is whole there is no answer, after that a part of one."""
    async with RawServer(once(answer)) as server:
        transport = HttpTransport()
        with pytest.raises(error):
            await asked(server.url, transport)
        await transport.close()
        assert server.connections == 1


async def test_a_body_that_only_the_end_ends_is_not_ended_by_a_reset() -> None:
    """A reset is no end."""

    async def serve(exchange: Exchange) -> None:
        await exchange.request()
        await exchange.say(OK + b"\r\nab")
        raw = exchange.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
        exchange.writer.transport.abort()

    async with RawServer(serve) as server:
        transport = HttpTransport()
        with pytest.raises(UpstreamBrokeOff):
            await asked(server.url, transport)
        await transport.close()


@pytest.mark.parametrize(("coding", "packed"), CODED.items())
@pytest.mark.parametrize("split", [False, True])
async def test_compressed_bodies_are_unpacked(coding: str, packed: bytes, split: bool) -> None:
    """In pieces of bounded size, however they come."""
    pieces = [packed[i : i + 7] for i in range(0, len(packed), 7)] if split else [packed]
    answer = chunked(*pieces).replace(b"\r\n", b"\r\ncontent-encoding: %b\r\n" % coding.encode(), 1)
    async with RawServer(always(answer)) as server:
        transport = HttpTransport()
        response = await transport.request("GET", server.url, {})
        came = [piece async for piece in response.reads()]
        assert b"".join(came) == LONG
        assert max(map(len, came)) <= PIECE
        response.close()
        await transport.close()


@pytest.mark.parametrize("coding", [b"gzip", b"deflate"])
async def test_what_is_not_compressed_as_it_says_is_an_error(coding: bytes) -> None:
    """It is found when it is read."""
    async with RawServer(always(length(b"not at all", b"content-encoding: " + coding))) as server:
        transport = HttpTransport()
        with pytest.raises(UpstreamGarbled, match="compressed"):
            await asked(server.url, transport)
        await transport.close()


async def test_a_body_of_another_coding_is_left_as_it_is() -> None:
    """Some servers write a character set there."""
    answers, _ = await twice(always(length(b"ab", b"content-encoding: UTF-8")))
    assert answers == [(200, b"ab")] * 2


async def test_headers_have_names_in_lower_case_and_the_first_one_counts() -> None:
    """Whatever the upstream writes."""
    async with RawServer(always(length(b"", b"Retry-After: 1", b"RETRY-AFTER: 2", b"x-t:\t a b \t"))) as server:
        transport = HttpTransport()
        response = await transport.request("GET", server.url, {})
        assert response.headers == {"retry-after": "1", "x-t": "a b", "content-length": "0"}
        response.close()
        await transport.close()
