"""Requests that ask the same at the same moment, over real sockets: who waits for whom, and what becomes of whom."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import aiohttp
import orjson
import pytest

from gateway.exchanges.making import Making
from llm.testing import ScriptedUpstream
from llm.testing.upstream import Cut, Pause, Piece, Stream, answer
from tests.end_to_end.test_cache import CHAT, KEYS, QUESTION, STREAMED, as_key, caching, said
from tests.serving import Gateway

APP = as_key("app")
USAGE = {"prompt_tokens": 7, "completion_tokens": 2}


async def until_asked(gateway: Gateway, upstream: ScriptedUpstream, number: int = 1) -> None:
    """Until so many requests have come to the upstream."""
    async with asyncio.timeout(10):
        while len(upstream.received) < number:
            await gateway.get("/v1/models", **APP)


async def until_waiting(gateway: Gateway, number: int) -> None:
    """Until so many requests wait for an answer that another one makes."""
    async with asyncio.timeout(10):
        while sum(each.waiting for each in gc.get_objects() if isinstance(each, Making)) != number:
            await gateway.get("/v1/models", **APP)


def paused(*end: Piece) -> tuple[Pause, Stream]:
    """A stream that waits after its first word; it goes on, to another end if that is given, when it is let."""
    pause = Pause()
    return pause, Stream([*Stream.words("Hel"), pause, *(end or Stream.words("lo")[1:] + Stream.end(USAGE))])


async def begun(gateway: Gateway) -> aiohttp.ClientResponse:
    """A streamed answer of which the head has come."""
    return await gateway.http.post(gateway.address + CHAT, json=STREAMED, headers=APP)


@pytest.mark.parametrize("body", [QUESTION, STREAMED])
async def test_who_asks_the_same_meanwhile_waits_for_the_first(body: dict[str, Any]) -> None:
    """The upstream is asked once, for a whole answer and for a stream; one row of the ledger is paid, the others are
    those of hits."""
    pause, stream = paused()
    whole = Stream([pause, orjson.dumps(answer("Hello").body)])
    async with caching(stream if "stream" in body else whole, auth=KEYS) as (gateway, upstream):
        asking = [asyncio.create_task(said(gateway, body, **APP))]
        await until_asked(gateway, upstream)
        asking += [asyncio.create_task(said(gateway, body, **APP)) for _ in range(3)]
        await until_waiting(gateway, 3)
        pause.set()
        marks, texts = zip(*[await task for task in asking], strict=True)
        rows: list[Any] = []
        while sum(row["requests"] for row in rows) < 4:
            _, _, told = await gateway.get("/admin/usage?by=outcome", **as_key("ops"))
            rows = told["usage"]
    assert marks == ("miss", "joined", "joined", "joined")
    assert len(set(texts)) == 1
    assert {row["outcome"]: (row["requests"], row["total_tokens"] > 0) for row in rows} == {
        "answered": (1, True),
        "cached": (3, False),
    }


async def test_who_waited_for_an_answer_that_broke_makes_its_own() -> None:
    """And has heard nothing of the one that broke."""
    pause, stream = paused(Cut())
    async with caching(stream, Stream.of_text("Ciao"), auth=KEYS) as (gateway, upstream):
        first = await begun(gateway)
        second = asyncio.create_task(said(gateway, STREAMED, **APP))
        await until_waiting(gateway, 1)
        pause.set()
        broken = await first.read()
        mark, text = await second
        again, _ = await said(gateway, STREAMED, **APP)
    assert (mark, again, len(upstream.received)) == ("miss", "hit", 2)
    assert (b"Hel" in broken, b"Hel" in text, b"Ciao" in text) == (True, False, True)


async def test_a_waiting_client_that_leaves_harms_nobody() -> None:
    """Neither the first nor who else waits."""
    pause, stream = paused()
    async with caching(stream, auth=KEYS) as (gateway, _):
        first = await begun(gateway)
        waiting = [asyncio.create_task(said(gateway, STREAMED, **APP)) for _ in range(2)]
        await until_waiting(gateway, 2)
        waiting[0].cancel()
        await until_waiting(gateway, 1)
        pause.set()
        text = await first.read()
        assert await waiting[1] == ("joined", text)


async def test_an_answer_goes_on_without_its_client_as_long_as_somebody_waits() -> None:
    """Who waits gets it; once nobody does, the upstream is left."""
    pause, stream = paused()
    _, other = paused()
    async with caching(stream, other, auth=KEYS) as (gateway, upstream):
        first = await begun(gateway)
        waiting = asyncio.create_task(said(gateway, STREAMED, **APP))
        await until_waiting(gateway, 1)
        first.close()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await upstream.left.wait()
        pause.set()
        mark, text = await waiting
        assert (mark, b"lo" in text) == ("joined", True)
        asked = {**STREAMED, "max_tokens": 7}
        alone = await gateway.http.post(gateway.address + CHAT, json=asked, headers=APP)
        alone.close()
        async with asyncio.timeout(10):
            await upstream.left.wait()


async def test_who_waits_for_nobody_any_more_lets_the_answer_end() -> None:
    """When the first has left, and then who waited for it, the upstream is left too, and nothing of it is kept."""
    _, stream = paused()
    async with caching(stream, Stream.of_text("Ciao"), auth=KEYS) as (gateway, upstream):
        first = await begun(gateway)
        waiting = asyncio.create_task(said(gateway, STREAMED, **APP))
        await until_waiting(gateway, 1)
        first.close()
        waiting.cancel()
        async with asyncio.timeout(10):
            await upstream.left.wait()
        mark, text = await said(gateway, STREAMED, **APP)
    assert (mark, b"Hel" in text) == ("miss", False)


async def test_nobody_waits_for_an_answer_that_is_too_long() -> None:
    """As soon as that is clear, who waits makes its own."""
    long = "x" * 20_000
    pause, stream = paused(*Stream.words(long)[1:], Pause())
    async with caching(stream, Stream.of_text("Ciao"), auth=KEYS, max_mb=0.1) as (gateway, _):
        first = await begun(gateway)
        second = asyncio.create_task(said(gateway, STREAMED, **APP))
        await until_waiting(gateway, 1)
        pause.set()
        mark, text = await second
        first.close()
    assert (mark, b"Ciao" in text) == ("miss", True)


async def test_only_who_may_be_given_the_answer_waits_for_it() -> None:
    """Another key, another question and ``no-cache`` ask by themselves."""
    pause, stream = paused()
    others: list[tuple[dict[str, Any], dict[str, str]]] = [
        (STREAMED, as_key("other")),
        ({**STREAMED, "max_tokens": 7}, APP),
        (STREAMED, {**APP, "Cache-Control": "no-cache"}),
    ]
    async with caching(stream, *[Stream.of_text("Ciao")] * 3, auth=KEYS) as (gateway, _):
        first = await begun(gateway)
        marks = [(await said(gateway, body, **headers))[0] for body, headers in others]
        pause.set()
        await first.read()
    assert marks == ["miss"] * 3


async def test_who_waits_is_given_the_answer_also_without_a_store(free_tcp_port: int) -> None:
    """It is handed over in memory."""
    store = {"url": f"redis://127.0.0.1:{free_tcp_port}"}
    pause, stream = paused()
    async with caching(stream, auth=KEYS, store=store) as (gateway, _):
        first = await begun(gateway)
        second = asyncio.create_task(said(gateway, STREAMED, **APP))
        await until_waiting(gateway, 1)
        pause.set()
        assert await second == ("joined", await first.read())


async def test_who_waits_does_not_wait_for_a_client_that_takes_nothing() -> None:
    """An answer whose own client has stopped reading holds nobody up."""
    reads = asyncio.Event()

    async def send(message: Any) -> None:
        await reads.wait()

    making = Making(send, 1000, patience=0.01)
    head = {"type": "http.response.start", "status": 200, "headers": []}
    sending = asyncio.create_task(making(head))
    async with asyncio.timeout(10):
        assert not await making.wait()
    reads.set()
    await sending
