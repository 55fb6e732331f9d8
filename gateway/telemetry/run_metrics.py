"""RunMetrics: what is counted of every run: how it ended, how fast it spoke, what its model calls cost."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

from gateway.telemetry import families
from gateway.telemetry.families import NANO
from gateway.telemetry.metrics import Cell, Histogram, Metrics
from gateway.telemetry.passage import GRAPH, PASSAGE
from gateway.telemetry.requests import error_class
from gateway.telemetry.runs import outcome
from graph import Event, FlowRun, Instrument, StepUsage, ToolCall
from guardrails import Verdict
from llm import Usage

NOT_RUN = frozenset({"unknown", "refused", "wrong_arguments"})
"""Outcomes of calls that no function was called for."""
KINDS = ("prompt", "completion", "cached", "cache_write", "reasoning")


@dataclass(slots=True)
class _Timing:
    """When a run that streams began, and when it spoke, in nanoseconds."""

    begun: int
    spoke: _Speed
    first: int = 0
    last: int = 0


class RunMetrics(Instrument):
    """Counts runs by the name that they are served under, and calls by that of their model. Runs inside others are a
    part of those."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._open: dict[FlowRun, _Timing] = {}
        self._speeds: dict[str, _Speed] = {}
        self._ends: dict[tuple[str, str], Cell] = {}
        self._calls: dict[tuple[str, bool], _Calls] = {}
        self._rules: dict[tuple[str, str], Histogram] = {}
        self._errors: dict[tuple[str, str, str], Cell] = {}
        self._tools: dict[tuple[str, str], Cell] = {}
        self._tool_seconds: dict[str, Histogram] = {}

    def before_step(self, run: FlowRun, event: Event) -> None:
        if run.steps != 1 or run.outer is not None:
            return
        passage = PASSAGE.get()
        if passage is not None and passage.part < GRAPH:
            passage.turn(GRAPH)
        if getattr(event.body, "stream", False) and run not in self._open:
            begun = passage.begun if passage is not None else perf_counter_ns()
            self._open[run] = _Timing(begun, self._speed(run.plan.name))

    def on_chunk(self, run: FlowRun, event: Event, chunk: Any) -> None:
        timing = self._open.get(run)
        if timing is None:
            return
        now = perf_counter_ns()
        if timing.last:
            timing.spoke.between.observe(now - timing.last)
        else:
            timing.spoke.first.observe(now - timing.begun)
            timing.first = now
        timing.last = now

    def on_error(self, run: FlowRun, event: Event, error: Exception) -> None:
        key = (run.plan.name, event.at, error_class(error))
        if key not in self._errors:
            self._errors[key] = self._metrics.cell(families.STEP_ERRORS, *key)
        self._errors[key].add()

    def after_rule(self, run: FlowRun, rule: str, place: str, nanoseconds: int) -> None:
        key = (rule, place)
        took = self._rules.get(key)
        if took is None:
            took = self._rules[key] = self._metrics.histogram(families.RULES, *key)
        took.observe(nanoseconds)

    def after_tool(self, run: FlowRun, event: Event, call: ToolCall) -> None:
        """Calls of tools that are not there, whose names a model made up, count under no name."""
        key = (call.tool, call.outcome)
        if key not in self._tools:
            self._tools[key] = self._metrics.cell(families.TOOL_CALLS, *key)
        self._tools[key].add()
        if call.outcome in NOT_RUN:
            return
        if call.tool not in self._tool_seconds:
            self._tool_seconds[call.tool] = self._metrics.histogram(families.TOOLS, call.tool)
        self._tool_seconds[call.tool].observe(round(call.seconds * NANO))

    def on_run_end(self, run: FlowRun) -> None:
        if run.outer is not None:
            return
        key = (run.plan.name, outcome(run))
        cell = self._ends.get(key)
        if cell is None:
            cell = self._ends[key] = self._metrics.cell(families.RUNS, *key)
        cell.add()
        if run.verdict is not None:
            self._judge(run.plan.name, run.verdict)
        calls = run.event.meter.calls
        for call in calls:
            self._count(call)
        timing = self._open.pop(run, None)
        if (
            timing is not None
            and timing.first
            and (more := sum(call.usage.completion_tokens for call in calls) - 1) > 0
        ):
            timing.spoke.per_token.observe((perf_counter_ns() - timing.first) // more)

    def _judge(self, model: str, verdict: Verdict) -> None:
        """Each rule counts once of a run for each thing that it did."""
        said = {(span.rule, span.action) for span in verdict.spans} | {(rule, "flag") for rule in verdict.flags}
        if not verdict.allowed:
            said.add((verdict.rule, "refuse"))
        for rule, action in said:
            self._metrics.cell(families.VERDICTS, model, rule, action).add()

    def _speed(self, model: str) -> _Speed:
        if model not in self._speeds:
            histograms = (families.FIRST_TOKEN, families.BETWEEN, families.PER_TOKEN)
            self._speeds[model] = _Speed(*(self._metrics.histogram(each, model) for each in histograms))
        return self._speeds[model]

    def _count(self, call: StepUsage) -> None:
        key = (call.model, call.usage.estimated)
        bound = self._calls.get(key)
        if bound is None:
            bound = self._calls[key] = _Calls(self._metrics, call.model, call.usage.source)
        bound.count(call.usage, call.usd)


@dataclass(frozen=True, slots=True)
class _Speed:
    """How fast a model or a graph speaks."""

    first: Histogram
    between: Histogram
    per_token: Histogram


class _Calls:
    """The calls of a model whose tokens were told, or counted here."""

    def __init__(self, metrics: Metrics, model: str, source: str) -> None:
        self._cells = metrics.cells
        self._number = metrics.at(families.CALLS, model, source)
        self._tokens = [metrics.at(families.TOKENS, model, kind, source) for kind in KINDS]
        self._cost = metrics.at(families.COST, model)
        self._unpriced = metrics.at(families.UNPRICED, model)

    def count(self, usage: Usage, usd: float | None) -> None:
        cells, (prompt, completion, cached, written, reasoning) = self._cells, self._tokens
        cells[self._number] += 1
        cells[prompt] += usage.prompt_tokens
        cells[completion] += usage.completion_tokens
        if usage.details:
            cells[cached] += usage.cached_tokens
            cells[written] += usage.cache_write_tokens
            cells[reasoning] += usage.reasoning_tokens
        if usd is None:
            cells[self._unpriced] += 1
        else:
            cells[self._cost] += round(usd * NANO)
