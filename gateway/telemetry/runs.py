"""The record of recent runs, step by step, with what each model call cost. Contents are not recorded."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from graph import Event, FlowRun, Instrument, Meter, StepUsage, ToolCall
from guardrails import Verdict
from llm import Usage

KEPT = 200
"""How many runs are remembered; older ones are forgotten."""
MAX_STEPS = 1000
"""How many visits of steps are recorded of one run; of those after them only the number."""


@dataclass(slots=True)
class StepRecord:
    """One visit of a step."""

    step: str
    begun: float
    """Seconds since the run began."""
    first_call: int
    """How many model calls of the run had ended when it began."""
    last_call: int = 0
    """And when it ended."""
    seconds: float | None = None
    error: str | None = None
    tools: dict[tuple[str, str], int] = field(default_factory=dict)
    """How often each tool was called in it, by how that ended."""

    def to_json(self, calls: Iterable[StepUsage]) -> dict[str, Any]:
        """The record as the admin API shows it, with the calls that the visit made."""
        usage = [_call(call) for call in calls]
        told = {"step": self.step, "begun": self.begun, "seconds": self.seconds, "error": self.error, "usage": usage}
        tools = [{"tool": tool, "outcome": ended, "calls": calls} for (tool, ended), calls in self.tools.items()]
        return {**told, "tools": tools} if tools else told


@dataclass(slots=True)
class RunRecord:
    """One run, with the steps of the flows inside it, which are called ``outer/inner``."""

    id: str
    graph: str
    caller: str
    at: float
    """When the run began, in seconds since 1970."""
    clock: float
    meter: Meter
    steps: list[StepRecord] = field(default_factory=list)
    steps_left_out: int = 0
    run: dict[str, Any] = field(default_factory=dict)

    @property
    def age(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self.clock

    def enter(self, event: Event) -> None:
        """A visit begins."""
        if len(self.steps) < MAX_STEPS:
            self.steps.append(StepRecord(place_of(event), self.age, len(self.meter.calls)))
        else:
            self.steps_left_out += 1

    def leave(self, event: Event, error: str | None = None) -> None:
        """The visit of the event's step that began last ends."""
        visit = self.visit(event)
        if visit is not None:
            self.end(visit, error)

    def visit(self, event: Event) -> StepRecord | None:
        """The visit of the event's step that began last and has not ended; none where it was left out."""
        step = place_of(event)
        return next((visit for visit in reversed(self.steps) if visit.seconds is None and visit.step == step), None)

    def end(self, visit: StepRecord, error: str | None = None) -> None:
        """A visit ends."""
        visit.seconds = self.age - visit.begun
        visit.error = error
        visit.last_call = len(self.meter.calls)

    def close(self) -> None:
        """The run ends, and so do the visits that are open."""
        for visit in self.steps:
            if visit.seconds is None:
                self.end(visit)

    def shares(self) -> tuple[list[list[StepUsage]], list[StepUsage]]:
        """The calls by the one visit that made each, and those that no visit in the record made: it was left out, or
        walked in a batch that another run began."""
        visits: dict[str, list[int]] = {}
        for index, visit in enumerate(self.steps):
            visits.setdefault(visit.step, []).append(index)
        shares: list[list[StepUsage]] = [[] for _ in self.steps]
        others: list[StepUsage] = []
        for number, call in enumerate(self.meter.calls):
            begun = [index for index in visits.get(call.step, ()) if self.steps[index].first_call <= number]
            under_way = (index for index in begun if number < self.steps[index].last_call)
            made_by = next(under_way, begun[-1] if begun else None)
            (others if made_by is None else shares[made_by]).append(call)
        return shares, others

    def to_json(self) -> dict[str, Any]:
        """The record as the admin API shows it."""
        shares, others = self.shares()
        return {
            "id": self.id,
            "graph": self.graph,
            "caller": self.caller,
            "at": datetime.fromtimestamp(self.at, UTC).isoformat(),
            **self.run,
            "usage": _cost(self.meter.usage, self.meter.usd),
            "steps": [step.to_json(calls) for step, calls in zip(self.steps, shares, strict=True)],
            "steps_left_out": self.steps_left_out,
            "usage_of_other_steps": [{"step": call.step, **_call(call)} for call in others],
        }


