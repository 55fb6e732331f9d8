"""Reloading: the app that is served, in the form that the settings in force give it.

Others come into force at once and whole, or not at all: they are read, checked, built and made ready beside those that
serve. From then on requests go to them; those that have begun are finished by what they began with, which is closed
after the last of them. What has not changed (connections to upstreams, models in memory) is taken over.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from gateway.app import create_app
from gateway.catalog.catalog import Catalog
from gateway.config import Settings
from gateway.edge.context import Receive, Scope, Send
from gateway.edge.gate import Gate
from gateway.errors import SettingsRefused
from gateway.serving.in_force import Wanted
from gateway.serving.standing import Standing
from gateway.telemetry import families
from graph.recording.tape import hidden

LOOK = 0.5
"""How many seconds are between two looks at the files."""
FIXED = ("host", "port", "workers", "drain_seconds")
"""What of ``server`` only another start changes."""
Stamps: TypeAlias = tuple[tuple[int, int, int] | None, ...]


@dataclass(slots=True, eq=False)
class Generation:
    """The gate that some settings make, from when it is made ready until the last of its requests is over."""

    settings: Settings
    catalog: Catalog
    gate: Gate
    requests: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it has served for the last time."""
    retired: bool = False
    life: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Makes it ready.

        Raises:
            ModelError, ToolsetUnavailable, OSError: when it cannot be made so.
        """
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.life = asyncio.create_task(self._live(ready))
        await ready

    async def end(self) -> None:
        """Closes it now."""
        self.over.set()
        if self.life is not None:
            await asyncio.wait((self.life,))

    def finish(self) -> None:
        """Looks whether it has served for the last time."""
        if self.retired and not self.requests:
            self.over.set()

    async def _live(self, ready: asyncio.Future[None]) -> None:
        try:
            async with self.gate.life():
                ready.set_result(None)
                await self.over.wait()
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)


class Reloading:
    """The ASGI app.

    Raises:
        InvalidSettings: when the first settings cannot be built.
    """

    def __init__(self, settings: Settings, standing: Standing, wanted: Wanted) -> None:
        self._standing = standing
        self._wanted = wanted
        self._started_with = settings
        self._seen = wanted.at
        self._current = self._made(settings, None)
        self._retiring: dict[Generation, asyncio.Task[None]] = {}
        self._changing = asyncio.Lock()
        self._known = self._before = stamps(settings.files)
        self._refused = standing.metrics.cell(families.SETTINGS_REFUSED)
        standing.in_force.reload = self.reload

    @property
    def catalog(self) -> Catalog:
        """What is served."""
        return self._current.catalog

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        generation = self._current
        generation.requests += 1
        try:
            await generation.gate(scope, receive, send)
        finally:
            generation.requests -= 1
            if generation.retired:
                generation.finish()

    async def reload(self) -> None:
        """Reads the settings again, in all workers.

        Raises:
            SettingsRefused: when they cannot be used; then nothing has changed.
        """
        await self._exchange()
        self._wanted.ask()
        self._seen = self._wanted.at

    async def _exchange(self) -> None:
        async with self._changing:
            try:
                made = await asyncio.to_thread(self._read)
                await made.start()
            except Exception as error:  # whatever it is, those before serve on
                raise self._refuse(error) from error
            before, self._current = self._current, made
            made.catalog.take_over(before.catalog)
            self._retiring[before] = asyncio.create_task(self._retire(before))
            self._accept(made.settings)

    def _read(self) -> Generation:
        return self._made(self._current.settings.again(), self._current.catalog)

    def _made(self, settings: Settings, before: Catalog | None) -> Generation:
        catalog = Catalog.of(settings, before)
        return Generation(settings, catalog, create_app(settings, catalog, self._standing))

    def _accept(self, settings: Settings) -> None:
        state, (now, first) = self._standing.in_force, (settings.server, self._started_with.server)
        state.since, state.changes, state.refused = datetime.now(UTC), state.changes + 1, ""
        state.takes_restart = tuple(f"server.{key}" for key in FIXED if getattr(now, key) != getattr(first, key))
        if settings.traces != self._started_with.traces:
            state.takes_restart += ("traces",)
        self._known = stamps(settings.files)
        self._count("taken", 0)
        self._standing.log.info("settings_reloaded", takes_restart=state.takes_restart)

    def _refuse(self, error: Exception) -> SettingsRefused:
        refused = SettingsRefused(hidden(str(error), self._current.settings.secrets))
        self._standing.in_force.refused = str(refused)
        self._count("refused", 1)
        self._standing.log.error("settings_refused", because=str(refused), in_force="those before")
        return refused

    def _count(self, outcome: str, refused: int) -> None:
        self._standing.metrics.cell(families.SETTINGS_RELOADS, outcome).add()
        self._refused.set(refused)

    async def _retire(self, generation: Generation) -> None:
        """Closes a generation after its last request, and after what that has left to be made in the background."""
        generation.retired = True
        generation.finish()
        await generation.over.wait()
        await self._standing.background.settled()
        await generation.end()
        del self._retiring[generation]

    async def _live(self, receive: Receive, send: Send) -> None:
        """The lifespan protocol of ASGI."""
        await receive()
        try:
            await self._current.start()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        watching = asyncio.create_task(self._watch())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        watching.cancel()
        await asyncio.wait((watching,))
        await self._standing.background.close()
        for before, retiring in list(self._retiring.items()):
            retiring.cancel()
            await before.end()
        await self._current.end()
        await send({"type": "lifespan.shutdown.complete"})

    async def _watch(self) -> None:
        """Follows the breakers, the files, and whoever asks any of the workers. A file counts once it has stayed as it
        is for a moment, as whoever writes it may not be done."""
        while True:
            await asyncio.sleep(LOOK)
            self._tell_breakers()
            settings = self._current.settings
            now = stamps(settings.files) if settings.server.reload_on_change else self._known
            changed = now != self._known and now == self._before
            self._before = now
            if changed or self._wanted.at != self._seen:
                self._seen, self._known = self._wanted.at, now
                with suppress(SettingsRefused):
                    await self._exchange()

    def _tell_breakers(self) -> None:
        """The metrics hear which deployments are left alone."""
        for routed in self._current.catalog.routed:
            for each in routed.deployments:
                breaker = self._standing.metrics.breaker(f"{routed.name}/{each.name}")
                breaker.set(int(each.breaker.state == "open"))


def stamps(files: Sequence[Path]) -> Stamps:
    """What differs once a file has been written anew; None for one that is not there."""
    return tuple(map(_stamp, files))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
