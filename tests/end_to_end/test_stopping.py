"""Stopping: what is in flight is finished, nothing new is taken on, and everything is given back."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import aclosing, suppress
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson
import pytest

from gateway.config import Settings
from gateway.serving.server import Server
from llm.testing import Hang, Pause, Stream
from llm.testing.upstream import answer, choice, frame
from tests.end_to_end.test_run_events import followed
from tests.serving import Gateway, serving, serving_upstream

MESSAGES: Any = [{"role": "user", "content": "hi"}]
PATIENT = {"port": 0, "drain_seconds": 30}


@pytest.fixture(autouse=True)
def survivor() -> Iterator[None]:
    """A process that lives on: when it has ended, uvicorn raises the signal that ended it once more."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGTERM, before)


async def refused(gateway: Gateway) -> None:
    """Waits until nobody listens on the gateway's address any more."""
    address = urlsplit(gateway.address)
    with suppress(ConnectionError):
        async with asyncio.timeout(10):
            while True:
                _, writer = await asyncio.open_connection(address.hostname, address.port)
                writer.close()


async def test_a_stream_in_flight_is_finished() -> None:
    """After the signal no connection is taken, and who is being answered hears it all."""
    pause = Pause()
    pieces = [*Stream.words("first"), pause, frame(choice({"content": "second"})), *Stream.end({})]
    async with serving_upstream(Stream(pieces), server=PATIENT) as (gateway, _), gateway.sdk() as client:
        stream = await client.chat.completions.create(model="up", messages=MESSAGES, stream=True)
        words = aiter(stream)
        heard = [(await anext(words)).choices[0].delta.content for _ in range(2)]
        signal.raise_signal(signal.SIGTERM)
        await refused(gateway)
        pause.set()
        heard += [chunk.choices[0].delta.content async for chunk in words]
    assert heard == ["", "first", "second", None]


async def test_a_live_feed_ends_at_once_and_cuts_nothing() -> None:
    """It keeps no drain waiting; a stream beside it is finished all the same."""
    pause = Pause()
    pieces = [*Stream.words("first"), pause, frame(choice({"content": "second"})), *Stream.end({})]
    async with serving_upstream(Stream(pieces), server=PATIENT) as (gateway, _), gateway.sdk() as client:
        response, events = await followed(gateway)
        words = aiter(await client.chat.completions.create(model="up", messages=MESSAGES, stream=True))
        heard = [(await anext(words)).choices[0].delta.content for _ in range(2)]
        signal.raise_signal(signal.SIGTERM)
        async with aclosing(events), asyncio.timeout(10):
            assert [event["type"] async for event in events] == ["run_started", "step_started"]
        response.close()
        pause.set()
        heard += [chunk.choices[0].delta.content async for chunk in words]
    assert heard == ["", "first", "second", None]


async def test_from_the_signal_on_the_gateway_is_not_ready() -> None:
    """A probe that still gets through is told so, while a request is in flight; it never hears that all is well."""
    async with serving_upstream(Hang()) as (gateway, upstream):
        waiting = asyncio.create_task(gateway.post("/v1/chat/completions", {"model": "up", "messages": MESSAGES}))
        while not upstream.received:
            await asyncio.sleep(0)
        assert (await gateway.get("/v2/health/ready"))[0] == 200
        signal.raise_signal(signal.SIGTERM)
        with suppress(aiohttp.ClientError):
            status, _, body = await gateway.get("/v2/health/ready")
            assert (status, body) == (503, {"error": "the gateway is starting or stopping"})
        waiting.cancel()


async def test_what_takes_longer_than_the_drain_is_ended() -> None:
    """A request that would never end does not keep the gateway; its upstream sees the connection closed."""
    server = {"port": 0, "drain_seconds": 0.1}
    async with serving_upstream(Hang(), server=server) as (gateway, upstream):
        waiting = asyncio.create_task(gateway.post("/v1/chat/completions", {"model": "up", "messages": MESSAGES}))
        while not upstream.received:
            await asyncio.sleep(0)
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(upstream.left.wait(), 10)
        with suppress(aiohttp.ClientError):
            status, _, _ = await waiting
            assert status >= 500


@pytest.mark.parametrize(("seconds", "whole"), [(0.1, 1), (0.5, 1), (2.5, 3), (30, 30)])
def test_a_drain_is_never_shorter_than_it_was_set(seconds: float, whole: int) -> None:
    """uvicorn counts whole seconds."""
    far = {"name": "far", "kind": "openai", "base_url": "http://127.0.0.1:1/v1"}
    tree: Any = {"providers": [far], "models": [], "graphs": []}
    server = Server(Settings.model_validate({"server": {"port": 0, "drain_seconds": seconds}, **tree}))
    server.socket.close()
    assert server.config.timeout_graceful_shutdown == whole


async def test_connections_to_upstreams_are_closed() -> None:
    """A provider keeps its connection for the next request, and gives it back when the gateway stops."""
    closed = asyncio.Event()
    body: Any = answer("Hello").body

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        content = orjson.dumps(body)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
        writer.write(b"content-length: %d\r\n\r\n%b" % (len(content), content))
        while await reader.read(65536):
            pass
        writer.close()
        closed.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as upstream:
        port = upstream.sockets[0].getsockname()[1]
        provider = {"name": "far", "kind": "openai", "base_url": f"http://127.0.0.1:{port}/v1"}
        async with serving(providers=[provider], models=[{"name": "up", "provider": "far"}], graphs=[]) as gateway:
            status, _, _ = await gateway.post("/v1/chat/completions", {"model": "up", "messages": MESSAGES})
            await gateway.get("/v2/health/ready")
            assert (status, closed.is_set()) == (200, False)
        await asyncio.wait_for(closed.wait(), 5)
