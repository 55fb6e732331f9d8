"""Logs: one JSON object a line, on standard error, with request ids and without contents or secrets."""

from __future__ import annotations

import sys

import structlog


def configure() -> None:
    """Sets the format of the log. Called once, by the command line."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
