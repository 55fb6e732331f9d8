"""Chats that are wrong by themselves, or for the provider behind the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.end_to_end.bad_input.kind import CHAT, INVALID, MISSING, SCHEMA, TYPE, UNSUPPORTED, VALUE, Bad

USER: Any = {"role": "user", "content": "hi"}
FUNCTION: Any = {"name": "f"}
PART = "messages[0].content[0]"


def _chat(**members: Any) -> Any:
    return {"model": "up", "messages": [USER], **members}


def _said(**message: Any) -> Any:
    return {"model": "up", "messages": [message]}


def _part(**part: Any) -> Any:
    return _said(role="user", content=[part])


def _tools(model: str = "up", **tool: Any) -> Any:
    return {**_chat(tools=[tool]), "model": model}


def _calls(*calls: Any, model: str = "up") -> Any:
    called = {"role": "assistant", "content": None, "tool_calls": list(calls)}
    return {"model": model, "messages": [USER, called]}


_BOUNDS = {
    "temperature": (-0.1, 2.1, "decimal"),
    "top_p": (-0.1, 1.1, "decimal"),
    "presence_penalty": (-3, 3, "decimal"),
    "frequency_penalty": (-3, 3, "decimal"),
    "n": (0, 129, "integer"),
    "top_logprobs": (-1, 21, "integer"),
}
_TYPES: Mapping[str, tuple[Any, ...]] = {
    "temperature": (True, "1", []),
    "top_p": (False, "1"),
    "n": (True, 1.5, 1.0, "1"),
    "seed": (1.5, "1", True),
    "max_tokens": (1.5, "5", True, []),
    "max_completion_tokens": ("5", {}),
    "stream": (1, "true", []),
    "stream_options": (5, "x", []),
    "stop": (5, {}, True),
    "logit_bias": (5, [], "x"),
    "logprobs": (1, "yes"),
    "top_logprobs": (1.0, True),
    "tools": (5, {}, "f"),
    "tool_choice": (5, [], True),
    "parallel_tool_calls": (1, "yes"),
    "response_format": (5, "json", []),
    "metadata": (5, [], "x"),
    "user": (5, [], {}),
    "modalities": (5, "text", {}),
    "reasoning_effort": (5, [], {}),
    "verbosity": (5, {}),
    "service_tier": (5, []),
    "store": (1, "yes"),
    "functions": (5, {}),
    "function_call": (5, []),
    "safety_identifier": (5, []),
    "prompt_cache_key": (5, []),
    "audio": (5, []),
    "prediction": (5, "x"),
    "web_search_options": (5, []),
}
_IN_CHATS: Mapping[str, tuple[Any, str | None, str | None]] = {
    "log probabilities that are not wanted": (_chat(top_logprobs=2), "top_logprobs", None),
    "no function among them": (_chat(functions=[]), "functions", "empty_array"),
    "an audio without its data": (_part(type="input_audio", input_audio={}), PART + ".input_audio.data", MISSING),
    "a file of a number": (_part(type="file", file={"file_data": 5}), PART + ".file.file_data", TYPE),
    "a block of thoughts that is text": (
        _said(role="assistant", content="x", thinking_blocks=["x"]),
        "messages[0].thinking_blocks[0]",
        TYPE,
    ),
    "marks too many": (
        _chat(store=True, metadata={str(number): "x" for number in range(17)}),
        "metadata",
        "object_above_max_properties",
    ),
    "no model": ({"messages": [USER]}, None, None),
    "a model that is null": (_chat(model=None), None, None),
    "a model that is empty": (_chat(model=""), None, None),
    "a model that is a number": (_chat(model=5), "model", TYPE),
    "a model that is a list": (_chat(model=["up"]), "model", TYPE),
    "no messages": ({"model": "up"}, "messages", MISSING),
    "messages that are null": (_chat(messages=None), "messages", MISSING),
    "messages that are text": (_chat(messages="hi"), "messages", TYPE),
    "messages that are an object": (_chat(messages=USER), "messages", TYPE),
    "no message among them": (_chat(messages=[]), "messages", "empty_array"),
    "too many messages": (_chat(messages=[USER] * 2049), "messages", "array_above_max_length"),
    "a message that is text": (_chat(messages=["hi"]), "messages[0]", TYPE),
    "a message that is null": (_chat(messages=[None]), "messages[0]", TYPE),
    "a message that is a list": (_chat(messages=[USER, [USER]]), "messages[1]", TYPE),
    "no role": (_said(content="hi"), "messages[0].role", MISSING),
    "an unknown role": (_said(role="wizard", content="hi"), "messages[0].role", INVALID),
    "a role with a NUL": (_said(role="user\0", content="hi"), "messages[0].role", INVALID),
    "a role that is a list": (_said(role=["user"], content="hi"), "messages[0].role", TYPE),
    "no content": (_said(role="user"), "messages[0].content", MISSING),
    "a content that is a number": (_said(role="user", content=5), "messages[0].content", TYPE),
    "a content that is an object": (_said(role="user", content={}), "messages[0].content", TYPE),
    "an assistant that says nothing": (_said(role="assistant", content=None), "messages[0].content", MISSING),
    "a name that is no text": (_said(role="user", content="hi", name=5), "messages[0].name", TYPE),
    "a refusal that is no text": (_said(role="assistant", refusal=[1]), "messages[0].refusal", TYPE),
    "a part that is text": (_said(role="user", content=["hi"]), "messages[0].content[0]", TYPE),
    "a part without a type": (_part(text="hi"), "messages[0].content[0].type", MISSING),
    "a part whose type is a list": (_part(type=["text"]), "messages[0].content[0].type", TYPE),
    "a part without its text": (_part(type="text"), "messages[0].content[0].text", MISSING),
    "a part whose text is a number": (_part(type="text", text=5), "messages[0].content[0].text", TYPE),
    "an image without an address": (_part(type="image_url"), "messages[0].content[0].image_url", MISSING),
    "an image that is a number": (_part(type="image_url", image_url=5), "messages[0].content[0].image_url", TYPE),
    "an image whose address is none": (
        _part(type="image_url", image_url={"url": 5}),
        "messages[0].content[0].image_url.url",
        TYPE,
    ),
    "a file that is a number": (_part(type="file", file=5), "messages[0].content[0].file", TYPE),
    "audio that is text": (_part(type="input_audio", input_audio="x"), "messages[0].content[0].input_audio", TYPE),
    "a result without its call": (_said(role="tool", content="x"), "messages[0].tool_call_id", MISSING),
    "a result of a number": (_said(role="tool", content="x", tool_call_id=5), "messages[0].tool_call_id", TYPE),
    "calls that are an object": (_said(role="assistant", tool_calls={"a": 1}), "messages[0].tool_calls", TYPE),
    "a call that is text": (_calls("f"), "messages[1].tool_calls[0]", TYPE),
    "a call without an id": (
        _calls({"function": {"name": "f", "arguments": ""}}),
        "messages[1].tool_calls[0].id",
        MISSING,
    ),
    "a call of an unknown type": (_calls({"id": "a", "type": "x"}), "messages[1].tool_calls[0].type", INVALID),
    "a call without a function": (_calls({"id": "a"}), "messages[1].tool_calls[0].function", MISSING),
    "a call without arguments": (
        _calls({"id": "a", "function": {"name": "f"}}),
        "messages[1].tool_calls[0].function.arguments",
        MISSING,
    ),
    "arguments that are an object": (
        _calls({"id": "a", "function": {"name": "f", "arguments": {}}}),
        "messages[1].tool_calls[0].function.arguments",
        TYPE,
    ),
    "a custom call that is a number": (
        _calls({"id": "a", "type": "custom", "custom": 5}),
        "messages[1].tool_calls[0].custom",
        TYPE,
    ),
    "thoughts that are a number": (
        _said(role="assistant", content="a", thinking_blocks=5),
        "messages[0].thinking_blocks",
        TYPE,
    ),
    "a thought that is text": (
        _said(role="assistant", content="a", reasoning_items=["a"]),
        "messages[0].reasoning_items[0]",
        TYPE,
    ),
    "a tool that is text": (_chat(tools=["f"]), "tools[0]", TYPE),
    "a tool without a type": (_tools(function=FUNCTION), "tools[0].type", MISSING),
    "a tool of an unknown type": (_tools(type="web_search"), "tools[0].type", INVALID),
    "a tool without a function": (_tools(type="function"), "tools[0].function", MISSING),
    "a function that is text": (_tools(type="function", function="f"), "tools[0].function", TYPE),
    "a function without a name": (_tools(type="function", function={}), "tools[0].function.name", MISSING),
    "a function whose name is a number": (
        _tools(type="function", function={"name": 5}),
        "tools[0].function.name",
        TYPE,
    ),
    "parameters that are a list": (
        _tools(type="function", function={"name": "f", "parameters": []}),
        "tools[0].function.parameters",
        TYPE,
    ),
    "a description that is a number": (
        _tools(type="function", function={"name": "f", "description": 5}),
        "tools[0].function.description",
        TYPE,
    ),
    "strict that is text": (
        _tools(type="function", function={"name": "f", "strict": "yes"}),
        "tools[0].function.strict",
        TYPE,
    ),
    "a custom format that is text": (
        _tools(type="custom", custom={"name": "f", "format": "x"}),
        "tools[0].custom.format",
        TYPE,
    ),
    "too many tools": (
        _chat(tools=[{"type": "function", "function": FUNCTION}] * 129),
        "tools",
        "array_above_max_length",
    ),
    "an unknown choice of tools": (_chat(tool_choice="any"), "tool_choice", INVALID),
    "a choice without a type": (_chat(tool_choice={"function": FUNCTION}), "tool_choice.type", MISSING),
    "a choice without a name": (
        _chat(tool_choice={"type": "function", "function": {}}),
        "tool_choice.function.name",
        MISSING,
    ),
    "allowed tools without tools": (
        _chat(tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}),
        "tool_choice.allowed_tools.tools",
        MISSING,
    ),
    "allowed tools without a mode": (
        _chat(tool_choice={"type": "allowed_tools", "allowed_tools": {"tools": []}}),
        "tool_choice.allowed_tools.mode",
        MISSING,
    ),
    "an unknown mode of them": (
        _chat(tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "x"}}),
        "tool_choice.allowed_tools.mode",
        INVALID,
    ),
    "too many stops": (_chat(stop=["a"] * 5), "stop", "array_above_max_length"),
    "a stop that is a number": (_chat(stop=["a", 5]), "stop[1]", TYPE),
    "a bias that is text": (_chat(logit_bias={"1": "x"}), "logit_bias.1", TYPE),
    "a bias with a point": (_chat(logit_bias={"1": 0.5}), "logit_bias.1", TYPE),
    "metadata of numbers": (_chat(metadata={"a": 5}), "metadata.a", TYPE),
    "metadata with a NUL in a name": (_chat(metadata={"a\0": 5}), "metadata.a\0", TYPE),
    "a modality that is a number": (_chat(modalities=["text", 5]), "modalities[1]", TYPE),
    "a format without a type": (_chat(response_format={}), "response_format.type", MISSING),
    "a format of an unknown type": (_chat(response_format={"type": "xml"}), "response_format.type", INVALID),
    "a format without a schema": (
        _chat(response_format={"type": "json_schema"}),
        "response_format.json_schema",
        MISSING,
    ),
    "a schema without a name": (
        _chat(response_format={"type": "json_schema", "json_schema": {}}),
        "response_format.json_schema.name",
        MISSING,
    ),
    "a schema that is text": (
        _chat(response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": "x"}}),
        "response_format.json_schema.schema",
        TYPE,
    ),
    "options of a stream that is none": (_chat(stream_options={"include_usage": True}), "stream_options", None),
    "usage in a stream that is a number": (
        _chat(stream=True, stream_options={"include_usage": 1}),
        "stream_options.include_usage",
        TYPE,
    ),
}


def _schema(model: str, schema: Any) -> Any:
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    return {**_chat(response_format=wanted), "model": model}


def _function(model: str, parameters: Any) -> Any:
    return _tools(model, type="function", function={"name": "f", "parameters": parameters})


def _deep(levels: int) -> Any:
    schema: Any = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


CUSTOM: Any = {"type": "custom", "custom": {"name": "f"}}
_BY_PROVIDER: Mapping[str, tuple[Any, str | None, str | None]] = {
    "a file onto Anthropic that is none": (
        {**_part(type="file", file={"file_data": "x"}), "model": "claude"},
        "messages[0].content[0].file.file_data",
        INVALID,
    ),
    "an image onto Anthropic that is none": (
        {**_part(type="image_url", image_url={"url": "x"}), "model": "claude"},
        "messages[0].content[0].image_url.url",
        INVALID,
    ),
    "audio onto Anthropic": (
        {**_part(type="input_audio", input_audio={"data": "x", "format": "wav"}), "model": "claude"},
        "messages[0].content[0].type",
        VALUE,
    ),
    "audio back from Anthropic": ({**_chat(modalities=["audio"]), "model": "claude"}, "modalities", UNSUPPORTED),
    "logprobs of Anthropic": ({**_chat(logprobs=True), "model": "claude"}, "logprobs", UNSUPPORTED),
    "a custom tool onto Anthropic": (_tools("claude", **CUSTOM), "tools[0].type", VALUE),
    "a custom call onto Anthropic": (
        _calls({"id": "a", "type": "custom", "custom": {"name": "f", "input": ""}}, model="claude"),
        "messages[1].tool_calls[0].type",
        VALUE,
    ),
    "arguments onto Anthropic that are no JSON": (
        _calls({"id": "a", "function": {"name": "f", "arguments": "{"}}, model="claude"),
        "messages[1].tool_calls[0].function.arguments",
        INVALID,
    ),
    "a function's message onto Anthropic": (
        {**_said(role="function", content="x", name="f"), "model": "claude"},
        "messages[0].role",
        VALUE,
    ),
    "functions onto responses": ({**_chat(functions=[FUNCTION]), "model": "respond"}, "functions", UNSUPPORTED),
    "a text onto responses that is a number": ({**_chat(text=5), "model": "respond"}, "text", TYPE),
    "a grammar onto responses that is a number": (
        _tools("respond", type="custom", custom={"name": "f", "format": {"grammar": 5}}),
        "tools[0].custom.format.grammar",
        TYPE,
    ),
    "a custom tool for the embedded model": (_tools("demo", **CUSTOM), "tools[0].type", VALUE),
    "a choice that is not declared": (
        {**_function("demo", {}), "tool_choice": {"type": "function", "function": {"name": "g"}}},
        "tool_choice",
        INVALID,
    ),
    "a tool required and none there": ({**_chat(tool_choice="required"), "model": "demo"}, "tool_choice", INVALID),
    "an image for the embedded model": (
        {**_part(type="image_url", image_url={"url": "x"}), "model": "demo"},
        "messages",
        INVALID,
    ),
    "a function's message for it": (
        {**_said(role="function", content="x", name="f"), "model": "demo"},
        "messages",
        INVALID,
    ),
    "more than it can read": (
        {**_said(role="user", content="a b " * 20_000), "model": "demo"},
        "messages",
        "context_length_exceeded",
    ),
    "a schema with a wrong required": (_schema("demo", {"type": "object", "required": 5}), "response_format", SCHEMA),
    "a schema with a wrong type": (_schema("demo", {"type": 5}), "response_format", SCHEMA),
    "a schema with a type that there is not": (_schema("demo", {"type": ["text", {}]}), "response_format", SCHEMA),
    "a schema with wrong properties": (
        _schema("demo", {"type": "object", "properties": []}),
        "response_format",
        SCHEMA,
    ),
    "a schema with a wrong enum": (_schema("demo", {"enum": 5}), "response_format", SCHEMA),
    "a schema with a wrong pattern": (_schema("demo", {"type": "string", "pattern": "("}), "response_format", SCHEMA),
    "a schema with a wrong length": (_schema("demo", {"type": "string", "minLength": "x"}), "response_format", SCHEMA),
    "a schema that refers elsewhere": (
        _schema("demo", {"$ref": "http://x.example/schema"}),
        "response_format",
        SCHEMA,
    ),
    "a schema that refers to nothing": (_schema("demo", {"$ref": "#/$defs/none"}), "response_format", SCHEMA),
    "a schema that refers to itself": (_schema("demo", {"$ref": "#"}), "response_format", SCHEMA),
    "a schema with the least of 64 bits": (_schema("demo", {"const": -(2**63)}), "response_format", SCHEMA),
    "a schema that is too deep": (_schema("demo", _deep(60)), "response_format", SCHEMA),
    "a schema that is too large": (
        _schema("demo", {"type": "object", "properties": {f"a{n}": {} for n in range(5000)}}),
        "response_format",
        SCHEMA,
    ),
    "parameters with a wrong required": (_function("demo", {"type": "object", "required": 5}), "tools", SCHEMA),
    "parameters that require a number": (_function("demo", {"type": "object", "required": [5]}), "tools", SCHEMA),
    "parameters that are too deep": (_function("demo", _deep(60)), "tools", SCHEMA),
    "parameters with wrong properties": (_function("demo", {"type": "object", "properties": 5}), "tools", SCHEMA),
}


def chats() -> Iterator[Bad]:
    """Chats that are wrong by themselves, or for the provider behind the model."""
    for name, (low, high, kind) in _BOUNDS.items():
        yield Bad(f"{name} too low", CHAT, _chat(**{name: low}), 400, name, f"{kind}_below_min_value")
        yield Bad(f"{name} too high", CHAT, _chat(**{name: high}), 400, name, f"{kind}_above_max_value")
    for name, values in _TYPES.items():
        for value in values:
            yield Bad(f"{name} of {value!r}", CHAT, _chat(**{name: value}), 400, name, TYPE)
    for kind, (body, param, code) in {**_IN_CHATS, **_BY_PROVIDER}.items():
        yield Bad(kind, CHAT, body, 400, param, code)
    yield Bad("an unknown model", CHAT, _chat(model="nope"), 404, None, "model_not_found")
    yield Bad("a model with a NUL", CHAT, _chat(model="up\0"), 404, None, "model_not_found")
    yield Bad("a model that takes no messages", CHAT, _chat(model="echo"), 404, None, "model_not_found")
    huge = b'{"model": "up", "messages": [{"role": "user", "content": "hi"}], "seed": %s}'
    yield Bad("an integer beyond 63 bits", CHAT, huge % b"9223372036854775808", 400, "seed", "integer_above_max_value")
    yield Bad("an integer beyond 64 bits", CHAT, huge % b"18446744073709551616", 400, "seed", TYPE)
    yield Bad("an integer as an exponent", CHAT, huge % b"1e3", 400, "seed", TYPE)
