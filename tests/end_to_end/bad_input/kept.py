"""What is wrong in requests for answers that are kept, and in requests of responses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.end_to_end.bad_input.kind import CHAT, INVALID, MISSING, RESPONSES, TYPE, UNSUPPORTED, VALUE, Bad

UNKNOWN = f"{CHAT}/chatcmpl-1"
LONG = "object_above_max_properties"
_MARKS: Mapping[str, tuple[Any, str | None, str | None]] = {
    "an update that is a list": ([], None, None),
    "an update that is null": (None, None, None),
    "an update of nothing": ({}, "metadata", MISSING),
    "an update of something else": ({"metadata": {}, "model": "up"}, "model", "unknown_parameter"),
    "metadata of text": ({"metadata": "x"}, "metadata", TYPE),
    "metadata of a list": ({"metadata": [5]}, "metadata", TYPE),
    "metadata of an empty text": ({"metadata": ""}, "metadata", TYPE),
    "metadata of an empty list": ({"metadata": []}, "metadata", TYPE),
    "metadata that are false": ({"metadata": False}, "metadata", TYPE),
    "a mark that is a number": ({"metadata": {"a": 5}}, "metadata.a", TYPE),
    "a mark that is null": ({"metadata": {"a": None}}, "metadata.a", TYPE),
    "a mark of 513 characters": ({"metadata": {"a": "x" * 513}}, "metadata.a", "string_above_max_length"),
    "the name of a mark of 65 characters": (
        {"metadata": {"x" * 65: "a"}},
        f"metadata.{'x' * 64}",
        "string_above_max_length",
    ),
    "seventeen marks": ({"metadata": {str(number): "x" for number in range(17)}}, "metadata", LONG),
}
_QUERIES = ("limit=0", "limit=101", "limit=x", "limit=1.5", "limit=", "order=up", "order=", "limit=" + "9" * 5000)
_ITEMS: Mapping[str, tuple[Any, str, str]] = {
    "an item that is text": ("hi", "input[0]", TYPE),
    "an item that is null": (None, "input[0]", TYPE),
    "an item of a type that is a number": ({"type": 5}, "input[0].type", TYPE),
    "an item of an unknown role": ({"role": "x", "content": "hi"}, "input[0].role", INVALID),
    "an item without a content": ({"role": "user"}, "input[0].content", MISSING),
    "a content of a number": ({"role": "user", "content": 5}, "input[0].content", TYPE),
    "a part of an answer in a question": (
        {"role": "user", "content": [{"type": "output_text", "text": "x"}]},
        "input[0].content[0].type",
        INVALID,
    ),
    "a part without its text": (
        {"role": "user", "content": [{"type": "input_text"}]},
        "input[0].content[0].text",
        MISSING,
    ),
    "an image by its id": (
        {"role": "user", "content": [{"type": "input_image", "file_id": "x"}]},
        "input[0].content[0].file_id",
        VALUE,
    ),
    "a call without its arguments": (
        {"type": "function_call", "call_id": "a", "name": "f"},
        "input[0].arguments",
        MISSING,
    ),
    "an output without its call": ({"type": "function_call_output", "output": "x"}, "input[0].call_id", MISSING),
}
_MEMBERS: Mapping[str, tuple[Any, str, str]] = {
    "instructions of a number": ({"instructions": 5}, "instructions", TYPE),
    "too few tokens": ({"max_output_tokens": 15}, "max_output_tokens", "integer_below_min_value"),
    "a background of text": ({"background": "yes"}, "background", TYPE),
    "a store of text": ({"store": "yes"}, "store", TYPE),
    "stream options of text": ({"stream_options": "x"}, "stream_options", TYPE),
    "a conversation": ({"conversation": "conv_1"}, "conversation", UNSUPPORTED),
    "a prompt of OpenAI's": ({"prompt": {"id": "x"}}, "prompt", UNSUPPORTED),
    "several choices": ({"n": 2}, "n", UNSUPPORTED),
    "a member that has moved": ({"max_tokens": 5}, "max_tokens", UNSUPPORTED),
    "reasoning of text": ({"reasoning": "high"}, "reasoning", TYPE),
    "an unknown summary": ({"reasoning": {"summary": "x"}}, "reasoning.summary", INVALID),
    "a format of an unknown type": ({"text": {"format": {"type": "xml"}}}, "text.format.type", INVALID),
    "a schema without a name": (
        {"text": {"format": {"type": "json_schema", "schema": {}}}},
        "text.format.name",
        MISSING,
    ),
    "an unknown truncation": ({"truncation": "always"}, "truncation", INVALID),
    "an include of text": ({"include": "x"}, "include", TYPE),
    "a tool that is text": ({"tools": ["f"]}, "tools[0]", TYPE),
    "a tool of OpenAI's": ({"tools": [{"type": "web_search"}]}, "tools[0].type", VALUE),
    "a tool with no name": ({"tools": [{"type": "function"}]}, "tools[0].name", MISSING),
    "a choice of an unknown kind": ({"tool_choice": {"type": "x"}}, "tool_choice.type", INVALID),
    "a choice of no tool": (
        {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}},
        "tool_choice.tools",
        "empty_array",
    ),
    "a safety identifier of 65 characters": (
        {"safety_identifier": "x" * 65},
        "safety_identifier",
        "string_above_max_length",
    ),
    "seventeen marks of a response": (
        {"metadata": {str(number): "x" for number in range(17)}},
        "metadata",
        LONG,
    ),
}


def kept() -> Iterator[Bad]:
    """Stored chats and responses: what is looked for, and how; what is changed; what a response is made of."""
    yield from _stored()
    yield from _responses()


def _stored() -> Iterator[Bad]:
    for kind, (body, param, code) in _MARKS.items():
        sent = b"null" if body is None else body
        yield Bad(kind, UNKNOWN, sent, 400, param, code)
    for query in _QUERIES:
        for path in (CHAT, f"{UNKNOWN}/messages"):
            yield Bad("a wrong query of chats", f"{path}?{query}", method="GET", says=query.partition("=")[0])
    yield Bad("a page behind no chat", f"{CHAT}?after=nope", method="GET", param="after", says="not found")
    for method, path in (("GET", UNKNOWN), ("DELETE", UNKNOWN), ("GET", f"{UNKNOWN}/messages"), ("GET", f"{CHAT}/%00")):
        yield Bad("an unknown chat", path, status=404, method=method, says="not found")
    yield Bad("marks of an unknown chat", UNKNOWN, {"metadata": {}}, 404, says="not found")
    for method, path in (("PUT", UNKNOWN), ("PATCH", UNKNOWN), ("POST", f"{UNKNOWN}/messages")):
        code = "method_not_supported"
        yield Bad(f"{method} of chats that are kept", path, status=405, method=method, code=code)


def _responses() -> Iterator[Bad]:
    for kind, (item, param, code) in _ITEMS.items():
        yield Bad(kind, RESPONSES, {"model": "up", "input": [item]}, 400, param, code)
    for kind, (members, param, code) in _MEMBERS.items():
        yield Bad(kind, RESPONSES, {"model": "up", "input": "hi", **members}, 400, param, code)
    yield Bad("no input of a response", RESPONSES, {"model": "up"}, 400, "input", MISSING)
    yield Bad("no model of a response", RESPONSES, {"input": "hi"}, 400, "model", MISSING)
    yield Bad(
        "a response in the background that is not stored",
        RESPONSES,
        {"model": "up", "input": "hi", "background": True, "store": False},
        400,
        "store",
    )
    yield Bad(
        "a response after one that there is not",
        RESPONSES,
        {"model": "up", "input": "hi", "previous_response_id": "resp_0"},
        400,
        "previous_response_id",
        "previous_response_not_found",
    )
    for query in ("stream=maybe", "starting_after=x", "starting_after=-2"):
        yield Bad("a wrong query of a response", f"{RESPONSES}/resp_1?{query}", method="GET")
    yield Bad("a response to delete", f"{RESPONSES}/resp_1", status=404, method="DELETE", says="not found")
    for method in ("POST", "PUT"):
        yield Bad(
            f"{method} of a response", f"{RESPONSES}/resp_1", status=405, method=method, code="method_not_supported"
        )
