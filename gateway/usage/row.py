"""UsageRow: who ran what, what it took and how it ended. Contents are not in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import msgspec
import orjson

from gateway.errors import LimitReached
from gateway.store.protocol import MOST, NANOS
from gateway.telemetry.runs import outcome
from graph import FlowRun, Meter, StepUsage
from llm import Usage


@dataclass(slots=True)
class UsageRow:
    """A run. A request has one, or one for each of its choices; the first of them has the id of the request. Nobody
    changes a row; were it frozen, it would take three times as long to make."""

    at: float
    """When it ended, in seconds since 1970."""
    run: str
    key: str
    team: str
    model: str
    """The name that was asked for."""
    deployment: str
    """Who answered last: ``provider/model``; empty when nobody was asked."""
    outcome: str
    """``answered``, ``limited``, ``left``, ``failed``, ``refused`` by a limit; ``cached`` without a run."""
    error: str
    requests: int
    """1, or 0 for what a request runs beside that: further choices, the embedding by which a cache compares it."""
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int
    estimated_tokens: int
    """How many of the total were counted by us, as the provider reported none."""
    nanos: int | None
    """Billionths of a US dollar; None when nobody has said what a model costs."""
    seconds: float
    steps: str
    """What each step took, as a JSON array."""

    def to_json(self) -> dict[str, Any]:
        """The row as it is exported."""
        row = {each.name: getattr(self, each.name) for each in fields(self)}
        nanos = row.pop("nanos")
        return {**row, "usd": None if nanos is None else nanos / NANOS, "steps": orjson.loads(self.steps)}


@dataclass(slots=True)
class Ended:
    """What a row is made of, taken down while the run ends: not the run, which holds the whole conversation."""

    at: float
    run: str
    caller: str
    model: str
    outcome: str
    error: str
    seconds: float
    meter: Meter

    @classmethod
    def of(cls, run: FlowRun) -> Ended:
        """What has become of a run that is over."""
        event, error = run.event, run.error or run.limit
        ended = "refused" if isinstance(error, LimitReached) else outcome(run)
        name = type(error).__name__ if error else ""
        return cls(time.time(), event.id, event.caller, run.plan.name, ended, name, run.seconds, event.meter)

    @classmethod
    def cached(cls, request: str, caller: str, model: str) -> Ended:
        """A request that was answered from a cache: nobody was asked, and nothing is paid."""
        return cls(time.time(), request, caller, model, "cached", "", 0.0, Meter())


COLUMNS = tuple(each.name for each in fields(UsageRow))
ENCODE = msgspec.json.Encoder().encode
DECODE = msgspec.json.Decoder(UsageRow).decode


@dataclass(frozen=True, slots=True)
class Describer:
    """Makes the rows of runs.

    Args:
        team_of: the team of a key, by name.
        deployments: ``provider/model`` of each model that is not routed, by name.
    """

    team_of: Callable[[str], str]
    deployments: Mapping[str, str]

    def __call__(self, ended: Ended) -> UsageRow:
        """The row of a run that is over."""
        meter = ended.meter
        usage, usd, calls = meter.usage, meter.usd, meter.calls
        return UsageRow(
            at=ended.at,
            run=ended.run,
            key=ended.caller,
            team=self.team_of(ended.caller),
            model=ended.model,
            deployment=self._deployment(calls[-1]) if calls else "",
            outcome=ended.outcome,
            error=ended.error,
            requests=int("-" not in ended.run),
            prompt_tokens=min(usage.prompt_tokens, MOST),
            completion_tokens=min(usage.completion_tokens, MOST),
            total_tokens=min(usage.total_tokens, MOST),
            cached_tokens=min(usage.cached_tokens, MOST),
            estimated_tokens=min(sum(call.usage.total_tokens for call in calls if call.usage.estimated), MOST),
            nanos=None if usd is None else round(min(usd * NANOS, MOST)),
            seconds=ended.seconds,
            steps=orjson.dumps(_steps(calls)).decode() if calls else "[]",
        )

    def _deployment(self, call: StepUsage) -> str:
        return call.deployment or self.deployments.get(call.model, call.model)


def _steps(calls: Sequence[StepUsage]) -> list[dict[str, Any]]:
    """Of each step the sum of its calls of a model, so that a long run has a short row."""
    if len(calls) == 1:
        return [_step(calls[0].step, calls[0].model, 1, calls[0].usage, calls[0].usd)]
    groups: dict[tuple[str, str], Meter] = {}
    for call in calls:
        groups.setdefault((call.step, call.model), Meter()).book(call)
    return [_step(*place, len(meter.calls), meter.usage, meter.usd) for place, meter in groups.items()]


def _step(step: str, model: str, number: int, usage: Usage, usd: float | None) -> dict[str, Any]:
    return {
        "step": step,
        "model": model,
        "calls": number,
        "prompt_tokens": min(usage.prompt_tokens, MOST),
        "completion_tokens": min(usage.completion_tokens, MOST),
        "source": usage.source,
        "usd": usd,
    }
