"""Recordings: what those who follow are given, and when nobody does any more."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from gateway.catalog.catalog import Catalog
from gateway.config import Settings
from gateway.config.exchanges import IdempotencyEntry
from gateway.edge.body import BodyReader
from gateway.edge.sse import HEADERS
from gateway.errors import AnswerGone
from gateway.exchanges.idempotency import LEASE, Asked, Idempotency
from gateway.exchanges.recording import Elsewhere, Recording
from gateway.exchanges.rows import Part, Place
from gateway.exchanges.sqlite import SQLiteExchanges
from gateway.store.sqlite import SQLiteStore

START: Mapping[str, Any] = {"type": "http.response.start", "status": 200, "headers": HEADERS}
HEAD = b'{"status": 200, "headers": []}'


def body(*events: str, last: bool = False) -> dict[str, Any]:
    frames = "".join(f"data: {event}\n\n" for event in events)
    return {"type": "http.response.body", "body": frames.encode(), "more_body": not last}


async def read(recording: Recording, after: int = 0) -> list[bytes]:
    return [frame async for frame in recording.frames(after)][1:]


async def test_events_are_numbered_however_they_come() -> None:
    """In parts or several at once."""
    recording = Recording(b"", 1000)
    await recording({**START})
    for part in (b"data: a\n", b"\ndata: b\n\nda", b"ta: c\n\n"):
        await recording({"type": "http.response.body", "body": part, "more_body": True})
    await recording(body(last=True))
    recording.finish("whole")
    assert await read(recording) == [b"id: 1\ndata: a\n\n", b"id: 2\ndata: b\n\n", b"id: 3\ndata: c\n\n"]
    assert await read(recording, 2) == [b"id: 3\ndata: c\n\n"]


async def test_who_writes_more_than_is_kept_waits_for_who_reads() -> None:
    """And who comes later is told that the beginning is gone."""
    recording = Recording(b"", 100)
    reading = asyncio.create_task(read(recording))
    await recording({**START})
    for number in range(50):
        await recording(body(str(number) * 10))
        assert recording._bytes <= 200
    recording.finish("whole")
    assert len(await reading) == 50
    with pytest.raises(AnswerGone):
        await read(recording)


async def test_who_reads_ahead_of_what_there_is_harms_no_answer() -> None:
    """A client may say that it was at an event which has not been made: the others are left out for it, and no more."""
    recording = Recording(b"", 100)
    await recording({**START})
    reading = asyncio.create_task(read(recording, 999))
    await asyncio.sleep(0)
    for number in range(50):
        await recording(body(str(number) * 10))
    recording.finish("whole")
    assert await reading == []


async def test_it_is_abandoned_when_nobody_follows_here_or_elsewhere() -> None:
    """Not while somebody does."""
    recording = Recording(b"", 100)
    asked = []

    async def others() -> bool:
        asked.append(True)
        return False

    async with aclosing(recording.frames(0)) as frames:
        await recording({**START})
        await anext(frames)
        waiting = asyncio.create_task(recording.abandoned(0, others))
        await asyncio.sleep(0)
        await recording(body("a"))
        await anext(frames)
        assert (waiting.done(), asked) == (False, [])
    await asyncio.wait_for(waiting, 10)
    assert asked == [True]


async def test_an_answer_whose_maker_is_gone_ends_early() -> None:
    """Who follows it from elsewhere sees that it has not ended."""
    store = SQLiteStore(None)
    await store.start()
    rows, place = SQLiteExchanges(store), Place("key:app", "one")
    await rows.begin(place, "m", b"", 60)
    await rows.write(place, "m", Part("open", 0, [HEAD, b"a"]), 60, 1000)
    elsewhere = Elsewhere(rows, place)
    async with aclosing(elsewhere.frames(0)) as frames:
        assert [await anext(frames), await anext(frames)] == [HEAD, b"a"]
        assert await rows.followed(place)
        await rows.drop(place, "m")
        assert [frame async for frame in frames] == []
    assert not elsewhere.ended
    await store.close()


async def test_an_answer_that_ends_while_it_is_written_is_kept_at_once(tmp_path: Path) -> None:
    """Nobody waits for news that has come meanwhile."""
    recording, place = Recording(b"asked", 1000), Place("key:app", "k")

    class Busy(SQLiteExchanges):
        async def write(self, *given: Any) -> bool:
            written = await super().write(*given)
            recording.finish("whole")
            return written

    store = SQLiteStore(tmp_path / "penstock.db")
    await store.start()
    rows, settings = Busy(store), Settings()
    await rows.begin(place, "m", b"asked", LEASE)
    shared = Idempotency(rows, IdempotencyEntry(), BodyReader(1, 1), Catalog.of(settings))
    async with asyncio.timeout(LEASE / 3):
        await shared.write(Asked(place, b"asked", b"", None, b""), recording, "m")
    kept = await rows.read(place, 0)
    await store.close()
    assert kept is not None
    assert kept.state == "whole"
