"""Streams that are silent for long, over a real socket."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.edge.ping import PING, Pings
from llm.testing import Pause, Stream
from tests.end_to_end.test_chat import MESSAGES, USAGE
from tests.serving import serving_upstream

OFTEN = {"port": 0, "drain_seconds": 1, "ping_seconds": 0.01}
BODY = {"model": "up", "messages": MESSAGES, "stream": True}
PATH = "/v1/chat/completions"


async def test_a_silent_stream_is_kept_alive() -> None:
    """Comments come while the upstream is silent, and the answer is what it would have been without them."""
    silence = Pause()
    stream = Stream([*Stream.words("Hel"), silence, *Stream.of_text("lo").pieces[1:]])
    async with (
        serving_upstream(stream, server=OFTEN) as (gateway, _),
        gateway.http.post(gateway.address + PATH, json=BODY) as response,
    ):
        before = await response.content.readuntil(PING)
        more = await response.content.readuntil(PING)
        silence.set()
        after = await response.content.read()
    assert before.startswith(b"data: ")
    assert before.endswith(b"\n\n" + PING)
    assert more == PING
    words = after.replace(PING, b"")
    assert words.startswith(b"data: ")
    assert words.endswith(b"data: [DONE]\n\n")


async def test_the_sdk_passes_comments_over() -> None:
    """As if there were none."""
    silence = Pause()
    stream = Stream([*Stream.words("Hel"), silence, *Stream.of_text("lo").pieces[1:]])
    async with serving_upstream(stream, server=OFTEN) as (gateway, _), gateway.sdk() as client:
        text = ""
        async for chunk in await client.chat.completions.create(model="up", messages=MESSAGES, stream=True):
            text += chunk.choices[0].delta.content or ""
            asyncio.get_running_loop().call_later(0.03, silence.set)
    assert text == "Hello"


async def test_nothing_is_said_before_the_status() -> None:
    """An upstream that has said nothing yet may still fail, and that is a status. Another stream tells the time."""
    first, second = Pause(), Pause()
    late = Stream([first, *Stream.of_text("late").pieces])
    clock = Stream([*Stream.words("tick"), second, *Stream.end(USAGE)])
    async with serving_upstream(late, clock, server=OFTEN) as (gateway, upstream):
        waiting = asyncio.create_task(gateway.http.post(gateway.address + PATH, json=BODY))
        while not upstream.received:
            await asyncio.sleep(0)
        async with gateway.http.post(gateway.address + PATH, json=BODY) as ticking:
            for _ in range(3):
                await ticking.content.readuntil(PING)
            begun = waiting.done()
            first.set()
            second.set()
        async with await waiting as response:
            told = await response.content.readuntil(b"\n\n")
    assert not begun
    assert told.startswith(b"data: ")


async def test_no_comment_stands_inside_an_event_or_behind_the_end() -> None:
    """Half an event is finished first; one that waits to be written is dropped where the answer ends."""
    heard: list[bytes] = []
    told, ticked, never = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def send(message: Any) -> None:
        if message["body"] == PING:
            told.set()
            await never.wait()
        heard.append(message["body"])

    async def tick(_: Any) -> None:
        ticked.set()

    clock, pings = Pings(tick, 0.01), Pings(send, 0.001)
    await pings({"type": "http.response.body", "body": b"data:", "more_body": True})
    await ticked.wait()
    assert not told.is_set()
    await pings({"type": "http.response.body", "body": b" 1\n\n", "more_body": True})
    await told.wait()
    await pings({"type": "http.response.body", "body": b"", "more_body": False})
    clock.close()
    assert heard == [b"data:", b" 1\n\n", b""]
