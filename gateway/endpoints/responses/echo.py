"""The response object: what was asked, told again as the API does, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.answers import Ending
from gateway.faults import Fault
from llm import Usage

INCOMPLETE: Mapping[str, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why a response is not whole, by the finish reason of its answer."""
DEFAULTS: Final[Mapping[str, Any]] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "prompt_cache_retention": None,
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""What the API tells about members that were not sent."""


def opening(suffix: str, created: int, body: Mapping[str, Any]) -> dict[str, Any]:
    """A response that has just begun; ``created`` is in seconds."""
    return {
        "id": f"resp_{suffix}",
        "object": "response",
        "created_at": created,
        "status": "queued" if body.get("background") else "in_progress",
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "model": body["model"],
        "output": [],
        "reasoning": {"effort": None, "summary": None, **(body.get("reasoning") or {})},
        "text": _text(body.get("text") or {}),
        "usage": None,
        **{name: default if body.get(name) is None else body[name] for name, default in DEFAULTS.items()},
    }


def _text(text: Mapping[str, Any]) -> dict[str, Any]:
    return {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity") or "medium"}


def outcome(ending: Ending) -> dict[str, Any]:
    """The members of a response that has ended without an error."""
    reason = INCOMPLETE.get(ending.finish_reason)
    return {
        "status": "completed" if reason is None else "incomplete",
        "incomplete_details": None if reason is None else {"reason": reason},
        "usage": usage_of(ending.usage),
    }


def usage_of(usage: Usage) -> dict[str, Any]:
    """What a run cost, in this API's words; with ``"estimated": true`` where any of it was counted by us."""
    details = usage.details.get("completion_tokens_details")
    thought = details.get("reasoning_tokens") if isinstance(details, Mapping) else 0
    wire = {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": thought if isinstance(thought, int) else 0},
        "total_tokens": usage.total_tokens,
    }
    return {**wire, "estimated": True} if usage.estimated else wire


def failure(fault: Fault) -> dict[str, Any]:
    """The members of a response that has failed. Its error has one of the few codes that the API has for it."""
    code = "invalid_prompt" if fault.status < 429 else "server_error"
    if fault.status == 429:
        code = "rate_limit_exceeded"
    return {"status": "failed", "error": {"code": code, "message": fault.message}}
