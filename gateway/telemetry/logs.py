"""Logs: one JSON object a line, on standard error, with request ids, and without bodies or secrets.

What an exception says of itself is logged, and may quote what a caller sent. Local variables are not, and each key that
is in the settings is blotted out.
"""

from __future__ import annotations

import sys
from collections.abc import MutableMapping, Sequence
from typing import Any

import orjson
import structlog
from structlog.typing import FilteringBoundLogger, WrappedLogger

from gateway.faults import Fault
from graph.recording.tape import hidden


def logger(secrets: Sequence[str] = ()) -> FilteringBoundLogger:
    """A log of its own, which no configuration of other libraries can change."""

    def line(_logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]) -> str:
        return hidden(orjson.dumps(event, default=str).decode(), secrets)

    wrapped: Any = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
    )
    bound: FilteringBoundLogger = wrapped.bind()
    return bound


def tell_fault(log: FilteringBoundLogger, event: str, error: Exception, fault: Fault, **where: Any) -> None:
    """Logs a fault that is ours, with its trace where nobody foresaw it; one of the caller's is not logged."""
    if fault.is_ours:
        unforeseen = fault.status == 500
        trace, cause = (error, None) if unforeseen else (None, str(error))
        log.error(event, **where, status=fault.status, code=fault.code, exc_info=trace, cause=cause)
