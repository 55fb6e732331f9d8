"""Failures: the classes of errors that fallbacks are given by, and what an error says of the deployment behind it."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from llm import (
    ContextLengthExceeded,
    InvalidRequest,
    ModelError,
    UpstreamQuotaExceeded,
    UpstreamRateLimited,
    UpstreamRequestRefused,
    UpstreamTimeout,
)

Failure: TypeAlias = Literal["rate_limit", "context_length", "content_filter", "server", "timeout", "caller"]
TOO_LONG = frozenset({"context_length_exceeded", "string_above_max_length"})
CONTENT_FILTER: Final = "content_filter"
"""The class, and why an answer that was filtered says that it ended."""
FILTERED = frozenset({CONTENT_FILTER, "content_policy_violation", "invalid_prompt", "bio_policy"})
NOT_THERE = frozenset({"model_not_found", "DeploymentNotFound", "not_found_error"})
"""Codes of refusals that are about the deployment, not about what was asked of it."""


def failure_of(error: ModelError) -> Failure:
    """The class of an error. ``caller`` is what every deployment would say, so nobody else is asked."""
    if isinstance(error, (UpstreamRateLimited, UpstreamQuotaExceeded)):
        return "rate_limit"
    if isinstance(error, UpstreamTimeout):
        return "timeout"
    if isinstance(error, ContextLengthExceeded):
        return "context_length"
    if isinstance(error, (InvalidRequest, UpstreamRequestRefused)):
        return _refusal(error)
    return "server"


def _refusal(error: InvalidRequest | UpstreamRequestRefused) -> Failure:
    if error.code in TOO_LONG:
        return "context_length"
    if error.code in FILTERED:
        return CONTENT_FILTER
    return "server" if error.code in NOT_THERE else "caller"


def is_fault(failure: Failure) -> bool:
    """Whether a failure speaks against the deployment, and another one may do better with the same request."""
    return failure in ("rate_limit", "server", "timeout")
