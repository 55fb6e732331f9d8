"""What an OpenAI-compatible upstream's errors mean to us."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from llm.errors import (
    UpstreamCredentialsRefused,
    UpstreamError,
    UpstreamGarbled,
    UpstreamQuotaExceeded,
    UpstreamRateLimited,
    UpstreamRequestRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
)

NO_QUOTA = frozenset({"insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached"})
CALLERS_FAULT = frozenset({400, 404, 409, 413, 415, 422})
UNAVAILABLE = "the upstream failed or is overloaded (status {})"


def error_of_answer(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The error for an answer that is none. Only an OpenAI-shaped body is believed, and never that of a 401 or 403."""
    error = _error_object(body)
    retry_after = _retry_after(headers)
    if status in (401, 403):
        return UpstreamCredentialsRefused("the upstream does not accept the gateway's key", upstream_status=status)
    if status == 429:
        return _rate_limited(error, retry_after)
    if status in CALLERS_FAULT and error is not None:
        return _request_refused(status, error)
    if status in (408, 504):
        return UpstreamTimeout("the upstream itself ran into a timeout", upstream_status=status)
    if status >= 500:
        return UpstreamUnavailable(UNAVAILABLE.format(status), upstream_status=status, retry_after=retry_after)
    return UpstreamGarbled(f"the upstream answered with status {status} and no error object", upstream_status=status)


def error_of_event(error: Any) -> UpstreamError:
    """The error for an ``error`` object inside a stream."""
    if not isinstance(error, Mapping):
        return UpstreamUnavailable("the upstream reported an error in its stream")
    if error.get("code") in NO_QUOTA:
        return UpstreamQuotaExceeded("the gateway's account with the upstream is used up")
    if error.get("code") == "rate_limit_exceeded":
        return UpstreamRateLimited("the upstream's rate limit was reached in mid-stream")
    return UpstreamUnavailable("the upstream reported an error in its stream")


def _request_refused(status: int, error: Mapping[str, Any]) -> UpstreamRequestRefused:
    message = error.get("message")
    return UpstreamRequestRefused(
        message if isinstance(message, str) else "the upstream refused the request",
        upstream_status=status,
        param=_string(error.get("param")),
        code=_string(error.get("code")),
    )


def _rate_limited(error: Mapping[str, Any] | None, retry_after: float | None) -> UpstreamError:
    if error is not None and (error.get("code") in NO_QUOTA or error.get("type") in NO_QUOTA):
        return UpstreamQuotaExceeded("the gateway's account with the upstream is used up", upstream_status=429)
    return UpstreamRateLimited("the upstream's rate limit is reached", upstream_status=429, retry_after=retry_after)


def _error_object(body: bytes) -> Mapping[str, Any] | None:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    error = parsed.get("error") if isinstance(parsed, dict) else None
    return error if isinstance(error, dict) else None


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from ``retry-after-ms`` or ``retry-after`` (a number or a date)."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        if "retry-after" in headers:
            return _seconds(headers["retry-after"])
    except ValueError:
        return None
    return None


def _seconds(value: str) -> float:
    if value.replace(".", "", 1).isdigit():
        return float(value)
    return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
