"""The record of recent runs, step by step, with what each model call cost. Contents are not recorded."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from graph import Event, FlowRun, Instrument, StepUsage

KEPT = 200
"""How many runs are remembered; older ones are forgotten."""


@dataclass(slots=True)
class StepRecord:
    """One visit of a step."""

    step: str
    begun: float
    """Seconds since the run began."""
    first_call: int
    """Where its model calls begin among those of the run."""
    seconds: float | None = None
    error: str | None = None
    calls: list[StepUsage] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The record as the admin API shows it."""
        usage = [{"model": call.model, "source": call.usage.source, **call.usage.to_wire()} for call in self.calls]
        return {"step": self.step, "begun": self.begun, "seconds": self.seconds, "error": self.error, "usage": usage}


@dataclass(slots=True)
class RunRecord:
    """One run."""

    id: str
    graph: str
    caller: str
    at: datetime
    clock: float
    steps: list[StepRecord] = field(default_factory=list)
    first_chunk: float | None = None
    run: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The record as the admin API shows it."""
        return {
            "id": self.id,
            "graph": self.graph,
            "caller": self.caller,
            "at": self.at.isoformat(),
            "seconds_to_first_chunk": self.first_chunk,
            **self.run,
            "steps": [step.to_json() for step in self.steps],
        }


class RunRecorder(Instrument):
    """Keeps the last runs in memory."""

    def __init__(self, kept: int = KEPT) -> None:
        self._open: dict[int, RunRecord] = {}
        self._ended: deque[RunRecord] = deque(maxlen=kept)

    def recent(self, most: int = KEPT) -> Iterable[RunRecord]:
        """The runs that ended last, the latest first."""
        return [record for record, _ in zip(reversed(self._ended), range(most), strict=False)]

    def find(self, run_id: str) -> RunRecord | None:
        """The run of this id, if it is still remembered."""
        return next((record for record in self._ended if record.id == run_id), None)

    def before_step(self, run: FlowRun, event: Event) -> None:
        record = self._open.get(id(run)) or self._begin(run, event)
        record.steps.append(StepRecord(event.at, time.perf_counter() - record.clock, len(event.meter.calls)))

    def after_step(self, run: FlowRun, event: Event) -> None:
        record = self._open[id(run)]
        step = next(step for step in reversed(record.steps) if step.step == event.at)
        self._finish(record, step, event)

    def on_chunk(self, run: FlowRun, event: Event, chunk: Any) -> None:
        record = self._open[id(run)]
        if record.first_chunk is None:
            record.first_chunk = time.perf_counter() - record.clock

    def on_error(self, run: FlowRun, event: Event, error: Exception) -> None:
        record = self._open.get(id(run))
        if record is not None and record.steps:
            record.steps[-1].error = type(error).__name__

    def on_run_end(self, run: FlowRun) -> None:
        record = self._open.pop(id(run), None) or self._begin(run, run.event)
        self._open.pop(id(run), None)
        for step in record.steps:
            if step.seconds is None:
                self._finish(record, step, run.event)
        record.run = {
            "seconds": run.seconds,
            "outcome": outcome(run),
            "error": type(run.error or run.limit).__name__ if run.error or run.limit else None,
            "streamed": run.streamed,
            "usage": {"source": run.usage.source, **run.usage.to_wire()},
        }
        self._ended.append(record)

    def _begin(self, run: FlowRun, event: Event) -> RunRecord:
        record = RunRecord(event.id, run.plan.name, event.caller, datetime.now(UTC), time.perf_counter())
        self._open[id(run)] = record
        return record

    def _finish(self, record: RunRecord, step: StepRecord, event: Event) -> None:
        step.seconds = time.perf_counter() - record.clock - step.begun
        step.calls = [call for call in event.meter.calls[step.first_call :] if call.step == step.step]


def outcome(run: FlowRun) -> str:
    """How a run ended: ``answered``, ``limited`` to its best draft by a cap, ``left`` by its client, or ``failed``."""
    if run.error is None:
        return "limited" if run.limit else "answered"
    return "left" if isinstance(run.error, (asyncio.CancelledError, GeneratorExit)) else "failed"
