"""The messages of a chat request that say what input items say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.endpoints.responses.items import Item, kind_of
from llm import InvalidRequest, Message
from llm.chat.chunk import called

CALLS = {"function_call": ("function", "arguments"), "custom_tool_call": ("custom", "input")}
"""What chat calls these, and where they have what the tool is given."""
OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})


def messages_of(items: Iterable[Item], instructions: str | None = None) -> list[Message]:
    """The conversation. Calls stand in the assistant's message that they follow; what a model thought is left out.

    Raises:
        InvalidRequest: when a call has no output, or an output no call.
    """
    messages: list[Message] = [] if instructions is None else [{"role": "system", "content": instructions}]
    open_calls: set[str] = set()
    for item in items:
        kind = kind_of(item)
        if kind == "message":
            messages.append(_message(item))
        elif kind in CALLS:
            _add_call(messages, item)
            open_calls.add(item["call_id"])
        elif kind in OUTPUTS:
            if item["call_id"] not in open_calls:
                raise InvalidRequest(
                    f"No tool call found for {_words(kind)} with call_id {item['call_id']}.", param="input"
                )
            open_calls.discard(item["call_id"])
            messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": _content(item["output"])})
    if open_calls:
        raise InvalidRequest(f"No tool output found for function call {min(open_calls)}.", param="input")
    return messages


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _message(item: Item) -> Message:
    if item["role"] != "assistant":
        return {"role": item["role"], "content": _content(item["content"])}
    content = item["content"]
    if isinstance(content, str):
        return {"role": "assistant", "content": content}
    return {"role": "assistant", "content": "".join(map(_said, content))}


def _said(part: Mapping[str, Any]) -> str:
    said: str = part["refusal" if part["type"] == "refusal" else "text"]
    return said


def _add_call(messages: list[Message], item: Item) -> None:
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    kind, given = CALLS[item["type"]]
    call = {"id": item["call_id"], "type": kind, kind: called(kind, item["name"], item[given])}
    messages[-1].setdefault("tool_calls", []).append(call)


def _content(content: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Text where there is but one, else the parts."""
    if isinstance(content, str):
        return content
    if len(content) == 1 and content[0]["type"] == "input_text":
        text: str = content[0]["text"]
        return text
    return [_part(part) for part in content]


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    if part["type"] == "input_text":
        return {"type": "text", "text": part["text"]}
    if part["type"] == "input_image":
        detail = {"detail": part["detail"]} if part.get("detail") else {}
        return {"type": "image_url", "image_url": {"url": part["image_url"], **detail}}
    if part["type"] == "input_file":
        given = {name: part[name] for name in ("filename", "file_data") if part.get(name) is not None}
        return {"type": "file", "file": given}
    return {"type": "input_audio", "input_audio": part["input_audio"]}
