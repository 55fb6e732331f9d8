"""Tools and the choice of one: in the Responses API they are flat, in a chat request they are not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm import InvalidRequest
from llm.chat.validation import array_of, of_type, one_of, require, wrong_type

OURS = ("function", "custom")


def check_tool(param: str, value: Any) -> None:
    """A tool of the caller's own. Those that OpenAI runs itself are not here."""
    of_type(dict)(param, value)
    require(param, value, "type", of_type(str))
    if value["type"] not in OURS:
        message = (
            f"Tools of type '{value['type'][:64]}' are not run by this gateway. Supported are: 'function', 'custom'."
        )
        raise InvalidRequest(message, param=f"{param}.type", code="unsupported_value")
    require(param, value, "name", of_type(str))
    for name, kind in (("description", str), ("parameters", dict), ("strict", bool), ("format", dict)):
        if value.get(name) is not None:
            of_type(kind)(f"{param}.{name}", value[name])


def check_tool_choice(param: str, value: Any) -> None:
    """``none``, ``auto``, ``required``, one tool, or those that are allowed."""
    if isinstance(value, str):
        one_of("none", "auto", "required")(param, value)
    elif isinstance(value, dict):
        require(param, value, "type", one_of(*OURS, "allowed_tools"))
        if value["type"] in OURS:
            require(param, value, "name", of_type(str))
        else:
            require(param, value, "mode", one_of("auto", "required"))
            require(param, value, "tools", array_of(_check_named, least=1))
    else:
        raise wrong_type(param, "a string or an object", value)


def _check_named(param: str, value: Any) -> None:
    of_type(dict)(param, value)
    require(param, value, "type", one_of(*OURS))
    require(param, value, "name", of_type(str))


def chat_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool as a chat request declares it."""
    if tool["type"] == "function":
        return {"type": "function", "function": _given(tool, "name", "description", "parameters", "strict")}
    custom = _given(tool, "name", "description")
    wanted = tool.get("format")
    if wanted is not None and wanted.get("type") == "grammar":
        wanted = {"type": "grammar", "grammar": _given(wanted, "syntax", "definition")}
    return {"type": "custom", "custom": custom if wanted is None else {**custom, "format": wanted}}


def chat_tool_choice(choice: Any) -> Any:
    """The same choice in a chat request."""
    if isinstance(choice, str):
        return choice
    if choice["type"] == "allowed_tools":
        allowed = {"mode": choice["mode"], "tools": [_named(tool) for tool in choice["tools"]]}
        return {"type": "allowed_tools", "allowed_tools": allowed}
    return _named(choice)


def _named(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": tool["type"], tool["type"]: {"name": tool["name"]}}


def _given(value: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value[name] for name in names if value.get(name) is not None}
