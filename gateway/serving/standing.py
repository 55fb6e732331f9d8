"""Standing: what a worker keeps while settings come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from structlog.typing import FilteringBoundLogger

from gateway.config import Settings
from gateway.config.faults import InvalidSettings
from gateway.endpoints.health import Readiness
from gateway.endpoints.responses.background import Background
from gateway.kept import AnswersInMemory
from gateway.serving.in_force import InForce
from gateway.store.sqlite import SQLiteStore
from gateway.telemetry.feed import Feed
from gateway.telemetry.logs import logger
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.requests import RequestMetrics
from gateway.telemetry.run_feed import RunFeed
from gateway.telemetry.run_metrics import RunMetrics
from gateway.telemetry.runs import RunRecorder
from gateway.telemetry.tool_log import ToolLog
from graph import Instrument

if TYPE_CHECKING:
    from gateway.telemetry.traces import Traces


@dataclass(slots=True)
class Standing:
    """All of it has one owner, the process."""

    metrics: Metrics = field(default_factory=Metrics)
    feed: Feed = field(default_factory=Feed)
    number: int = 0
    """Which worker it is."""
    readiness: Readiness = field(default_factory=Readiness)
    recorder: RunRecorder = field(default_factory=RunRecorder)
    kept: AnswersInMemory = field(default_factory=AnswersInMemory)
    memory: SQLiteStore = field(default_factory=partial(SQLiteStore, None))
    """What keeps exchanges where no store is shared; started by whoever uses it."""
    in_force: InForce = field(default_factory=InForce)
    log: FilteringBoundLogger = field(init=False)
    requests: RequestMetrics = field(init=False)
    runs: RunMetrics = field(init=False)
    background: Background = field(init=False)
    traces: Traces | None = None
    """Who makes spans, if the settings of the start asked for them."""
    _secrets: list[str] = field(default_factory=list)
    _generations: int = 0

    def __post_init__(self) -> None:
        self.log = logger(self._secrets)
        self.requests = RequestMetrics(self.metrics)
        self.runs = RunMetrics(self.metrics)
        self.background = Background(self.log)

    @asynccontextmanager
    async def generation(self) -> AsyncGenerator[None, None]:
        """Around the time in which a gate serves. With the last of them the gateway does not any more, and what is made
        in the background ends."""
        self._generations += 1
        self.readiness.ready = True
        try:
            yield
        finally:
            self._generations -= 1
            if not self._generations:
                self.readiness.ready = False
                await self.background.close()
                await self.memory.close()
                if self.traces is not None:
                    await asyncio.to_thread(self.traces.close)

    @property
    def instruments(self) -> list[Instrument]:
        """Who watches runs."""
        watching: list[Instrument] = [self.runs, self.recorder, RunFeed(self.feed, self.number), ToolLog(self.log)]
        return watching if self.traces is None else [*watching, self.traces]

    def trace(self, settings: Settings) -> None:
        """Begins to make spans where these settings ask for them, once.

        Raises:
            InvalidSettings: when OpenTelemetry is not installed.
        """
        if not settings.traces.url or self.traces is not None:
            return
        try:
            from gateway.telemetry.traces import Traces  # noqa: PLC0415 - only for who traces
        except ImportError:
            raise InvalidSettings("traces: OpenTelemetry is not installed; pip install 'penstock[otel]'") from None
        self.traces = self.requests.traces = Traces(settings.traces, settings.secrets)

    def hide(self, secrets: Iterable[str]) -> None:
        """From here on these stand in no line of the log either; longer ones are looked for first."""
        self._secrets[:] = sorted({*self._secrets, *secrets}, key=len, reverse=True)
