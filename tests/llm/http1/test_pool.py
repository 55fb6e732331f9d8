"""Who gets which connection, and when it ends: kept ones, the limit, and clients that leave in every state."""

from __future__ import annotations

import asyncio
import socket

import pytest

from llm.errors import UpstreamConnectTimeout, UpstreamTimeout, UpstreamUnreachable
from llm.http1 import connection as connections
from llm.http1 import pool as pools
from llm.http1.answer import ROOM
from llm.http1.transport import HttpTransport
from llm.transport import Timeouts
from tests.llm.http1.raw import OK, Exchange, RawServer, Serving, always, chunked, length

LARGE = b"x" * 8 * 1024 * 1024


class Held:
    """Answers each request when it is told to, with its body."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[tuple[bytes, asyncio.Event]] = asyncio.Queue()

    async def __call__(self, exchange: Exchange) -> None:
        while await exchange.request():
            go = asyncio.Event()
            await self.asked.put((exchange.body, go))
            await go.wait()
            await exchange.say(length(exchange.body))


async def told(transport: HttpTransport, url: str, body: bytes = b"{}") -> bytes:
    """The body of an answer."""
    response = await transport.request("POST", url, {}, body)
    try:
        return await response.read()
    finally:
        response.close()


async def test_requests_beyond_the_limit_wait_for_their_turn_in_order() -> None:
    """Each connection that is given back goes to who has waited longest."""
    serve, order = Held(), []
    async with RawServer(serve) as server:
        transport = HttpTransport(limit=1)
        asking = []
        for body in (b"1", b"2", b"3", b"4"):
            asking.append(asyncio.create_task(told(transport, server.url, body)))
            await asyncio.sleep(0)
        for _ in asking:
            body, go = await serve.asked.get()
            order.append(body)
            go.set()
        assert await asyncio.gather(*asking) == order == [b"1", b"2", b"3", b"4"]
        assert server.connections == 1
        await transport.close()


async def test_who_leaves_the_queue_loses_nobody_a_turn() -> None:
    """Neither before its turn nor at the moment of it."""
    serve = Held()
    async with RawServer(serve) as server:
        transport = HttpTransport(limit=1)
        first = asyncio.create_task(told(transport, server.url, b"1"))
        _, go = await serve.asked.get()
        waiting = [asyncio.create_task(told(transport, server.url, body)) for body in (b"2", b"3", b"4")]
        await asyncio.sleep(0)
        waiting[0].cancel()
        pool = next(iter(transport._pools.values()))
        go.set()
        while len(pool._queue) > 1:
            await asyncio.sleep(0)
        waiting[1].cancel()
        _, go = await serve.asked.get()
        go.set()
        assert (await first, await waiting[2]) == (b"1", b"4")
        await transport.close()


async def test_a_place_in_the_queue_has_a_deadline() -> None:
    """It is that of a connection."""
    serve = Held()
    async with RawServer(serve) as server:
        transport = HttpTransport(Timeouts(connect=0.05), limit=1)
        first = asyncio.create_task(told(transport, server.url))
        _, go = await serve.asked.get()
        with pytest.raises(UpstreamConnectTimeout, match="no connection in time") as raised:
            await told(transport, server.url)
        assert not raised.value.costs  # nothing was asked, so there is nothing to pay
        go.set()
        assert await first == b"{}"
        await transport.close()


async def test_what_nobody_uses_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server sees it go."""
    monkeypatch.setattr(pools, "KEEP_ALIVE", 0.05)
    async with RawServer(always(length(b"{}"))) as server:
        transport = HttpTransport()
        assert await told(transport, server.url) == b"{}"
        await asyncio.wait_for(server.closed.wait(), 20)
        assert await told(transport, server.url) == b"{}"
        assert server.connections == 2
        await transport.close()


async def test_a_request_goes_again_only_once_and_over_a_new_connection() -> None:
    """Where all connections break that were kept; what broke over a new one may have been understood."""
    seen: list[tuple[int, bytes]] = []

    async def serve(exchange: Exchange) -> None:
        if await exchange.request():
            seen.append((exchange.number, exchange.body))
            await exchange.say(length(b"{}") if exchange.body == b"1" else b"")
        if exchange.body == b"1" and await exchange.request():
            seen.append((exchange.number, exchange.body))

    async with RawServer(serve) as server:
        transport = HttpTransport()
        assert await asyncio.gather(*(told(transport, server.url, b"1") for _ in range(2))) == [b"{}"] * 2
        with pytest.raises(UpstreamUnreachable):
            await told(transport, server.url, b"2")
        await transport.close()
    assert sorted(body for _, body in seen) == [b"1", b"1", b"2", b"2"]
    assert seen[-1] == (3, b"2")


async def test_a_server_that_shuts_its_side_is_not_asked_again_over_it() -> None:
    """It has not said that it would close, and still reads."""

    async def serve(exchange: Exchange) -> None:
        await exchange.request()
        exchange.writer.write(length(b"{}"))
        exchange.writer.write_eof()
        await exchange.left()

    async with RawServer(serve) as server:
        transport = HttpTransport()
        assert [await told(transport, server.url) for _ in range(5)] == [b"{}"] * 5
        assert server.connections == 5
        await transport.close()


async def test_an_answer_before_the_request_was_sent_whole_is_an_answer() -> None:
    """Its connection is not used again: what is left of the request would be read as another one."""

    async def serve(exchange: Exchange) -> None:
        exchange.head = await exchange.reader.readuntil(b"\r\n\r\n")
        await exchange.say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        if b"content-length: 2\r\n" not in exchange.head:
            exchange.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await done.wait()

    done = asyncio.Event()
    async with RawServer(serve) as server:
        transport = HttpTransport()
        assert await told(transport, server.url, LARGE * 8) == b"no"
        assert await told(transport, server.url) == b"no"
        assert server.connections == 2
        done.set()
        await transport.close()


