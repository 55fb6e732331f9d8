"""/admin/runs/events over real sockets: what runs do is told while they do it, and to who missed it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import aiohttp
import orjson

from llm.testing import Json, Pause, Stream
from llm.testing.upstream import answer
from tests.serving import Gateway, serving_upstream

CHAT = {"model": "up", "messages": [{"role": "user", "content": "hi"}]}
PATH = "/admin/runs/events"


async def followed(gateway: Gateway, last: str = "") -> tuple[aiohttp.ClientResponse, AsyncGenerator[Any, None]]:
    """The feed, from when it has begun to listen."""
    headers = {"Last-Event-ID": last} if last else {}
    response = await gateway.http.get(gateway.address + PATH, headers=headers)
    assert response.status == 200
    await response.content.readuntil(b"listening")

    async def events() -> AsyncGenerator[Any, None]:
        place = ""
        async for line in response.content:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "id":
                place = value
            if name == "data":
                yield {"id": place, **orjson.loads(value)}

    return response, events()


async def test_a_run_is_told_while_it_goes_on() -> None:
    """Its beginning and its first step before its upstream has answered; then how it ended; no contents."""
    pause = Pause()
    stream = Stream([pause, *Stream.of_text("secret").pieces])
    async with serving_upstream(stream) as (gateway, _):
        response, events = await followed(gateway)
        async with aclosing(events):
            asking = asyncio.create_task(whole(gateway, {**CHAT, "stream": True}))
            told = [await anext(events), await anext(events)]
            pause.set()
            said = await asking
            told += [await anext(events), await anext(events)]
        response.close()
    assert b"secret" in said
    assert [event["type"] for event in told] == ["run_started", "step_started", "step_ended", "run_ended"]
    assert {event["graph"] for event in told} == {"up"}
    assert len({event["run"] for event in told}) == 1
    assert (told[1]["step"], told[3]["outcome"], told[3]["error"]) == ("responder", "answered", None)
    assert "secret" not in str(told)


async def test_who_comes_back_gets_what_it_missed() -> None:
    """By the id of the last event that it has had, and each event once."""
    async with serving_upstream(answer("a"), answer("b"), Json({}, 500)) as (gateway, _):
        response, events = await followed(gateway)
        async with aclosing(events):
            await whole(gateway, CHAT)
            last = [await anext(events) for _ in range(4)][-1]
        response.close()
        await whole(gateway, CHAT)
        await whole(gateway, CHAT)
        response, events = await followed(gateway, last["id"])
        async with aclosing(events):
            missed = [await anext(events) for _ in range(8)]
        response.close()
    kinds = ["run_started", "step_started", "step_ended", "run_ended"]
    assert [event["type"] for event in missed] == [*kinds, *kinds[:2], "step_failed", "run_ended"]
    assert (missed[-1]["outcome"], missed[-1]["error"]) == ("failed", "UpstreamUnavailable")
    assert last["run"] not in {event["run"] for event in missed}


async def whole(gateway: Gateway, body: Any) -> bytes:
    """The answer to a chat request, as it comes over the wire."""
    async with gateway.http.post(f"{gateway.address}/v1/chat/completions", json=body) as answered:
        return await answered.read()
