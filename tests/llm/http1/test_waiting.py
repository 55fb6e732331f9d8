"""The transport against real sockets: every wait has an end, and so has every answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from llm import UpstreamGarbled, UpstreamTimeout, UpstreamUnreachable
from llm.http1.transport import HttpTransport
from llm.transport import MAX_ANSWER_BYTES, Response, Timeouts

Writing = Callable[[asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"


class Upstream:
    """A server that answers every request in the same way until its client has gone."""

    def __init__(self, write: Writing) -> None:
        self.left = asyncio.Event()
        self.url = ""
        self._write = write

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HEAD)
            await self._write(writer)
        except ConnectionError:
            self.left.set()
        finally:
            writer.transport.abort()


@asynccontextmanager
async def answering(write: Writing, timeouts: Timeouts) -> AsyncGenerator[tuple[Upstream, Response], None]:
    """The head of an answer whose body is still being written."""
    upstream, transport = Upstream(write), HttpTransport(timeouts)
    async with await asyncio.start_server(upstream.answer, "127.0.0.1", 0) as server:
        upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat/completions"
        response = await transport.request("POST", upstream.url, {}, b"{}")
        try:
            yield upstream, response
        finally:
            response.close()
            await transport.close()


async def endless(writer: asyncio.StreamWriter) -> None:
    """As much as the client takes."""
    while True:
        writer.write(b" " * 1024 * 1024)
        await writer.drain()


async def trickle(writer: asyncio.StreamWriter) -> None:
    """Again and again a byte, so that there is never silence."""
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0)


async def test_an_answer_that_does_not_end_is_given_up_where_it_is_too_long() -> None:
    """The upstream sees its connection closed, and the error says what the limit was."""
    async with answering(endless, Timeouts()) as (upstream, response):
        with pytest.raises(UpstreamGarbled, match=f"longer than {MAX_ANSWER_BYTES} bytes"):
            await response.read()
        response.close()
        await asyncio.wait_for(upstream.left.wait(), 10)


async def test_an_upstream_that_trickles_is_given_up_after_the_time_for_the_whole() -> None:
    """It is never silent, so the timeout of a read does not strike."""
    async with answering(trickle, Timeouts(read=30, total=0.1)) as (upstream, response):
        with pytest.raises(UpstreamTimeout, match="no answer in time"):
            async for _ in response.reads():
                pass
        response.close()
        await asyncio.wait_for(upstream.left.wait(), 10)


class Stale:
    """A server that answers the first request of each connection and drops the connection at the next one, or drops
    every one at once."""

    def __init__(self, *, answers: bool) -> None:
        self.connections = 0
        self.requests = 0
        self._answers = answers

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await self._read(reader)
        if self._answers:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
            await self._read(reader)
        writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n{}")
        except asyncio.IncompleteReadError:
            return
        self.requests += 1


async def test_a_connection_that_was_given_up_while_nobody_used_it_is_replaced() -> None:
    """The request goes over another one, and nobody hears of it."""
    server = Stale(answers=True)
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
        transport = HttpTransport()
        for _ in range(3):
            response = await transport.request("POST", url, {}, b"{}")
            assert await response.read() == b"{}"
            response.close()
        await transport.close()
    assert server.connections == 3


async def test_a_new_connection_that_breaks_is_no_reason_to_ask_again() -> None:
    """What was sent over it may have been understood."""
    server = Stale(answers=False)
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        transport = HttpTransport()
        with pytest.raises(UpstreamUnreachable):
            await transport.request("POST", f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1", {}, b"{}")
        await transport.close()
    assert (server.connections, server.requests) == (1, 1)