async def silent(exchange: Exchange) -> None:
    """Takes a request and says nothing."""
    await exchange.request()
    await exchange.left()


async def half(exchange: Exchange) -> None:
    """Says a part of an answer."""
    await exchange.request()
    await exchange.say(length(b"{}" * 100)[:-20])
    await exchange.left()


@pytest.mark.parametrize("serve", [silent, half])
async def test_who_leaves_takes_the_connection_along(serve: Serving) -> None:
    """While the head is waited for, and while the body is."""
    async with RawServer(serve) as server:
        transport = HttpTransport(limit=1)
        asking = asyncio.create_task(told(transport, server.url))
        while not server.connections:
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait_for(server.closed.wait(), 20)
        with pytest.raises(asyncio.CancelledError):
            await asking
        pool = next(iter(transport._pools.values()))
        assert (pool._taken, pool._idle) == (0, [])
        await transport.close()


async def test_who_leaves_while_a_connection_is_made_leaves_nothing() -> None:
    """At whatever turn of the loop."""
    async with RawServer(always(length(b"{}"))) as server:
        for turns in range(40):
            transport = HttpTransport(limit=1)
            asking = asyncio.create_task(told(transport, server.url))
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            assert await told(transport, server.url) == b"{}"
            await transport.close()


@pytest.mark.parametrize("serve", [silent, half])
async def test_silence_has_an_end(serve: Serving) -> None:
    """Before the head and in the body."""
    async with RawServer(serve) as server:
        transport = HttpTransport(Timeouts(read=0.05))
        with pytest.raises(UpstreamTimeout):
            await told(transport, server.url)
        await asyncio.wait_for(server.closed.wait(), 20)
        await transport.close()


async def test_a_large_request_may_take_longer_than_silence_may() -> None:
    """As long as some of it goes on its way."""

    async def serve(exchange: Exchange) -> None:
        read = 0
        while read < 16 * len(LARGE):
            read += len(await exchange.reader.read(2**16))
            for _ in range(3):
                await asyncio.sleep(0)
        await exchange.say(length(b"{}"))

    async with RawServer(serve) as server:
        transport = HttpTransport(Timeouts(read=0.2))
        assert await told(transport, server.url, LARGE * 16) == b"{}"
        await transport.close()


async def test_a_reader_that_is_slow_slows_the_upstream_down() -> None:
    """Only so much lies here for it; and nothing is lost."""
    blocked = asyncio.Event()

    async def serve(exchange: Exchange) -> None:
        await exchange.request()
        exchange.writer.write(length(LARGE))
        while True:
            before = exchange.writer.transport.get_write_buffer_size()
            for _ in range(200):
                await asyncio.sleep(0)
            if exchange.writer.transport.get_write_buffer_size() == before:
                break
        blocked.set()
        await exchange.writer.drain()
        await exchange.left()

    async with RawServer(serve) as server:
        transport = HttpTransport()
        response = await transport.request("GET", server.url, {})
        await blocked.wait()
        assert getattr(response, "_size") <= 2 * ROOM  # noqa: B009 - what lies there is nobody's business else
        assert await response.read() == LARGE
        response.close()
        await transport.close()


async def test_what_a_left_answer_still_says_is_dropped() -> None:
    """The connection serves the next request, whose answer is its own."""
    go, ended = asyncio.Event(), asyncio.Event()

    async def serve(exchange: Exchange) -> None:
        await exchange.request()
        whole = chunked(b"first", b"rest")
        await exchange.say(whole[:-14])
        await go.wait()
        await exchange.say(whole[-14:])
        ended.set()
        await exchange.request()
        await exchange.say(length(b"second"))

    async with RawServer(serve) as server:
        transport = HttpTransport()
        response = await transport.request("POST", server.url, {}, b"{}")
        assert await anext(response.reads()) == b"first"
        response.leave()
        response.close()
        go.set()
        pool = next(iter(transport._pools.values()))
        while not pool._idle:
            await asyncio.sleep(0)
        assert await told(transport, server.url) == b"second"
        assert server.connections == 1
        await transport.close()


@pytest.mark.parametrize("rest", [b"", b"x" * 1024 * 1024])
async def test_the_rest_of_a_left_answer_has_a_bound(rest: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """In time and in bytes; beyond it the connection is closed."""
    monkeypatch.setattr(connections, "LINGER", 0.05 if not rest else 30)

    async def serve(exchange: Exchange) -> None:
        await exchange.request()
        await exchange.say(OK + b"\r\nfirst", rest)
        await exchange.left()

    async with RawServer(serve) as server:
        transport = HttpTransport()
        response = await transport.request("POST", server.url, {}, b"{}")
        response.leave()
        await asyncio.wait_for(server.closed.wait(), 20)
        response.close()
        await transport.close()


async def test_closing_ends_what_is_under_way() -> None:
    """Those that wait for an answer and those that wait for a connection are told."""
    serve = Held()
    async with RawServer(serve) as server:
        transport = HttpTransport(limit=1)
        asking = [asyncio.create_task(told(transport, server.url)) for _ in range(2)]
        _, go = await serve.asked.get()
        await transport.close()
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(answer) for answer in answers] == [UpstreamUnreachable] * 2
        go.set()


async def test_small_requests_go_out_at_once() -> None:
    """TCP_NODELAY is set."""
    async with RawServer(always(length(b"{}"))) as server:
        transport = HttpTransport()
        assert await told(transport, server.url) == b"{}"
        kept = next(iter(transport._pools.values()))._idle[0]
        raw = kept._socket.get_extra_info("socket")
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await transport.close()
