"""Penstock with tracing on: an Instrument that overrides every hook and notes a span for every step, as a tracer does.

The spans of a run are thrown away at its end, where a tracer would export them.
"""

from __future__ import annotations

import time
from typing import Any

from graph import Event, FlowRun, Hooks, Instrument

from . import penstock


class Trace(Instrument):
    def __init__(self) -> None:
        self.open: dict[tuple[str, str], float] = {}
        self.spans: list[tuple[str, float, float]] = []
        self.chunks = 0

    def before_step(self, run: FlowRun, event: Event) -> None:
        self.open[event.id, event.at] = time.perf_counter()

    def after_step(self, run: FlowRun, event: Event) -> None:
        begun = self.open.pop((event.id, event.at))
        self.spans.append((event.at, begun, time.perf_counter() - begun))

    def on_chunk(self, run: FlowRun, event: Event, chunk: Any) -> None:
        self.chunks += 1

    def on_error(self, run: FlowRun, event: Event, error: Exception) -> None:
        self.open.pop((event.id, event.at), None)

    def on_run_end(self, run: FlowRun) -> None:
        self.spans.clear()


if __name__ == "__main__":
    penstock.watching = Hooks.of([Trace()])
    penstock.measure()
