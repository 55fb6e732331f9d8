"""What an OpenAI-compatible upstream's errors mean to us."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
from llm.retry_after import retry_after

NO_QUOTA = frozenset({"insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached"})
CALLERS_FAULT = frozenset({400, 404, 409, 413, 415, 422})
REFUSED_LATE = re.compile(
    r"(invalid_(prompt|image|base64_image)|bio_policy|context_length|unsupported_image|empty_image|image_|failed_to_download)"
)
"""Codes of responses that failed because of what was asked."""
USED_UP = "the gateway's account with the upstream is used up"
UNAVAILABLE = "the upstream failed or is overloaded (status {})"


def error_of_answer(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The error for an answer that is none. Only an OpenAI-shaped body is believed, and never that of a 401 or 403."""
    error = _error_object(body)
    wait = retry_after(headers)
    if status in (401, 403):
        return UpstreamCredentialsRefused("the upstream does not accept the gateway's key", upstream_status=status)
    if status in (402, 429):
        return _too_much(status, error, wait)
    if status in CALLERS_FAULT and error is not None:
        return _request_refused(status, error)
    if status in (408, 504):
        return UpstreamTimeout("the upstream itself ran into a timeout", upstream_status=status)
    if status >= 500:
        return UpstreamUnavailable(UNAVAILABLE.format(status), upstream_status=status, retry_after=wait)
    return UpstreamGarbled(f"the upstream answered with status {status} and no error object", upstream_status=status)


def error_of_event(error: Any) -> UpstreamError:
    """The error for an ``error`` object inside a stream."""
    if not isinstance(error, Mapping):
        return UpstreamUnavailable("the upstream reported an error in its stream")
    code = _string(error.get("code"))
    if code in NO_QUOTA:
        return UpstreamQuotaExceeded(USED_UP)
    if code == "rate_limit_exceeded":
        return UpstreamRateLimited("the upstream's rate limit was reached in mid-stream")
    return UpstreamUnavailable("the upstream reported an error in its stream")


def error_of_response(error: Any) -> UpstreamError:
    """The error for a response that failed, or an ``error`` event of the Responses API."""
    code = str(error.get("code")) if isinstance(error, Mapping) else ""
    return _request_refused(400, error) if REFUSED_LATE.match(code) else error_of_event(error)


def _request_refused(status: int, error: Mapping[str, Any]) -> UpstreamRequestRefused:
    message = error.get("message")
    return UpstreamRequestRefused(
        message if isinstance(message, str) else "the upstream refused the request",
        upstream_status=status,
        param=_string(error.get("param")),
        code=_string(error.get("code")),
    )


def _too_much(status: int, error: Mapping[str, Any] | None, wait: float | None) -> UpstreamError:
    said = {str(error.get("code")), str(error.get("type"))} if error is not None else set()
    if status == 402 or said & NO_QUOTA:
        return UpstreamQuotaExceeded(USED_UP, upstream_status=status)
    return UpstreamRateLimited("the upstream's rate limit is reached", upstream_status=status, retry_after=wait)


def _error_object(body: bytes) -> Mapping[str, Any] | None:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(parsed, dict):
        return None
    error = parsed if parsed.get("object") == "error" else parsed.get("error")  # the former is vLLM's older form
    return error if isinstance(error, dict) else None


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None
