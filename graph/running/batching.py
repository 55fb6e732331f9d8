"""Batching: events of different runs walk a part of the graph together, and each gets its own answer back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary

from graph.compiled.results import STREAMS, as_stream, settled
from graph.errors import ReplayDiffers, RunError
from graph.event import Event

if TYPE_CHECKING:
    from graph.compiled.node import Node
    from graph.recording.tape import Tape
    from graph.running.run import FlowRun
    from graph.running.walk import Walk

WalkTogether: TypeAlias = Callable[[Sequence[Event], Sequence[Event]], Awaitable[Sequence[Any]]]


@dataclass(slots=True)
class Gathering:
    """Events that wait for more of them, or walk together."""

    walk: WalkTogether
    events: list[Event] = field(default_factory=list)
    payers: list[Event] = field(default_factory=list)
    answers: list[asyncio.Future[Any]] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Sends the events on their way."""
        if self.timer is not None:
            self.timer.cancel()
        self.payers = list(self.events)
        self.task = asyncio.create_task(self._go())

    async def _go(self) -> None:
        try:
            made = await self.walk(self.events, self.payers)
        except Exception as error:
            for answer in self.answers:
                if not answer.done():
                    answer.set_exception(error)
        else:
            for answer, item in zip(self.answers, made, strict=True):
                if not answer.done():
                    answer.set_result(item)

    async def leave(self, event: Event, answer: asyncio.Future[Any]) -> None:
        """An event that does not wait any more is not taken along; when nobody waits for the work, it ends, and who
        left last pays for it."""
        if self.task is None:
            self.events.remove(event)
            self.answers.remove(answer)
            if not self.events and self.timer is not None:
                self.timer.cancel()
        elif not self.task.done():
            if len(self.payers) > 1:
                self.payers.remove(event)
                return
            self.task.cancel()
            await asyncio.wait([self.task])


class FailedTogether(Exception):
    """Around the error of events that went together, on its way to each of them, which handles it by itself.

    Attributes:
        at: the step that raised it.
    """

    def __init__(self, at: str, error: Exception) -> None:
        super().__init__(str(error))
        self.at = at
        self.error = error


class Batcher:
    """Gathers events until there are ``max_events`` of them, or until the first has waited ``flush_after_seconds``.

    One for each Batch step of a flow; events of all its runs in one loop meet in it.
    """

    def __init__(self, max_events: int, flush_after_seconds: float | None, key: Callable[[Any], Any] | None) -> None:
        self._max = max_events
        self._seconds = flush_after_seconds
        self._key = key
        self._open: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Any, Gathering]] = WeakKeyDictionary()

    async def join(self, event: Event, walk: WalkTogether) -> Any:
        """What the walk together has made for this event.

        Raises:
            Exception: what the walk raised, for each of the events.
        """
        loop = asyncio.get_running_loop()
        open_ones = self._open.setdefault(loop, {})
        key = self._key(event.body) if self._key else None
        gathering = open_ones.setdefault(key, Gathering(walk))
        answer = loop.create_future()
        gathering.events.append(event)
        gathering.answers.append(answer)
        if len(gathering.events) == self._max:
            self._flush(open_ones, key, gathering)
        elif len(gathering.events) == 1 and self._seconds is not None:
            gathering.timer = loop.call_later(self._seconds, self._flush, open_ones, key, gathering)
        try:
            return await answer
        finally:
            answer.cancel()
            if gathering.task is None and gathering.events == [event] and open_ones.get(key) is gathering:
                del open_ones[key]
            await gathering.leave(event, answer)

    @staticmethod
    def _flush(open_ones: dict[Any, Gathering], key: Any, gathering: Gathering) -> None:
        if open_ones.get(key) is gathering:
            del open_ones[key]
            gathering.start()


async def go_together(walk: Walk, node: Node, batcher: Batcher) -> None:
    """From a Batch to the step that ends it, with events of other runs."""
    walk.enter(node)
    if walk.event.tape is not None:
        await _refuse_replay(node, walk.event.tape)
    try:
        item = await batcher.join(walk.event, partial(_together, walk.run, node))
    except FailedTogether as failed:
        walk.event.at = failed.at
        raise failed.error from None
    walk.leave(node)
    end = node.batch_end
    assert end is not None  # noqa: S101 - validated
    walk.enter(end)
    walk.event.body = item.body if isinstance(item, Event) else item
    if end.responding is not None:
        walk.run.hold(walk.event, [walk.event.body])
    walk.leave(end)


async def _refuse_replay(node: Node, tape: Tape) -> None:
    """Ends a replay before it asks the outside: what the events of other runs were is on no tape of this one.

    Raises:
        ReplayDiffers: in a replay.
    """
    asked: list[bool] = []

    async def ask() -> None:
        asked.append(True)

    await tape.value(node.name, None, ask)
    if not asked:
        raise ReplayDiffers(
            f"step '{node.name}' gathered events of several runs, which the recording of one does not hold, so it "
            "cannot be replayed"
        )


async def _together(run: FlowRun, node: Node, events: Sequence[Event], payers: Sequence[Event]) -> list[Any]:
    """Walks the list of the events' bodies from a Batch to the step that ends it; its elements are the answers.

    What the model calls on the way cost is shared out among those events that still wait for theirs, however it ends.

    Raises:
        FailedTogether: with what a step raised.
        RunError: when what came out is no list of that length.
    """
    end = node.batch_end
    assert end is not None  # noqa: S101 - validated
    batch = Event(list(events) if node.full_event else [event.body for event in events])
    walk = run.beside(batch)
    try:
        made = await _made(walk, node.next, end)
    except Exception as error:
        raise FailedTogether(batch.at or node.name, error) from error
    finally:
        _share(batch, payers)
    if made is None or len(made) != len(events):
        count = "nothing" if made is None else f"{len(made)} results"
        raise RunError(f"{len(events)} events went together from '{node.name}', and {count} came out of '{end.name}'")
    return made


def _share(batch: Event, payers: Sequence[Event]) -> None:
    for call in batch.meter.calls:
        usd = None if call.usd is None else call.usd / len(payers)
        for event, usage in zip(payers, call.usage.shares(len(payers)), strict=True):
            event.meter.book(replace(call, usage=usage, usd=usd))


async def _made(walk: Walk, first: Node | None, end: Node) -> list[Any] | None:
    """What the step that ends a batch makes of it; None where the batch does not come there."""
    if await walk.carry(first, until=end) is not end:
        return None
    walk.event.at = end.name
    return await _listed(end.call(walk.event if end.full_event else walk.event.body))


async def _listed(made: Any) -> list[Any]:
    if isinstance(made, STREAMS):
        return [item async for item in as_stream(made)]
    return list(await settled(made))
