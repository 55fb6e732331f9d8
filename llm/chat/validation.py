"""What a chat request must look like, member by member, and how to say that it does not.

The limits are those of OpenAI's published specification; the wording and the codes are those that its API answers
with, because clients match on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llm.errors import InvalidRequest

Check = Callable[[str, Any], None]
MAX_MESSAGES = 2048
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
KINDS = {bool: "a boolean", int: "an integer", float: "a decimal", str: "a string", list: "an array", dict: "an object"}


def wrong_type(param: str, expected: str, value: object) -> InvalidRequest:
    """The error for a value of the wrong JSON type."""
    got = KINDS.get(type(value), "null")
    message = f"Invalid type for '{param}': expected {expected}, but got {got} instead."
    return InvalidRequest(message, param=param, code="invalid_type")


def wrong_value(param: str, value: object, supported: Sequence[str]) -> InvalidRequest:
    """The error for a value that is none of those supported."""
    listed = ", ".join(f"'{name}'" for name in supported)
    return InvalidRequest(
        f"Invalid value: '{value}'. Supported values are: {listed}.", param=param, code="invalid_value"
    )


def missing(param: str) -> InvalidRequest:
    """The error for a required member that is absent."""
    return InvalidRequest(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def _bounded(param: str, kind: str, value: float, low: float | None, high: float | None) -> None:
    if low is not None and value < low:
        side, code, relation = "below minimum", "below_min", f">= {low}"
    elif high is not None and value > high:
        side, code, relation = "above maximum", "above_max", f"<= {high}"
    else:
        return
    raise InvalidRequest(
        f"Invalid '{param}': {kind} {side} value. Expected a value {relation}, but got {value} instead.",
        param=param,
        code=f"{kind}_{code}_value",
    )


def decimal(low: float, high: float) -> Check:
    """A number from ``low`` to ``high``; true and false are no numbers."""

    def check(param: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise wrong_type(param, "a decimal", value)
        _bounded(param, "decimal", value, low, high)

    return check


def integer(low: int | None = None, high: int | None = None) -> Check:
    """A whole number from ``low`` to ``high``."""

    def check(param: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(param, "an integer", value)
        _bounded(param, "integer", value, low, high)

    return check


def of_type(kind: type) -> Check:
    """A value of one JSON type."""

    def check(param: str, value: Any) -> None:
        if type(value) is not kind:
            raise wrong_type(param, KINDS[kind], value)

    return check


def one_of(*supported: str) -> Check:
    """One of a few strings."""

    def check(param: str, value: Any) -> None:
        of_type(str)(param, value)
        if value not in supported:
            raise wrong_value(param, value, supported)

    return check


def array_of(check_item: Check, most: int | None = None, *, least: int = 0) -> Check:
    """An array of at least ``least`` and at most ``most`` such values."""

    def check(param: str, value: Any) -> None:
        of_type(list)(param, value)
        if len(value) < least:
            message = f"Invalid '{param}': empty array. Expected an array with minimum length {least}."
            raise InvalidRequest(message, param=param, code="empty_array")
        if most is not None and len(value) > most:
            message = f"Invalid '{param}': array too long. Expected an array with maximum length {most}."
            raise InvalidRequest(message, param=param, code="array_above_max_length")
        for index, item in enumerate(value):
            check_item(f"{param}[{index}]", item)

    return check


def _check_stop(param: str, value: Any) -> None:
    if isinstance(value, list):
        array_of(of_type(str), most=4)(param, value)
    elif not isinstance(value, str):
        raise wrong_type(param, "a string or an array of strings", value)


def _check_strings(param: str, value: Any) -> None:
    of_type(dict)(param, value)
    for name, item in value.items():
        of_type(str)(f"{param}.{name}", item)


def _check_integers(param: str, value: Any) -> None:
    of_type(dict)(param, value)
    for name, item in value.items():
        integer()(f"{param}.{name}", item)


def require(param: str, value: Mapping[str, Any], name: str, check: Check) -> None:
    """Checks a member that must be there, of the object at ``param``; of the body itself that is ``""``."""
    if value.get(name) is None:
        raise missing(f"{param}.{name}" if param else name)
    check(f"{param}.{name}" if param else name, value[name])


def optional(param: str, value: Mapping[str, Any], checks: Mapping[str, Check]) -> None:
    """Checks members that may be there; a null is the same as absence."""
    for name, check in checks.items():
        if value.get(name) is not None:
            check(f"{param}.{name}", value[name])


def _check_tool(param: str, value: Any) -> None:
    of_type(dict)(param, value)
    require(param, value, "type", one_of("function", "custom"))
    kind = value["type"]
    require(param, value, kind, of_type(dict))
    require(f"{param}.{kind}", value[kind], "name", of_type(str))
    optional(
        f"{param}.{kind}",
        value[kind],
        {"parameters": of_type(dict), "description": of_type(str), "strict": of_type(bool), "format": of_type(dict)},
    )


def _check_tool_choice(param: str, value: Any) -> None:
    if isinstance(value, str):
        one_of("none", "auto", "required")(param, value)
    elif isinstance(value, dict):
        require(param, value, "type", one_of("function", "custom", "allowed_tools"))
        kind = value["type"]
        require(param, value, kind, of_type(dict))
        if kind == "allowed_tools":
            optional(f"{param}.{kind}", value[kind], {"mode": one_of("auto", "required")})
            require(f"{param}.{kind}", value[kind], "tools", array_of(of_type(dict)))
        else:
            require(f"{param}.{kind}", value[kind], "name", of_type(str))
    else:
        raise wrong_type(param, "a string or an object", value)


def _check_response_format(param: str, value: Any) -> None:
    of_type(dict)(param, value)
    require(param, value, "type", one_of("text", "json_object", "json_schema"))
    if value["type"] == "json_schema":
        require(param, value, "json_schema", of_type(dict))
        require(f"{param}.json_schema", value["json_schema"], "name", of_type(str))
        checks = {"schema": of_type(dict), "strict": of_type(bool), "description": of_type(str)}
        optional(f"{param}.json_schema", value["json_schema"], checks)


def _check_tool_call(param: str, value: Any) -> None:
    of_type(dict)(param, value)
    require(param, value, "id", of_type(str))
    optional(param, value, {"type": one_of("function", "custom")})
    kind = value.get("type") or "function"
    require(param, value, kind, of_type(dict))
    require(f"{param}.{kind}", value[kind], "name", of_type(str))
    require(f"{param}.{kind}", value[kind], "arguments" if kind == "function" else "input", of_type(str))


def _check_content(param: str, value: Any) -> None:
    if isinstance(value, list):
        array_of(_check_part)(param, value)
    elif not isinstance(value, str):
        raise wrong_type(param, "a string or an array of content parts", value)


def _check_part(param: str, value: Any) -> None:
    of_type(dict)(param, value)
    require(param, value, "type", of_type(str))
    kind = value["type"]
    if kind == "refusal":
        optional(param, value, {"refusal": of_type(str), "text": of_type(str)})
    elif kind in PARTS:
        require(param, value, kind, PARTS[kind])


def _check_image(param: str, value: Any) -> None:
    """An address, which some clients write without the object around it."""
    if isinstance(value, dict):
        require(param, value, "url", of_type(str))
    elif not isinstance(value, str):
        raise wrong_type(param, "an object", value)


PARTS: Mapping[str, Check] = {
    "text": of_type(str),
    "image_url": _check_image,
    "file": of_type(dict),
    "input_audio": of_type(dict),
}
"""What a part has under the name of its type. Parts of other types go upstream as they come."""


def _check_message(param: str, value: Any) -> None:
    of_type(dict)(param, value)
    require(param, value, "role", one_of(*ROLES))
    calls = value.get("tool_calls")
    if calls is not None:
        array_of(_check_tool_call)(f"{param}.tool_calls", calls)
    if value.get("content") is not None:
        _check_content(f"{param}.content", value["content"])
    elif value["role"] != "assistant" or not (calls or value.get("function_call") or value.get("refusal")):
        raise missing(f"{param}.content")
    if value["role"] == "tool":
        require(param, value, "tool_call_id", of_type(str))
    optional(param, value, MEMBERS)


MEMBERS: Mapping[str, Check] = {
    "refusal": of_type(str),
    "name": of_type(str),
    "thinking_blocks": array_of(of_type(dict)),
    "reasoning_items": array_of(of_type(dict)),
}
"""What any message may have besides its role and content: OpenAI's, and the thoughts that providers want back."""


