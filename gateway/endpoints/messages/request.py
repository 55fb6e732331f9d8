"""A request to Anthropic's API, as a chat request: the way back of ``llm/providers/anthropic_request.py``.

- ``system`` becomes the first message; results of tools become ``tool`` messages, before what else the user says.
- Images and documents become parts as OpenAI's API has them. What has no counterpart there stays as it is, and
  so do ``cache_control``, ``is_error`` and the like, as further members: Anthropic gets all of it back.
- Thoughts become ``thinking_blocks``; those without a signature are left out, as nobody could believe them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from llm import ChatRequest, Message
from llm.providers.anthropic_request import CHOICES, TIERS

TAKEN_APART = frozenset(
    {
        "model",
        "messages",
        "system",
        "stream",
        "max_tokens",
        "stop_sequences",
        "metadata",
        "service_tier",
        "tools",
        "tool_choice",
        "output_config",
    }
)
OPENAIS_CHOICES = {theirs: ours for ours, theirs in CHOICES.items()}
OPENAIS_TIERS = {theirs: ours for ours, theirs in TIERS.items()}


def chat_request(given: Mapping[str, Any]) -> ChatRequest:
    """The request in a body that has been checked, without its nulls."""
    messages = [*_system(given.get("system")), *(message for turn in given["messages"] for message in _said(turn))]
    parameters = {name: value for name, value in given.items() if name not in TAKEN_APART}
    parameters |= {**dict(_sampling(given)), **dict(_tools(given)), **dict(_output(given.get("output_config")))}
    stream = given.get("stream", False)
    return ChatRequest(given["model"], messages, parameters, stream, include_usage=True, anthropic=True)


def _sampling(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if "max_tokens" in given:
        yield "max_completion_tokens", given["max_tokens"]
    if given.get("stop_sequences"):
        yield "stop", given["stop_sequences"]
    if user := given.get("metadata", {}).get("user_id"):
        yield "user", user
    if tier := given.get("service_tier"):
        yield "service_tier", OPENAIS_TIERS[tier]


def _output(config: Mapping[str, Any] | None) -> Iterator[tuple[str, Any]]:
    if not config:
        return
    left = _known(config)
    if wanted := left.pop("format", None):
        named = {"name": "answer", "schema": wanted["schema"], "strict": True}
        yield "response_format", {"type": "json_schema", "json_schema": named}
    if effort := left.pop("effort", None):
        yield "reasoning_effort", effort
    if left:
        yield "output_config", left


def _tools(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if not given.get("tools"):
        return
    yield "tools", [_tool(tool) for tool in given["tools"]]
    choice = given.get("tool_choice", {})
    if choice.get("type") == "tool":
        yield "tool_choice", {"type": "function", "function": {"name": choice["name"]}}
    elif choice:
        yield "tool_choice", OPENAIS_CHOICES[choice["type"]]
    if choice.get("disable_parallel_tool_use"):
        yield "parallel_tool_calls", False


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool.get("type") not in (None, "custom"):
        return dict(tool)
    left = _known(tool)
    left.pop("type", None)
    function: dict[str, Any] = {name: left.pop(name) for name in ("name", "description", "strict") if name in left}
    function["parameters"] = left.pop("input_schema")
    return {**left, "type": "function", "function": function}


def _system(system: Any) -> Iterator[Message]:
    if system:
        yield {"role": "system", "content": system if isinstance(system, str) else [_known(block) for block in system]}


def _said(turn: Mapping[str, Any]) -> Iterator[Message]:
    role, content = turn["role"], turn["content"]
    if isinstance(content, str):
        yield {"role": role, "content": content}
    elif role == "assistant":
        yield from _assistants(content)
    else:
        yield from (_result(block) for block in content if block["type"] == "tool_result")
        if said := [_part(block) for block in content if block["type"] != "tool_result"]:
            yield {"role": role, "content": said}


MEMBERS = {"thinking": "thinking_blocks", "redacted_thinking": "thinking_blocks", "tool_use": "tool_calls"}


def _assistants(blocks: Sequence[Mapping[str, Any]]) -> Iterator[Message]:
    """The messages of one turn: a thought after words begins another one, as thoughts must keep their places."""
    message: Message = {"role": "assistant", "content": []}
    for block in blocks:
        if block["type"] == "thinking" and not block["signature"]:
            continue
        member = MEMBERS.get(block["type"], "content")
        if member == "thinking_blocks" and message["content"] and "tool_calls" not in message:
            yield _whole(message)
            message = {"role": "assistant", "content": []}
        message.setdefault(member, []).append(_call(block) if member == "tool_calls" else _part(block))
    yield _whole(message)


def _whole(message: Message) -> Message:
    content = message["content"]
    if not content:
        message["content"] = None if "tool_calls" in message else ""
    elif len(content) == 1 and content[0].keys() == {"type", "text"} and content[0]["type"] == "text":
        message["content"] = content[0]["text"]
    return message


def _call(block: Mapping[str, Any]) -> dict[str, Any]:
    left = _known(block)
    function = {"name": left.pop("name"), "arguments": orjson.dumps(left.pop("input")).decode()}
    return {**left, "type": "function", "function": function}


def _result(block: Mapping[str, Any]) -> Message:
    left = _known(block)
    content = left.pop("content", "")
    said = content if isinstance(content, str) else [_part(part) for part in content]
    del left["type"]
    call_id = left.pop("tool_use_id")
    return {**left, "role": "tool", "tool_call_id": call_id, "content": said or ""}


def _part(block: Mapping[str, Any]) -> dict[str, Any]:
    left = _known(block)
    form = left["type"], left["source"]["type"] if left["type"] in ("image", "document") else ""
    if form in (("image", "url"), ("image", "base64")):
        url = _address(left.pop("source"))
        return {**left, "type": "image_url", "image_url": {"url": url}}
    if form == ("document", "base64"):
        file = {"filename": left.get("title", "document.pdf"), "file_data": _address(left.pop("source"))}
        return {**left, "type": "file", "file": file}
    return left


def _address(source: Mapping[str, Any]) -> Any:
    return source["url"] if source["type"] == "url" else f"data:{source['media_type']};base64,{source['data']}"


def _known(wire: Mapping[str, Any]) -> dict[str, Any]:
    """A copy without its nulls, which are the same as absence."""
    return {name: value for name, value in wire.items() if value is not None}
