"""``Retry-After``: how long a server asks us to wait (RFC 9110, 10.2.3), and OpenAI's finer ``retry-after-ms``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from 0 on; None where the headers say nothing, or nothing that makes sense."""
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        elif "retry-after" in headers:
            seconds = _seconds(headers["retry-after"])
        else:
            return None
    except (ValueError, OverflowError):
        return None
    return max(0.0, seconds) if isfinite(seconds) else None


def _seconds(value: str) -> float:
    if value.replace(".", "", 1).isdecimal():
        return float(value)
    when = parsedate_to_datetime(value)
    return ((when if when.tzinfo else when.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds()
