"""The metrics that there are: one table, which ``/metrics`` tells and the documentation and the dashboard are held to.

Values of labels come from the settings and from our own code, never from a caller, so nobody can make more of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from gateway.telemetry.passage import PARTS as PART_NAMES

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
NANO = 10**9
MILLISECOND = 10**6
WAITS = tuple(MILLISECOND * each for each in (1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 120000))
"""Up to where the buckets reach, in nanoseconds, of what waits for a model."""
COSTS = tuple(MILLISECOND * each // 100 for each in (5, 10, 20, 50, 100, 200, 500, 1000, 5000, 25000, 100000))
"""The same of what the gateway does by itself: 50 µs to 1 s."""

LOOKS = tuple(MILLISECOND * each // 100 for each in (1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000, 100000, 1000000))
"""The same of what looks at texts, and of who is asked: 10 µs to 10 s."""


@dataclass(frozen=True, slots=True)
class Family:
    """A metric. Its values are counted in whole ``1 / scale`` of its unit, so that sums are exact."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    scale: int = 1
    buckets: tuple[int, ...] = ()
    values: tuple[str, ...] = ()
    """Those of its last label, where they are known: then their cells stand side by side."""

    @property
    def width(self) -> int:
        """How many cells a series has: a histogram one for each bucket, one for what is above, and the sum; others one,
        or one for each value of their last label."""
        return len(self.buckets) + 2 if self.kind == "histogram" else len(self.values) or 1

    @property
    def samples(self) -> tuple[str, ...]:
        """The names that its samples have in PromQL."""
        if self.kind == "histogram":
            return tuple(f"{self.name}_{part}" for part in ("bucket", "count", "sum"))
        return (f"{self.name}_total",) if self.kind == "counter" else (self.name,)


ROW = ("method", "endpoint")
REQUESTS = Family("penstock_requests", "counter", "Requests answered, by row of the table.", (*ROW, "status"))
IN_FLIGHT = Family("penstock_requests_in_flight", "gauge", "Requests that are being answered.")
ERRORS = Family("penstock_errors", "counter", "Requests that failed, by class of error.", (*ROW, "error"))
SECONDS = Family("penstock_request_seconds", "histogram", "From head to last byte.", ROW, NANO, WAITS)
PARTS = Family(
    "penstock_request_part_seconds",
    "counter",
    "The same by part; parts add up to the whole.",
    (*ROW, "part"),
    NANO,
    values=PART_NAMES,
)
OVERHEAD = Family(
    "penstock_overhead_seconds", "histogram", "What the gateway itself took of a request.", ROW, NANO, COSTS
)
RUNS = Family("penstock_runs", "counter", "Runs of models and graphs that ended.", ("model", "outcome"))
STEP_ERRORS = Family("penstock_step_errors", "counter", "Errors of steps, handled or not.", ("model", "step", "error"))
FIRST_TOKEN = Family(
    "penstock_time_to_first_token_seconds",
    "histogram",
    "From the head of a request to the first chunk of its stream.",
    ("model",),
    NANO,
    WAITS,
)
BETWEEN = Family(
    "penstock_time_between_chunks_seconds", "histogram", "Between two chunks of a stream.", ("model",), NANO, WAITS
)
PER_TOKEN = Family(
    "penstock_time_per_output_token_seconds",
    "histogram",
    "From the first chunk of a stream to its end, for each token after the first.",
    ("model",),
    NANO,
    WAITS,
)
VERDICTS = Family(
    "penstock_guardrail_verdicts",
    "counter",
    "Runs of which a rule of a guardrail had something to say.",
    ("model", "rule", "action"),
)
RULES = Family(
    "penstock_guardrail_seconds",
    "histogram",
    "How long rules took over the texts of a place in a run; those that one machine looks for are together 'compiled'.",
    ("rule", "place"),
    NANO,
    LOOKS,
)
TOOL_CALLS = Family(
    "penstock_tool_calls", "counter", "Calls of tools by models, by how they ended.", ("tool", "outcome")
)
TOOLS = Family("penstock_tool_seconds", "histogram", "How long tools took that were called.", ("tool",), NANO, WAITS)
CACHE = Family(
    "penstock_cache_answers",
    "counter",
    "Answers of models that have a cache, by what that did: hit, joined, semantic, miss, bypass.",
    ("model", "outcome"),
)
CALLS = Family("penstock_model_calls", "counter", "Calls of models, by who counted their tokens.", ("model", "source"))
TOKENS = Family(
    "penstock_tokens",
    "counter",
    "Tokens; cached and cache_write ones are in prompt, reasoning ones in completion.",
    ("model", "kind", "source"),
)
COST = Family("penstock_cost_usd", "counter", "What calls of models cost, where it is known.", ("model",), NANO)
UNPRICED = Family("penstock_unpriced_calls", "counter", "Calls of models that have no price.", ("model",))
QUEUE = Family("penstock_queue_waiting", "gauge", "Who waits in a queue of the gateway's.", ("queue",))
BREAKER = Family("penstock_breaker_open", "gauge", "In how many workers a breaker is open.", ("breaker",))
SETTINGS_RELOADS = Family("penstock_settings_reloads", "counter", "Settings that were read again.", ("outcome",))
SETTINGS_REFUSED = Family(
    "penstock_settings_refused", "gauge", "Workers that could not use the settings that they read last."
)
WORKERS = Family("penstock_workers", "gauge", "Workers that serve.")
LEFT_OUT = Family("penstock_series_left_out", "gauge", "Series that found no place and are not told.")

FAMILIES = (
    *(REQUESTS, IN_FLIGHT, ERRORS, SECONDS, PARTS, OVERHEAD),
    *(RUNS, STEP_ERRORS, VERDICTS, RULES, FIRST_TOKEN, BETWEEN, PER_TOKEN),
    *(CALLS, TOKENS, COST, UNPRICED, CACHE),
    *(TOOL_CALLS, TOOLS),
    *(QUEUE, BREAKER, SETTINGS_RELOADS, SETTINGS_REFUSED, WORKERS, LEFT_OUT),
)
