"""UsageLedger: writes a row for every run, in batches, beside the requests."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from math import ceil

from gateway.store.protocol import StoreUnavailable
from gateway.usage.row import Ended, UsageRow
from gateway.usage.rows import UsageRows
from graph import FlowRun, Instrument

BATCH = 100
"""How many rows are made at once at most: requests wait while they are made."""
WRITTEN = 2000
"""How many rows are written at once at most: fewer would keep a busy worker behind."""
PAUSE = 0.5
"""How many seconds a row waits for others: so much may be missing of a worker that is killed, and nothing of one that
is told to stop."""
WAITING = 100_000
"""How many rows wait for a store that is gone; of further ones the oldest are given up."""
TIDY = 3600.0
"""How many seconds are between two looks for rows that are too old."""


class UsageLedger(Instrument):
    """Keeps a row of every run.

    Args:
        describe: makes the row of a run.
        give_up: is told of rows that cannot be kept, so that they are not lost without a word.
        keep: for how many seconds rows are kept.
    """

    def __init__(
        self,
        rows: UsageRows,
        describe: Callable[[Ended], UsageRow],
        give_up: Callable[[UsageRow], None],
        keep: float,
        pause: float = PAUSE,
    ) -> None:
        self._rows = rows
        self._describe = describe
        self._give_up = give_up
        self._keep = keep
        self._pause = pause
        self._waiting: deque[Ended] = deque()
        self._some = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """From here on rows are written."""
        self._tasks = [asyncio.create_task(self._write_on()), asyncio.create_task(self._tidy())]

    async def close(self) -> None:
        """Writes what waits."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(StoreUnavailable):
            await self._flush()
        while self._waiting:
            self._give_up(self._describe(self._waiting.popleft()))

    def on_run_end(self, run: FlowRun) -> None:
        """Takes note of a run, not of those inside it."""
        if run.outer is None:
            self.add(Ended.of(run))

    def add(self, ended: Ended) -> None:
        """Takes note of what is over."""
        if len(self._waiting) >= WAITING:
            self._give_up(self._describe(self._waiting.popleft()))
        self._waiting.append(ended)
        self._some.set()

    async def _write_on(self) -> None:
        while True:
            await self._some.wait()
            await asyncio.sleep(self._pause)
            self._some.clear()
            try:
                await self._flush()
            except StoreUnavailable:
                self._some.set()

    async def _flush(self) -> None:
        """Writes what waits by now; what comes meanwhile waits for others. Whatever is cut off here is written once
        more, which changes nothing."""
        for _ in range(ceil(len(self._waiting) / WRITTEN)):
            batch = list(islice(self._waiting, WRITTEN))
            await self._rows.write(await self._described(batch))
            for ended in batch:
                if self._waiting and self._waiting[0] is ended:
                    self._waiting.popleft()

    async def _described(self, batch: Sequence[Ended]) -> list[UsageRow]:
        rows: list[UsageRow] = []
        for first in range(0, len(batch), BATCH):
            rows += map(self._describe, batch[first : first + BATCH])
            await asyncio.sleep(0)
        return rows

    async def _tidy(self) -> None:
        while True:
            with suppress(StoreUnavailable):
                await self._rows.forget(time.time() - self._keep)
            await asyncio.sleep(TIDY)
