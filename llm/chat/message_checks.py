"""What a message of a chat request must look like. Members and parts that are not known here go on as they came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm.chat.validation import Check, array_of, missing, of_type, one_of, optional, require, wrong_type

ROLES = ("system", "developer", "user", "assistant", "tool", "function")


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
        array_of(_check_part, least=1)(param, value)
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


def _check_input_audio(param: str, value: Any) -> None:
    of_type(dict)(param, value)
    for name in ("data", "format"):
        require(param, value, name, of_type(str))


def _check_file(param: str, value: Any) -> None:
    of_type(dict)(param, value)
    optional(param, value, dict.fromkeys(("filename", "file_data", "file_id"), of_type(str)))


PARTS: Mapping[str, Check] = {
    "text": of_type(str),
    "image_url": _check_image,
    "file": _check_file,
    "input_audio": _check_input_audio,
}
"""What a part has under the name of its type. Parts of other types go upstream as they come."""


def _check_called(param: str, value: Any) -> None:
    of_type(dict)(param, value)
    for name in ("name", "arguments"):
        require(param, value, name, of_type(str))


INSTEAD: Mapping[str, Check] = {"refusal": of_type(str), "audio": of_type(dict), "function_call": _check_called}
"""What an assistant may have said instead of a content, besides calls of tools."""
OBJECT, ROLE, CALLS = of_type(dict), one_of(*ROLES), array_of(_check_tool_call)
MAY_HAVE: Mapping[str, Check] = {**INSTEAD, "name": of_type(str)}
"""What any message may have."""


def check_message(param: str, value: Any) -> None:
    """Checks a message of any role."""
    OBJECT(param, value)
    require(param, value, "role", ROLE)
    calls = value.get("tool_calls")
    if calls is not None:
        CALLS(f"{param}.tool_calls", calls)
    if value.get("content") is not None:
        _check_content(f"{param}.content", value["content"])
    elif value["role"] != "function" and not (value["role"] == "assistant" and _says_something(value)):
        raise missing(f"{param}.content")
    if value["role"] == "tool":
        require(param, value, "tool_call_id", of_type(str))
    if value["role"] == "function":
        require(param, value, "name", of_type(str))
    optional(param, value, MAY_HAVE)


def _says_something(message: Mapping[str, Any]) -> bool:
    return any(message.get(name) for name in ("tool_calls", *INSTEAD))


def without_no_calls(message: dict[str, Any]) -> dict[str, Any]:
    """A message without an empty list of calls, which clients send back and upstreams refuse."""
    if message.get("tool_calls") != []:
        return message
    return {name: value for name, value in message.items() if name != "tool_calls"}
