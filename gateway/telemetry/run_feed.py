"""RunFeed: tells the feed what each run and each of its steps is doing. Contents are not told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gateway.telemetry.feed import Feed
from gateway.telemetry.requests import error_class
from gateway.telemetry.runs import outcome, place_of
from graph import Event, FlowRun, Instrument


class RunFeed(Instrument):
    """Writes to the ring of one worker."""

    def __init__(self, feed: Feed, worker: int = 0) -> None:
        self._feed = feed
        self._until = feed.until
        self._worker = worker

    def before_step(self, run: FlowRun, event: Event) -> None:
        if self._until[0] and self._feed.is_heard:
            if run.steps == 1 and run.outer is None:
                self._tell("run_started", run, caller=event.caller)
            self._tell("step_started", run, step=place_of(event))

    def after_step(self, run: FlowRun, event: Event) -> None:
        if self._until[0] and self._feed.is_heard:
            self._tell("step_ended", run, step=place_of(event))

    def on_error(self, run: FlowRun, event: Event, error: Exception) -> None:
        if self._until[0] and self._feed.is_heard:
            self._tell("step_failed", run, step=place_of(event), error=error_class(error))

    def on_run_end(self, run: FlowRun) -> None:
        if self._until[0] and run.outer is None and self._feed.is_heard:
            failure = run.error or run.limit
            usage = {"prompt_tokens": run.usage.prompt_tokens, "completion_tokens": run.usage.completion_tokens}
            error = error_class(failure) if failure is not None else None
            self._tell("run_ended", run, outcome=outcome(run), error=error, seconds=run.seconds, **usage)

    def _tell(self, kind: str, run: FlowRun, **more: Any) -> None:
        while run.outer is not None:
            run = run.outer
        event = {"type": kind, "run": run.event.id, "graph": run.plan.name, "worker": self._worker}
        self._feed.write(self._worker, {**event, "at": datetime.now(UTC), **more})
