"""``max_in_flight=`` of a step that is given the chunks of a stream: several in hand at once, their order kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from graph import DROPPED, Event, Flow
from llm import Usage


def text(chunk: object) -> str:
    return str(chunk)


class Desk:
    """A step whose chunks are made when the test says so, and a source that counts what it was asked for."""

    def __init__(self, chunks: int = 20) -> None:
        self.chunks = chunks
        self.asked = 0
        self.in_hand: list[int] = []
        self.most = 0
        self.cancelled: list[int] = []
        self.closed = False
        self.done = [asyncio.Event() for _ in range(chunks)]
        self.changed = asyncio.Event()

    async def source(self, _body: object) -> AsyncGenerator[int, None]:
        try:
            for number in range(self.chunks):
                self.asked += 1
                yield number
        finally:
            self.closed = True

    async def make(self, chunk: int) -> str:
        self.in_hand.append(chunk)
        self.most = max(self.most, len(self.in_hand))
        self.changed.set()
        try:
            await self.done[chunk].wait()
        except asyncio.CancelledError:
            self.cancelled.append(chunk)
            raise
        finally:
            self.in_hand.remove(chunk)
        return f"made {chunk}"

    async def until_in_hand(self, *chunks: int) -> None:
        while self.in_hand != list(chunks):
            self.changed.clear()
            await self.changed.wait()

    def flow(self, most: int) -> Flow:
        flow = Flow("desk")
        flow.to(self.source, name="source").to(self.make, name="make", max_in_flight=most).respond()
        return flow


async def test_as_many_as_it_says_and_in_their_order() -> None:
    """Three are in hand at once, never more; the last to be begun may be the first that is done."""
    desk = Desk(6)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        answer = group.create_task(desk.flow(3).run())
        await desk.until_in_hand(0, 1, 2)
        for chunk in (2, 1, 5, 4, 3, 0):
            desk.done[chunk].set()
    assert answer.result() == [f"made {number}" for number in range(6)]
    assert desk.most == 3


async def test_a_chunk_leaves_as_soon_as_it_is_the_next() -> None:
    """The client has the first one while the source waits for room and the second is still being made."""
    desk = Desk(6)
    async with asyncio.timeout(10), aclosing(desk.flow(2).stream()) as chunks:
        desk.done[0].set()
        assert await anext(chunks) == "made 0"
        desk.done[1].set()
        assert await anext(chunks) == "made 1"
        assert desk.asked <= 4


async def test_a_client_that_leaves_stops_all_of_it() -> None:
    """The source is at most as far ahead as there is room, is closed, and what is being made is cancelled."""
    desk = Desk(20)
    for number in range(3):
        desk.done[number].set()
    async with asyncio.timeout(10), aclosing(desk.flow(4).stream()) as chunks:
        assert [await anext(chunks) for _ in range(3)] == ["made 0", "made 1", "made 2"]
        await desk.until_in_hand(3, 4, 5)
    assert desk.asked <= 3 + 4
    assert desk.closed
    assert sorted(desk.cancelled) == [3, 4, 5]


async def test_a_chunk_may_be_dropped() -> None:
    """The others keep their order."""

    async def even(chunk: int) -> object:
        return DROPPED if chunk % 2 else chunk

    desk = Desk(6)
    flow = Flow()
    flow.to(desk.source, name="source").to(even, name="even", max_in_flight=3).respond()
    assert await flow.run() == [0, 2, 4]


async def test_an_error_of_the_step_ends_the_stream_where_it_stood() -> None:
    """What came before it has left; it is named as the place of the error, and the rest is cancelled."""
    desk = Desk(20)

    async def failing(chunk: int) -> str:
        if chunk == 2:
            raise ValueError("not two")
        return await desk.make(chunk)

    flow = Flow("desk")
    flow.to(desk.source, name="source").to(failing, name="failing", max_in_flight=3).to(text, name="after").respond()
    desk.done[0].set()
    desk.done[1].set()
    seen = []
    async with asyncio.timeout(10):
        with pytest.raises(ValueError, match="not two") as raised:
            async with aclosing(flow.stream()) as chunks:
                async for chunk in chunks:
                    seen.append(chunk)
    assert seen == ["made 0", "made 1"]
    assert raised.value.__notes__ == ["in step 'failing' of flow 'desk'"]
    assert desk.closed
    assert desk.in_hand == []


async def test_an_error_of_the_source_comes_after_what_it_gave() -> None:
    """It is the source's, even while the steps behind are busy with earlier chunks."""

    async def breaking(_body: object) -> AsyncGenerator[int, None]:
        yield 1
        yield 2
        raise RuntimeError("broke off")

    async def make(chunk: int) -> int:
        return chunk * 10

    flow = Flow("desk")
    flow.to(breaking, name="breaking").to(make, name="make", max_in_flight=5).to(text, name="after").respond()
    seen = []
    with pytest.raises(RuntimeError, match="broke off") as raised:
        async with aclosing(flow.stream()) as chunks:
            async for chunk in chunks:
                seen.append(chunk)
    assert seen == ["10", "20"]
    assert raised.value.__notes__ == ["in step 'breaking' of flow 'desk'"]


async def test_what_is_spent_is_booked_where_it_was_spent() -> None:
    """By the source, by the step that is ahead and by the one after it, though all three work at the same time."""

    class Spender:
        async def do_event(self, event: Event) -> object:
            event.account("m", Usage(1, 1))
            return event.body

    class Speaker:
        async def do_event(self, event: Event) -> AsyncGenerator[int, None]:
            for number in range(3):
                yield number
                event.account("m", Usage(1, 1))

    flow = Flow("desk")
    flow.to(Speaker(), name="source").to(Spender(), name="ahead", max_in_flight=2).to(Spender(), name="after").respond()
    event = Event()
    assert await flow.start(event).result() == [0, 1, 2]
    booked = sorted(call.step for call in event.meter.calls)
    assert booked == ["after"] * 3 + ["ahead"] * 3 + ["source"] * 3


async def test_one_in_flight_is_one_after_the_other() -> None:
    """A limit of one is a limit, and nothing is pulled before it is wanted."""
    desk = Desk(6)
    for done in desk.done:
        done.set()
    async with aclosing(desk.flow(1).stream()) as chunks:
        assert await anext(chunks) == "made 0"
    assert desk.asked == 1
