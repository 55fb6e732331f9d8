"""UsageRow: who ran what, what it took and how it ended. Contents are not in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import msgspec
import orjson

from gateway.errors import LimitReached
from gateway.store.protocol import MOST, NANOS
from gateway.telemetry.runs import outcome
from graph import FlowRun, StepUsage
from llm import Usage


@dataclass(frozen=True, slots=True)
class UsageRow:
    """A run. A request has one, or one for each of its choices; the first of them has the id of the request."""

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
    """1, or 0 for further choices of a request."""
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

    @classmethod
    def of_cached(cls, request: str, key: str, team: str, model: str) -> UsageRow:
        """The row of a request that was answered from a cache: nobody was asked, and nothing is paid."""
        return cls(time.time(), request, key, team, model, "", "cached", "", 1, 0, 0, 0, 0, 0, 0, 0.0, "[]")

    def to_json(self) -> dict[str, Any]:
        """The row as it is exported."""
        row = {each.name: getattr(self, each.name) for each in fields(self)}
        nanos = row.pop("nanos")
        return {**row, "usd": None if nanos is None else nanos / NANOS, "steps": orjson.loads(self.steps)}


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

    def __call__(self, run: FlowRun) -> UsageRow:
        """The row of a run that is over."""
        event, meter = run.event, run.event.meter
        usage, usd, calls = run.usage, meter.usd, meter.calls
        error = run.error or run.limit
        return UsageRow(
            at=time.time(),
            run=event.id,
            key=event.caller,
            team=self.team_of(event.caller),
            model=run.plan.name,
            deployment=self._deployment(calls[-1]) if calls else "",
            outcome="refused" if isinstance(error, LimitReached) else outcome(run),
            error=type(error).__name__ if error else "",
            requests=int("-" not in event.id),
            prompt_tokens=min(usage.prompt_tokens, MOST),
            completion_tokens=min(usage.completion_tokens, MOST),
            total_tokens=min(usage.total_tokens, MOST),
            cached_tokens=min(usage.cached_tokens, MOST),
            estimated_tokens=min(sum(call.usage.total_tokens for call in calls if call.usage.estimated), MOST),
            nanos=None if usd is None else round(min(usd * NANOS, MOST)),
            seconds=run.seconds,
            steps=orjson.dumps(_steps(calls)).decode() if calls else "[]",
        )

    def _deployment(self, call: StepUsage) -> str:
        return call.deployment or self.deployments.get(call.model, call.model)


def _steps(calls: Iterable[StepUsage]) -> list[dict[str, Any]]:
    """Of each step the sum of its calls of a model, so that a long run has a short row."""
    sums: dict[tuple[str, str], tuple[int, Usage, float | None]] = {}
    for call in calls:
        number, usage, usd = sums.get((call.step, call.model), (0, Usage(), 0.0))
        cost = None if usd is None or call.usd is None else usd + call.usd
        sums[call.step, call.model] = (number + 1, usage + call.usage, cost)
    return [
        {
            "step": step,
            "model": model,
            "calls": number,
            "prompt_tokens": min(usage.prompt_tokens, MOST),
            "completion_tokens": min(usage.completion_tokens, MOST),
            "source": usage.source,
            "usd": usd,
        }
        for (step, model), (number, usage, usd) in sums.items()
    ]