class RunRecorder(Instrument):
    """Keeps the last runs in memory."""

    def __init__(self, kept: int = KEPT) -> None:
        self._open: dict[FlowRun, RunRecord] = {}
        self._ended: deque[RunRecord] = deque(maxlen=kept)

    def recent(self, most: int = KEPT) -> Iterable[RunRecord]:
        """The runs that ended last, the latest first."""
        return [record for record, _ in zip(reversed(self._ended), range(most), strict=False)]

    def find(self, run_id: str) -> RunRecord | None:
        """The run of this id, if it is still remembered."""
        return next((record for record in self._ended if record.id == run_id), None)

    def before_step(self, run: FlowRun, event: Event) -> None:
        self._record(run).enter(event)

    def after_step(self, run: FlowRun, event: Event) -> None:
        self._record(run).leave(event)

    def on_error(self, run: FlowRun, event: Event, error: Exception) -> None:
        self._record(run).leave(event, type(error).__name__)

    def after_tool(self, run: FlowRun, event: Event, call: ToolCall) -> None:
        visit = self._record(run).visit(event)
        if visit is not None:
            key = (call.tool, call.outcome)
            visit.tools[key] = visit.tools.get(key, 0) + 1

    def on_run_end(self, run: FlowRun) -> None:
        if run.outer is not None:
            return
        record = self._record(run)
        del self._open[run]
        record.close()
        record.run = {
            "seconds_to_first_chunk": run.seconds_to_first,
            "seconds": run.seconds,
            "outcome": outcome(run),
            "error": type(run.error or run.limit).__name__ if run.error or run.limit else None,
            "streamed": run.streamed,
            "guardrails": _said(run.verdict),
        }
        self._ended.append(record)

    def _record(self, run: FlowRun) -> RunRecord:
        """The record of a run; a flow inside another, and a batch, write into that of the run that they serve."""
        while run.outer is not None:
            run = run.outer
        record = self._open.get(run)
        if record is None:
            event = run.event
            record = RunRecord(event.id, run.plan.name, event.caller, time.time(), time.perf_counter(), event.meter)
            self._open[run] = record
        return record


def _call(call: StepUsage) -> dict[str, Any]:
    """A model call: of which model; where that is several, of which deployment, and why that gave no answer."""
    routed = {"deployment": call.deployment, "error": call.error or None} if call.deployment else {}
    return {"model": call.model, **routed, **_cost(call.usage, call.usd)}


def _cost(usage: Usage, usd: float | None) -> dict[str, Any]:
    """Tokens as they are told to clients, where they come from, and US dollars, null when nobody knows."""
    return {"source": usage.source, "usd": usd, **usage.to_wire()}


def _said(verdict: Verdict | None) -> dict[str, Any] | None:
    """What guardrails said of a run; never what they found."""
    if verdict is None:
        return None
    found = Counter(f"{span.rule}/{span.kind}" for span in verdict.spans)
    return {"action": verdict.action, "rule": verdict.rule or None, "found": found, "flags": list(verdict.flags)}


def place_of(event: Event) -> str:
    """The name of the step that the event is in, with those of the flows around it."""
    place, meter = event.at, event.meter
    while meter.outer is not None:
        place, meter = f"{meter.place}/{place}", meter.outer
    return place


def outcome(run: FlowRun) -> str:
    """How a run ended: ``answered``, ``limited`` to its best draft by a cap, ``left`` by its client,
    ``refused`` by a guardrail, or ``failed``."""
    if run.verdict is not None and not run.verdict.allowed:
        return "refused"
    if run.error is None:
        return "limited" if run.limit else "answered"
    return "left" if isinstance(run.error, (asyncio.CancelledError, GeneratorExit)) else "failed"
