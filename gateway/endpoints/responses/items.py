"""Input items: what they must look like, and the form in which they are kept and shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from llm import InvalidRequest
from llm.chat.validation import MAX_MESSAGES, Check, array_of, missing, of_type, one_of, require, wrong_type

Item: TypeAlias = dict[str, Any]
"""An item as it is on the wire: a message, a call of a tool, its output, what a model thought, …"""
ASSISTANT_PARTS = ("output_text", "refusal")
INPUT_PARTS = ("input_text", "input_image", "input_file", "input_audio")
OUTPUT_PARTS = INPUT_PARTS[:3]
"""What a tool's output may be made of."""


def kind_of(item: Mapping[str, Any]) -> str:
    """The type of an item; messages and references may leave it out."""
    return item.get("type") or ("message" if "role" in item or "id" not in item else "item_reference")


def _check_text(param: str, part: Any) -> None:
    require(param, part, "text", of_type(str))


def _check_refusal(param: str, part: Any) -> None:
    require(param, part, "refusal", of_type(str))


def _check_image(param: str, part: Any) -> None:
    if part.get("detail") is not None:
        one_of("low", "high", "auto", "original")(f"{param}.detail", part["detail"])
    _refuse(param, part, "file_id", "Send the image itself as a data URL in 'image_url'.")
    require(param, part, "image_url", of_type(str))


def _check_file(param: str, part: Any) -> None:
    for name in ("file_id", "file_url"):
        _refuse(param, part, name, "Send the file itself in 'file_data'.")
    require(param, part, "file_data", of_type(str))
    if part.get("filename") is not None:
        of_type(str)(f"{param}.filename", part["filename"])


def _check_audio(param: str, part: Any) -> None:
    require(param, part, "input_audio", of_type(dict))


def _refuse(param: str, part: Mapping[str, Any], name: str, hint: str) -> None:
    if part.get(name) is not None:
        message = f"'{name}' is not supported: this gateway keeps no files and fetches none. {hint}"
        raise InvalidRequest(message, param=f"{param}.{name}", code="unsupported_value")


PARTS: Mapping[str, Check] = {
    "input_text": _check_text,
    "input_image": _check_image,
    "input_file": _check_file,
    "input_audio": _check_audio,
    "output_text": _check_text,
    "refusal": _check_refusal,
}


def _content(*kinds: str) -> Check:
    """Text, or parts of these kinds."""

    def check_part(param: str, value: Any) -> None:
        of_type(dict)(param, value)
        require(param, value, "type", one_of(*kinds))
        PARTS[value["type"]](param, value)

    def check(param: str, value: Any) -> None:
        if isinstance(value, list):
            array_of(check_part)(param, value)
        elif not isinstance(value, str):
            raise wrong_type(param, "a string or an array of content parts", value)

    return check


def _check_message(param: str, item: Any) -> None:
    require(param, item, "role", one_of("user", "assistant", "system", "developer"))
    parts = ASSISTANT_PARTS if item["role"] == "assistant" else INPUT_PARTS
    require(param, item, "content", _content(*parts))


def _check_call(param: str, item: Any) -> None:
    for name in ("call_id", "name", "arguments" if item["type"] == "function_call" else "input"):
        require(param, item, name, of_type(str))


def _check_output(param: str, item: Any) -> None:
    require(param, item, "call_id", of_type(str))
    require(param, item, "output", _content(*OUTPUT_PARTS))


def _check_reasoning(param: str, item: Any) -> None:
    if item.get("summary") is not None:
        array_of(of_type(dict))(f"{param}.summary", item["summary"])


def _check_reference(param: str, item: Any) -> None:
    if item.get("id") is None:
        raise missing(f"{param}.id")


ITEMS: Mapping[str, Check] = {
    "message": _check_message,
    "function_call": _check_call,
    "function_call_output": _check_output,
    "custom_tool_call": _check_call,
    "custom_tool_call_output": _check_output,
    "reasoning": _check_reasoning,
    "item_reference": _check_reference,
}


def _check_item(param: str, value: Any) -> None:
    of_type(dict)(param, value)
    if value.get("type") is not None:
        one_of(*ITEMS)(f"{param}.type", value["type"])
    if value.get("id") is not None:
        of_type(str)(f"{param}.id", value["id"])
    if value.get("status") is not None:
        one_of("in_progress", "completed", "incomplete")(f"{param}.status", value["status"])
    ITEMS[kind_of(value)](param, value)


check_input = array_of(_check_item, least=1, most=MAX_MESSAGES)
"""Checks ``input`` where it is a list."""

PREFIXES: Mapping[str, str] = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "reasoning": "rs",
}
"""What the ids of items begin with."""


def items_of(body: Mapping[str, Any]) -> list[Item]:
    """The items of a request's input, which may be one text."""
    given = body["input"]
    return [{"role": "user", "content": given}] if isinstance(given, str) else given


def shown(items: Sequence[Item], suffix: str) -> list[Item]:
    """Checked input items in the form that the API shows them in: whole, and each with an id."""
    return [_shown(item, f"{suffix}i{index:x}") for index, item in enumerate(items)]


def _shown(item: Item, suffix: str) -> Item:
    kind = kind_of(item)
    whole = {**item, "type": kind, "id": item.get("id") or f"{PREFIXES[kind]}_{suffix}"}
    if kind == "message":
        whole["content"] = _shown_content(item)
    if kind == "reasoning":
        return {**whole, "summary": item.get("summary") or []}
    return {**whole, "status": item.get("status") or "completed"}


def _shown_content(item: Item) -> list[dict[str, Any]]:
    says = "output_text" if item["role"] == "assistant" else "input_text"
    content = item["content"]
    parts = [{"type": says, "text": content}] if isinstance(content, str) else content
    return [{**DEFAULTS.get(part["type"], {}), **part} for part in parts]


DEFAULTS: Mapping[str, Mapping[str, Any]] = {"output_text": {"annotations": []}, "input_image": {"detail": "auto"}}
"""What parts have, where the caller left it out."""
