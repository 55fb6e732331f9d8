"""What is refused of a request to Anthropic's API, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.endpoints.messages.shape import Counted, checked
from llm import InvalidRequest

ASKED: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
USE = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "ok"}


def said(*blocks: Any, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": list(blocks)}]}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"model": None}, "model: Field required"),
    ({"model": 5}, "model: Input should be a valid string"),
    ({"model": ""}, "model: String should have at least 1 character"),
    ({"max_tokens": None}, "max_tokens: Field required"),
    ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
    ({"max_tokens": "9"}, "max_tokens: Input should be a valid integer"),
    ({"max_tokens": True}, "max_tokens: Input should be a valid integer"),
    ({"max_tokens": 1.5}, "max_tokens: Input should be a valid integer"),
    ({"messages": None}, "messages: Field required"),
    ({"messages": []}, "messages: List should have at least 1 item after validation, not 0"),
    ({"messages": "hi"}, "messages: Input should be a valid list"),
    ({"messages": ["hi"]}, "messages.0: Input should be a valid dictionary or object to extract fields from"),
    ({"messages": [{"content": "hi"}]}, "messages.0.role: Field required"),
    ({"messages": [{"role": "tool", "content": "hi"}]}, "messages.0.role: Input should be 'user', 'assistant' or"),
    ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content: Input should be a valid list"),
    ({"messages": [{"role": "user", "content": ""}]}, "messages.0: all messages must have non-empty content"),
    (said(), "messages.0: all messages must have non-empty content"),
    (said("hi"), "messages.0.content.0: Input should be a valid dictionary"),
    (said({"text": "hi"}), "messages.0.content.0.type: Field required"),
    (said({"type": ["text"]}), "messages.0.content.0.type: Input should be a valid string"),
    (said({"type": "text"}), "messages.0.content.0.text.text: Field required"),
    (said({"type": "text", "text": ""}), "messages.0.content.0.text.text: String should have at least 1 character"),
    (said({"type": "image_url", "image_url": 5}), "messages.0.content.0.type: Input tag 'image_url' is of another"),
    (said({"type": "image"}), "messages.0.content.0.image.source: Field required"),
    (said({"type": "image", "source": 5}), "messages.0.content.0.image.source: Input should be a valid dictionary"),
    (
        said({"type": "image", "source": {"type": "base64", "data": "AA"}}),
        "messages.0.content.0.image.source.base64.media_type: Field required",
    ),
    (
        said({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "<>"}}),
        "messages.0.content.0.image.source.base64.data: String should match pattern",
    ),
    (
        said({"type": "image", "source": {"type": "url", "url": "file:///etc/passwd"}}),
        "messages.0.content.0.image.source.url.url: String should match pattern",
    ),
    (said({**USE, "input": "{}"}, role="assistant"), "messages.0.content.0.tool_use.input: Input should be a valid di"),
    (said({**USE, "id": 5}, role="assistant"), "messages.0.content.0.tool_use.id: Input should be a valid string"),
    (said(USE), "messages.0: `tool_use` blocks can only be in `assistant` messages"),
    (said(RESULT, role="assistant"), "messages.0: `tool_result` blocks can only be in `user` messages"),
    (said(RESULT), "messages.0.content.0: unexpected `tool_use_id` found in `tool_result` blocks: t1"),
    (said({**RESULT, "content": 5}), "messages.0.content.0.tool_result.content: Input should be a valid list"),
    (said({**RESULT, "is_error": "no"}), "messages.0.content.0.tool_result.is_error: Input should be a valid boolean"),
    (said({"type": "thinking", "thinking": "x"}, role="assistant"), "messages.0.content.0.thinking.signature: Field r"),
    ({"system": 5}, "system: Input should be a valid list"),
    ({"system": [{"type": "image"}]}, "system.0.type: Input should be 'text'"),
    ({"stream": "yes"}, "stream: Input should be a valid boolean"),
    ({"temperature": 1.1}, "temperature: Input should be less than or equal to 1"),
    ({"temperature": "1"}, "temperature: Input should be a valid number"),
    ({"top_p": -1}, "top_p: Input should be greater than or equal to 0"),
    ({"top_k": 1.5}, "top_k: Input should be a valid integer"),
    ({"stop_sequences": "x"}, "stop_sequences: Input should be a valid list"),
    ({"stop_sequences": [5]}, "stop_sequences.0: Input should be a valid string"),
    ({"metadata": "u"}, "metadata: Input should be a valid dictionary"),
    ({"metadata": {"user_id": 5}}, "metadata.user_id: Input should be a valid string"),
    ({"service_tier": "flex"}, "service_tier: Input should be 'auto' or 'standard_only'"),
    ({"thinking": True}, "thinking: Input should be a valid dictionary"),
    ({"thinking": {"type": "enabled"}}, "thinking.enabled.budget_tokens: Field required"),
    ({"thinking": {"type": "enabled", "budget_tokens": 5}}, "thinking.budget_tokens: Input should be greater than or"),
    ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "max_tokens: `max_tokens` must be greater than"),
    ({"tools": {}}, "tools: Input should be a valid list"),
    ({"tools": [5]}, "tools.0.custom: Input should be a valid dictionary"),
    ({"tools": [{"name": "f"}]}, "tools.0.custom.input_schema: Field required"),
    ({"tools": [{**TOOL, "input_schema": {"type": "string"}}]}, "tools.0.custom.input_schema.type: Input should be 'o"),
    (
        {"tools": [{**TOOL, "input_schema": {"type": "object", "required": 5}}]},
        "tools.0.custom.input_schema.required: Input should be a valid list",
    ),
    ({"tools": [{"type": "function", "function": {}}]}, "tools.0.type: Input tag 'function' is of another API"),
    ({"tools": [TOOL, TOOL]}, "tools: Tool names must be unique."),
    ({"tools": [TOOL], "tool_choice": "auto"}, "tool_choice: Input should be a valid dictionary"),
    ({"tools": [TOOL], "tool_choice": {"type": "required"}}, "tool_choice.type: Input should be 'auto', 'any',"),
    ({"tools": [TOOL], "tool_choice": {"type": "tool"}}, "tool_choice.tool.name: Field required"),
    ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}}, "tool_choice.tool.name: Tool 'g' not found"),
    ({"tool_choice": {"type": "auto"}}, "tool_choice: tool_choice may only be specified while providing tools"),
    ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema: Field required"),
    ({"n": 2}, "n: Extra inputs are not permitted"),
    ({"response_format": 5}, "response_format: Extra inputs are not permitted"),
    ({"max_completion_tokens": 5}, "max_completion_tokens: Extra inputs are not permitted"),
]


@pytest.mark.parametrize(("change", "words"), WRONG, ids=[words for _, words in WRONG])
def test_what_is_wrong_is_named(change: dict[str, Any], words: str) -> None:
    """By its place, in the words of Anthropic's API."""
    with pytest.raises(InvalidRequest) as raised:
        checked({**ASKED, **change})
    assert str(raised.value).startswith(words)
    assert str(raised.value).startswith(f"{raised.value.param}: ")


@pytest.mark.parametrize("body", [5, None, [], "x"])
def test_what_is_no_object(body: Any) -> None:
    """It is refused as a whole."""
    with pytest.raises(InvalidRequest, match="Input should be a valid dictionary"):
        checked(body)


@pytest.mark.parametrize(
    "change",
    [
        said({"type": "search_result", "source": "x", "title": "y", "content": []}),
        said({"type": "document", "source": {"type": "file", "file_id": "f_1"}, "title": None}),
        {"messages": [*ASKED["messages"], {"role": "assistant", "content": ""}]},
        {"tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 2}]},
        {"context_management": {"edits": []}, "system": "", "stop_sequences": None, "tools": []},
        {"thinking": {"type": "adaptive", "display": "omitted"}},
    ],
)
def test_what_is_still_to_come_is_let_through(change: dict[str, Any]) -> None:
    """Blocks, tools and members that only Anthropic knows, and nulls, which are absence."""
    assert checked({**ASKED, **change}).keys() >= {"model", "messages", "max_tokens"}


def test_only_an_answer_needs_a_number_of_tokens() -> None:
    """For counting there is none to give."""
    del (counted := dict(ASKED))["max_tokens"]
    assert checked(counted, Counted) == counted
