"""Responses that are made in the background: nobody need wait for them, and whoever wants to can follow them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from structlog.typing import FilteringBoundLogger

from gateway.endpoints.responses.event_log import EventLog
from gateway.endpoints.responses.making import Making
from gateway.errors import TooManyInBackground
from gateway.faults import Fault
from gateway.telemetry.logs import tell_fault

MAX_RUNS = 64
"""How many are made at once; and of how many that have ended the events are kept."""
Key: TypeAlias = tuple[str, str]
"""The owner and the id of a response."""


@dataclass(slots=True)
class BackgroundRun:
    """A response that is being made."""

    making: Making
    log: EventLog | None
    """None where it is not streamed."""
    task: asyncio.Task[None]

    async def cancel(self) -> None:
        """Ends it, and returns when it has ended and is kept so."""
        self.task.cancel()
        await asyncio.wait((self.task,))
        await self.making.cancel()
        if self.log is not None:
            self.log.end()


class Background:
    """The responses that this process makes in the background."""

    def __init__(self, log: FilteringBoundLogger, most: int = MAX_RUNS) -> None:
        self._log = log
        self._most = most
        self._running: dict[Key, BackgroundRun] = {}
        self._ended: OrderedDict[Key, EventLog] = OrderedDict()

    def check(self) -> None:
        """Looks whether one more can be made.

        Raises:
            TooManyInBackground: when so many are being made already.
        """
        if len(self._running) >= self._most:
            raise TooManyInBackground(
                f"{self._most} responses are being made in the background already; try again when one has ended."
            )

    def start(self, key: Key, making: Making, log: EventLog | None) -> None:
        """Makes a response; its events go into the log, if there is one."""
        task = asyncio.create_task(self._make(key, making, log))
        self._running[key] = BackgroundRun(making, log, task)
        task.add_done_callback(lambda _: self._end(key, log))

    def log_of(self, key: Key) -> EventLog | None:
        """The events of a response, if it is streamed and they are still kept."""
        run = self._running.get(key)
        return run.log if run is not None else self._ended.get(key)

    async def cancel(self, key: Key) -> None:
        """Ends a response that is being made; of any other nothing changes."""
        run = self._running.get(key)
        if run is not None:
            await run.cancel()

    def forget(self, key: Key) -> None:
        """Forgets the events of a response that has ended."""
        self._ended.pop(key, None)

    async def settled(self) -> None:
        """Waits until those that are being made now have ended."""
        if self._running:
            await asyncio.wait([run.task for run in self._running.values()])

    async def close(self) -> None:
        """Ends all of them."""
        for run in list(self._running.values()):
            await run.cancel()

    async def _make(self, key: Key, making: Making, log: EventLog | None) -> None:
        async def send(message: MutableMapping[str, Any]) -> None:
            if log is not None:
                log.add(message.get("body", b""))

        await making.keep(status="in_progress")
        try:
            await making.run(send)
        except Exception as error:
            fault = Fault.of(error)
            tell_fault(self._log, "background response failed", error, fault, response_id=key[1])
            frames = await making.fail(fault)
            if log is not None:
                log.add(frames)

    def _end(self, key: Key, log: EventLog | None) -> None:
        self._running.pop(key, None)
        if log is not None:
            log.end()
            self._ended[key] = log
            if len(self._ended) > self._most:
                self._ended.popitem(last=False)
