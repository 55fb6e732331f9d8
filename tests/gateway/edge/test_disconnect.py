"""The race between the work for a client and the client's leaving: who wins, and what is left of the loser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, MutableMapping
from contextlib import aclosing, suppress
from typing import Any

import pytest

from gateway.edge.disconnect import ClientWatch

LEFT = {"type": "http.disconnect"}
MORE = {"type": "http.request", "body": b"x", "more_body": False}


class Client:
    """The end of a connection that a server would hold: ``receive`` waits for what the client does next."""

    def __init__(self, *messages: MutableMapping[str, Any] | Exception) -> None:
        self.messages: asyncio.Queue[MutableMapping[str, Any] | Exception] = asyncio.Queue()
        self.listened_to = asyncio.Event()
        for message in messages:
            self.messages.put_nowait(message)

    async def receive(self) -> MutableMapping[str, Any]:
        self.listened_to.set()
        message = await self.messages.get()
        if isinstance(message, Exception):
            raise message
        return message


def alone() -> bool:
    """Whether nobody watches any more, and nobody wants the task that asks cancelled."""
    task = asyncio.current_task()
    running = {getattr(other.get_coro(), "__qualname__", "") for other in asyncio.all_tasks()}
    return task is not None and task.cancelling() == 0 and "ClientWatch._watch" not in running


async def for_ever() -> None:
    """Work that only the client's leaving can end."""
    await asyncio.Event().wait()


async def test_work_that_ends_first_is_not_disturbed() -> None:
    """The block runs to its end, and the watcher has ended with it."""
    client = Client()
    async with ClientWatch(client.receive) as watch:
        await client.listened_to.wait()
        assert not alone()
    assert not watch.left
    assert alone()


async def test_a_client_that_was_gone_before_the_start_ends_the_work_at_its_first_wait() -> None:
    """What the work does after its first wait does not happen; the block ends without an error."""
    done: list[str] = []
    async with ClientWatch(Client(LEFT).receive) as watch:
        done.append("begun")
        await for_ever()
        done.append("ended")
    assert (watch.left, done) == (True, ["begun"])
    assert alone()


async def test_work_that_never_waits_is_done_also_for_a_client_that_was_gone() -> None:
    """Nothing is interrupted but a wait."""
    done: list[str] = []
    async with ClientWatch(Client(LEFT).receive) as watch:
        done.append("whole")
    assert (watch.left, done) == (False, ["whole"])
    assert alone()


async def test_a_client_that_leaves_closes_what_the_work_holds() -> None:
    """Generators are closed before the block is left, and those who come after it go on."""
    client, held = Client(), ["connection"]

    async def chunks() -> AsyncGenerator[str, None]:
        try:
            yield "first"
            await for_ever()
        finally:
            held.clear()

    async with ClientWatch(client.receive) as watch, aclosing(chunks()) as pulled:
        async for _ in pulled:
            client.messages.put_nowait(LEFT)
    assert (watch.left, held) == (True, [])
    assert alone()
    await asyncio.sleep(0)


async def test_a_client_that_leaves_after_the_end_is_nobodys_business() -> None:
    """Nobody listens to it any more, so the message stays where it is."""
    client = Client()
    async with ClientWatch(client.receive) as watch:
        await client.listened_to.wait()
    client.messages.put_nowait(LEFT)
    await asyncio.sleep(0)
    assert (watch.left, client.messages.qsize()) == (False, 1)
    assert alone()


async def test_other_messages_do_not_end_the_work() -> None:
    """Only the message that the client has left does."""
    client, done = Client(MORE, MORE), []
    async with ClientWatch(client.receive) as watch:
        while not client.messages.empty():
            await asyncio.sleep(0)
        done.append("undisturbed")
        client.messages.put_nowait(MORE)
        client.messages.put_nowait(LEFT)
        await for_ever()
    assert (watch.left, done) == (True, ["undisturbed"])
    assert alone()


async def test_a_connection_that_cannot_be_listened_to_has_nobody_at_its_end() -> None:
    """An error of ``receive`` counts as leaving."""
    async with ClientWatch(Client(OSError("broken")).receive) as watch:
        await for_ever()
    assert watch.left
    assert alone()


async def test_what_the_work_says_while_it_ends_is_told_to_nobody() -> None:
    """An error that the leaving made is none; nor is a cancellation that the work kept to itself."""
    async with ClientWatch(Client(LEFT).receive) as failing:
        try:
            await for_ever()
        finally:
            raise ValueError("while it ended")
    async with ClientWatch(Client(LEFT).receive) as silent:
        with suppress(asyncio.CancelledError):
            await for_ever()
    assert failing.left
    assert silent.left
    assert alone()


async def test_an_error_of_the_work_goes_through() -> None:
    """As long as the client is there, it is told."""
    with pytest.raises(ValueError, match="of its own"):
        async with ClientWatch(Client().receive):
            raise ValueError("of its own")
    assert alone()


@pytest.mark.parametrize("client_leaves_too", [False, True])
async def test_a_cancellation_from_elsewhere_goes_through(client_leaves_too: bool) -> None:
    """The server stops: also where the client leaves at the same time, the task ends as cancelled."""
    client = Client()
    came_through: list[str] = []

    async def serve() -> None:
        async with ClientWatch(client.receive):
            await for_ever()
        came_through.append("past the block")

    task = asyncio.create_task(serve())
    await client.listened_to.wait()
    if client_leaves_too:
        client.messages.put_nowait(LEFT)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert came_through == []
    assert alone()


async def test_nobody_listens_for_a_client_whose_answer_is_done_at_once() -> None:
    """A task for each request would cost more than it saves."""
    client = Client()
    async with ClientWatch(client.receive):
        await asyncio.sleep(0)
        assert alone()
    assert not client.listened_to.is_set()
