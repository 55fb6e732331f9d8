"""What Anthropic's errors mean to us (https://docs.anthropic.com/en/api/errors).

Statuses mean what they mean at OpenAI, 529 (overloaded) among the 5xx. What OpenAI says with a ``code`` and a ``param``
Anthropic says in words; those that clients act on are read from them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llm.errors import (
    UpstreamCredentialsRefused,
    UpstreamError,
    UpstreamQuotaExceeded,
    UpstreamRateLimited,
    UpstreamRequestRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from llm.providers import openai_errors

IN_MID_STREAM = "the upstream reported an error in its stream"
NO_CREDIT = re.compile(r"credit balance is too low", re.IGNORECASE)
TOO_LONG = re.compile(r"prompt is too long|exceed(s|ed)? (the )?context (limit|window)", re.IGNORECASE)
PLACE = re.compile(r"`?([a-z_]+)`?(?:[.\[][\w.\[\]]*)?: |`([a-z_]+)` ")
TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""What an error is called, by its status."""
OPENAIS = {"stop_sequences": "stop", "system": "messages", "output_config": "response_format"}
"""What a member of Anthropic's request is at OpenAI."""


def error_of_answer(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The error for an answer that is none."""
    error = openai_errors.error_of_answer(status, headers, body)
    return _refused(error) if isinstance(error, UpstreamRequestRefused) else error


def error_of_event(error: Any) -> UpstreamError:
    """The error for an ``error`` event inside a stream."""
    said = error if isinstance(error, Mapping) else {}
    match said.get("type"):
        case "rate_limit_error":
            return UpstreamRateLimited("the upstream's rate limit was reached in mid-stream")
        case "billing_error":
            return UpstreamQuotaExceeded(openai_errors.USED_UP)
        case "timeout_error":
            return UpstreamTimeout("the upstream itself ran into a timeout")
        case "authentication_error" | "permission_error":
            return UpstreamCredentialsRefused("the upstream does not accept the gateway's key")
        case "invalid_request_error" | "not_found_error" | "request_too_large":
            message = str(said.get("message") or "the upstream refused the request")
            return _refused(UpstreamRequestRefused(message, upstream_status=400, param=None, code=None))
        case _:  # overloaded_error, api_error, and what is still to come
            return UpstreamUnavailable(IN_MID_STREAM)


def _refused(error: UpstreamRequestRefused) -> UpstreamError:
    """The refusal with OpenAI's ``param`` and ``code``, as far as its words tell them."""
    said, status = str(error), error.upstream_status or 400
    if NO_CREDIT.search(said):
        return UpstreamQuotaExceeded(openai_errors.USED_UP, upstream_status=status)
    if TOO_LONG.search(said):
        error.param, error.code = "messages", "context_length_exceeded"
    elif status == 404:
        error.code = "model_not_found"
    elif place := PLACE.match(said):
        name = place[1] or place[2]
        error.param = OPENAIS.get(name, name)
    return error