def _check_stream_options(param: str, value: Any) -> None:
    of_type(dict)(param, value)
    optional(param, value, {"include_usage": of_type(bool)})


CHECKS: Mapping[str, Check] = {
    "stream": of_type(bool),
    "stream_options": _check_stream_options,
    "temperature": decimal(0, 2),
    "top_p": decimal(0, 1),
    "n": integer(1, 128),
    "stop": _check_stop,
    "max_completion_tokens": integer(1),
    "max_tokens": integer(1),
    "presence_penalty": decimal(-2, 2),
    "frequency_penalty": decimal(-2, 2),
    "logit_bias": _check_integers,
    "logprobs": of_type(bool),
    "top_logprobs": integer(0, 20),
    "seed": integer(-(2**63), 2**63 - 1),
    "tools": array_of(_check_tool, most=128),
    "tool_choice": _check_tool_choice,
    "parallel_tool_calls": of_type(bool),
    "response_format": _check_response_format,
    "metadata": _check_strings,
    "user": of_type(str),
    "modalities": array_of(of_type(str)),
    "reasoning_effort": of_type(str),
    "verbosity": of_type(str),
    "service_tier": of_type(str),
}


def model_of(wire: Any) -> str:
    """The model that a body names.

    Raises:
        InvalidRequest: when the body is no object, or names none.
    """
    if not isinstance(wire, dict):
        raise InvalidRequest("We expected a JSON object as the body of your request.")
    model: Any = wire.get("model")
    if model in (None, ""):
        raise InvalidRequest("you must provide a model parameter")
    of_type(str)("model", model)
    return str(model)


def check_request(wire: Any) -> dict[str, Any]:
    """The members of a chat request that are not null, each checked.

    Raises:
        InvalidRequest: on the first member that is wrong.
    """
    model_of(wire)
    body = {name: value for name, value in wire.items() if value is not None}
    require("", body, "messages", array_of(_check_message, least=1, most=MAX_MESSAGES))
    for name, check in CHECKS.items():
        if name in body:
            check(name, body[name])
    options_of(body)
    return body


def options_of(body: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether a checked body wants its answer streamed, and then the usage as well.

    Raises:
        InvalidRequest: when it says how to stream, and not to stream.
    """
    stream, options = bool(body.get("stream")), body.get("stream_options")
    if options is not None and not stream:
        raise InvalidRequest(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    return stream, bool((options or {}).get("include_usage"))
