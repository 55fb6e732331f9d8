"""What a chat request must look like, member by member; the limits are those of OpenAI's published specification.

What OpenAI adds every few months (efforts, tiers, modalities) is looked at by its type only, and unknown members not at
all: they are the upstream's to judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm.chat.message_checks import check_message, without_no_calls
from llm.chat.validation import (
    MAX_MESSAGES,
    Check,
    array_of,
    check_metadata,
    decimal,
    integer,
    of_type,
    one_of,
    optional,
    require,
    text_of_at_most,
    wrong_type,
)
from llm.errors import InvalidRequest

MAX_TOOLS = 128


def _check_stop(param: str, value: Any) -> None:
    if isinstance(value, list):
        array_of(of_type(str), most=4, least=1)(param, value)
    elif not isinstance(value, str):
        raise wrong_type(param, "a string or an array of strings", value)


def _check_integers(param: str, value: Any) -> None:
    of_type(dict)(param, value)
    for name, item in value.items():
        integer()(f"{param}.{name}", item)


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
            require(f"{param}.{kind}", value[kind], "mode", one_of("auto", "required"))
            require(f"{param}.{kind}", value[kind], "tools", array_of(of_type(dict), MAX_TOOLS, least=1))
        else:
            require(f"{param}.{kind}", value[kind], "name", of_type(str))
    else:
        raise wrong_type(param, "a string or an object", value)


def _check_function(param: str, value: Any) -> None:
    of_type(dict)(param, value)
    require(param, value, "name", of_type(str))
    optional(param, value, {"parameters": of_type(dict), "description": of_type(str)})


def _check_function_call(param: str, value: Any) -> None:
    if isinstance(value, str):
        one_of("none", "auto")(param, value)
    elif isinstance(value, dict):
        require(param, value, "name", of_type(str))
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


def _check_stream_options(param: str, value: Any) -> None:
    of_type(dict)(param, value)
    optional(param, value, {"include_usage": of_type(bool), "include_obfuscation": of_type(bool)})


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
    "tools": array_of(_check_tool, MAX_TOOLS, least=1),
    "tool_choice": _check_tool_choice,
    "parallel_tool_calls": of_type(bool),
    "response_format": _check_response_format,
    "metadata": check_metadata,
    "user": of_type(str),
    "modalities": array_of(of_type(str)),
    "reasoning_effort": of_type(str),
    "verbosity": of_type(str),
    "service_tier": of_type(str),
    "store": of_type(bool),
    "functions": array_of(_check_function, MAX_TOOLS, least=1),
    "function_call": _check_function_call,
    "safety_identifier": text_of_at_most(64),
    "prompt_cache_key": of_type(str),
    "audio": of_type(dict),
    "prediction": of_type(dict),
    "web_search_options": of_type(dict),
}


CHECK_MODEL = of_type(str)
CHECK_MESSAGES = array_of(check_message, least=1, most=MAX_MESSAGES)


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
    CHECK_MODEL("model", model)
    return str(model)


def check_request(wire: Any) -> dict[str, Any]:
    """The members of a chat request that are not null, each checked.

    Raises:
        InvalidRequest: on the first member that is wrong.
    """
    model_of(wire)
    body = {name: value for name, value in wire.items() if value is not None}
    require("", body, "messages", CHECK_MESSAGES)
    for name, check in CHECKS.items():
        if name in body:
            check(name, body[name])
    options_of(body)
    if "top_logprobs" in body and not body.get("logprobs"):
        raise InvalidRequest(
            "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.", param="top_logprobs"
        )
    if any(message.get("tool_calls") == [] for message in body["messages"]):
        body["messages"] = [without_no_calls(message) for message in body["messages"]]
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
