"""Draining, on real processes: a deploy under load cuts nobody's stream."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from llm.testing import Pause, ScriptedUpstream, Stream
from llm.testing.upstream import choice, frame
from tests.gateway.serving.test_workers import CHAT, SETTINGS, Process, gateway

STREAMS = 50


@pytest.mark.parametrize("workers", [1, 2])
async def test_sigterm_under_load_cuts_no_stream(workers: int, tmp_path: Path) -> None:
    """Fifty streams are in their middle when the signal comes: nobody new is taken, all fifty hear their end, and the
    status is 0."""
    pause = Pause()
    pieces = [*Stream.words("first"), pause, frame(choice({"content": "second"})), *Stream.end({})]
    settings = SETTINGS.replace("workers: 2", f"workers: {workers}")
    async with (
        ScriptedUpstream(*[Stream(pieces)] * STREAMS) as upstream,
        gateway(tmp_path, upstream.base_url, settings=settings) as it,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        await it.listen()
        begun = [asyncio.Event() for _ in range(STREAMS)]
        streams = [asyncio.create_task(heard(http, it, each)) for each in begun]
        async with asyncio.timeout(30):
            await asyncio.gather(*(each.wait() for each in begun))
        it.process.terminate()
        await refused(it)
        pause.set()
        answers = await asyncio.gather(*streams)
        assert await it.ended() == 0
    assert [b"second" in answer and answer.endswith(b"data: [DONE]\n\n") for answer in answers] == [True] * STREAMS


async def heard(http: aiohttp.ClientSession, it: Process, begun: asyncio.Event) -> bytes:
    """What comes of a stream after its first word, when it says that it has begun."""
    async with http.post(f"{it.address}/v1/chat/completions", json={**CHAT, "stream": True}) as answered:
        assert answered.status == 200
        await answered.content.readuntil(b"first")
        begun.set()
        return await answered.read()


async def refused(it: Process) -> None:
    """Waits until nobody takes a connection any more."""
    host, port = it.address.removeprefix("http://").split(":")
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except OSError:
                return
            writer.close()
