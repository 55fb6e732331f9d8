"""ToolLog: what went wrong in a tool. A model is told that it failed; why is for who runs the gateway."""

from __future__ import annotations

from structlog.typing import FilteringBoundLogger

from graph import Event, FlowRun, Instrument, ToolCall


class ToolLog(Instrument):
    """Logs tools that failed, with the trace of what they raised, and those that took too long."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log

    def after_tool(self, run: FlowRun, event: Event, call: ToolCall) -> None:
        where = {"request_id": event.id, "graph": run.plan.name, "step": event.at, "tool": call.tool}
        if call.outcome == "failed":
            self._log.error("tool_failed", **where, exc_info=call.error)
        elif call.outcome == "timeout":
            self._log.error("tool_timeout", **where, seconds=round(call.seconds, 3))
