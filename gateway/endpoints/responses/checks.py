"""What a request of the Responses API must look like; the limits are those of its published specification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.endpoints.responses.items import check_input
from gateway.endpoints.responses.tools import check_tool, check_tool_choice
from llm import InvalidRequest
from llm.chat.validation import (
    Check,
    array_of,
    check_metadata,
    decimal,
    integer,
    missing,
    of_type,
    one_of,
    optional,
    require,
    text_of_at_most,
    wrong_type,
)

MOVED: Mapping[str, str] = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
    "functions": "tools",
    "function_call": "tool_choice",
    "logprobs": "include",
}
"""Members of a chat request, and where the Responses API has them."""
UNSUPPORTED = ("background_options", "context_management", "conversation", "moderation", "n", "prompt")
"""Members that ask for something that would be missed if they were passed over."""
EXCLUDED: Mapping[str, str] = {
    "conversation": "Keep a conversation with 'previous_response_id' instead.",
    "n": "A response holds one answer.",
}


def _check_text(param: str, value: Any) -> None:
    of_type(dict)(param, value)
    if value.get("verbosity") is not None:
        one_of("low", "medium", "high")(f"{param}.verbosity", value["verbosity"])
    wanted = value.get("format")
    if wanted is None:
        return
    of_type(dict)(f"{param}.format", wanted)
    require(f"{param}.format", wanted, "type", one_of("text", "json_object", "json_schema"))
    if wanted["type"] == "json_schema":
        require(f"{param}.format", wanted, "name", of_type(str))
        require(f"{param}.format", wanted, "schema", of_type(dict))
        optional(f"{param}.format", wanted, {"strict": of_type(bool), "description": of_type(str)})


def _check_reasoning(param: str, value: Any) -> None:
    of_type(dict)(param, value)
    summary = one_of("auto", "concise", "detailed")
    optional(param, value, {"effort": of_type(str), "summary": summary, "generate_summary": summary})


def _check_input(param: str, value: Any) -> None:
    if isinstance(value, list):
        check_input(param, value)
    elif not isinstance(value, str):
        raise wrong_type(param, "a string or an array of items", value)


CHECKS: Mapping[str, Check] = {
    "background": of_type(bool),
    "include": array_of(of_type(str)),
    "instructions": of_type(str),
    "max_output_tokens": integer(16),
    "max_tool_calls": integer(1),
    "metadata": check_metadata,
    "parallel_tool_calls": of_type(bool),
    "previous_response_id": of_type(str),
    "prompt_cache_key": of_type(str),
    "prompt_cache_retention": one_of("in_memory", "24h"),
    "reasoning": _check_reasoning,
    "safety_identifier": text_of_at_most(64),
    "service_tier": one_of("auto", "default", "flex", "scale", "priority", "fast", "ultrafast"),
    "store": of_type(bool),
    "stream": of_type(bool),
    "stream_options": of_type(dict),
    "temperature": decimal(0, 2),
    "text": _check_text,
    "tool_choice": check_tool_choice,
    "tools": array_of(check_tool, most=128),
    "top_logprobs": integer(0, 20),
    "top_p": decimal(0, 1),
    "truncation": one_of("auto", "disabled"),
    "user": of_type(str),
}


def checked(wire: object) -> dict[str, Any]:
    """The members of a request that are not null, each checked.

    Raises:
        InvalidRequest: on the first member that is wrong, naming it.
    """
    if not isinstance(wire, dict):
        raise InvalidRequest("We expected a JSON object as the body of your request.")
    body = {name: value for name, value in wire.items() if value is not None}
    _refuse_others(body)
    require("", body, "model", of_type(str))
    if not body["model"]:
        raise missing("model")
    require("", body, "input", _check_input)
    for name, check in CHECKS.items():
        if name in body:
            check(name, body[name])
    if body.get("background") and not body.get("store", True):
        raise InvalidRequest("A response in the background must be stored: 'store' must be true.", param="store")
    return body


def _refuse_others(body: Mapping[str, Any]) -> None:
    for name in body:
        if name in MOVED:
            hint = f"In the Responses API, this parameter has moved to '{MOVED[name]}'."
        elif name in UNSUPPORTED:
            hint = EXCLUDED.get(name, "This gateway does not offer it.")
        else:
            continue
        message = f"Unsupported parameter: '{name}'. {hint}"
        raise InvalidRequest(message, param=name, code="unsupported_parameter")
