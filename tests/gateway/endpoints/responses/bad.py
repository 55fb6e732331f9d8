"""Requests that are wrong, each with the place and the code that its error names."""

from __future__ import annotations

from typing import Any

INVALID, TYPE, MISSING = "invalid_value", "invalid_type", "missing_required_parameter"
UNSUPPORTED, NOT_HERE = "unsupported_parameter", "unsupported_value"


def _with(**members: Any) -> Any:
    return {"model": "up", "input": "hi", **members}


def _item(**members: Any) -> Any:
    return _with(input=[members])


def _part(**members: Any) -> Any:
    return _item(role="user", content=[members])


def _tool(**members: Any) -> Any:
    return _with(tools=[members])


BAD: tuple[tuple[Any, str | None, str | None], ...] = (
    ([], None, None),
    ("hi", None, None),
    ({}, "model", MISSING),
    ({"input": "hi"}, "model", MISSING),
    ({"model": "", "input": "hi"}, "model", MISSING),
    ({"model": 3, "input": "hi"}, "model", TYPE),
    ({"model": "up"}, "input", MISSING),
    (_with(input=None), "input", MISSING),
    (_with(input=3), "input", TYPE),
    (_with(input={}), "input", TYPE),
    (_with(input=[]), "input", "empty_array"),
    (_with(input=["hi"]), "input[0]", TYPE),
    (_with(input=[{"role": "user", "content": "a"}] * 2049), "input", "array_above_max_length"),
    (_item(content="hi"), "input[0].role", MISSING),
    (_item(role="wizard", content="hi"), "input[0].role", INVALID),
    (_item(role="tool", content="hi"), "input[0].role", INVALID),
    (_item(role=["user"], content="hi"), "input[0].role", TYPE),
    (_item(role="user"), "input[0].content", MISSING),
    (_item(role="user", content=3), "input[0].content", TYPE),
    (_item(role="user", content=["hi"]), "input[0].content[0]", TYPE),
    (_item(role="user", content="hi", status="done"), "input[0].status", INVALID),
    (_item(role="user", content="hi", id=3), "input[0].id", TYPE),
    (_item(type="web_search_call", id="ws_1"), "input[0].type", INVALID),
    (_item(type=3), "input[0].type", TYPE),
    (_part(text="hi"), "input[0].content[0].type", MISSING),
    (_part(type="text", text="hi"), "input[0].content[0].type", INVALID),
    (_part(type="output_text", text="hi"), "input[0].content[0].type", INVALID),
    (_part(type="input_text"), "input[0].content[0].text", MISSING),
    (_part(type="input_text", text=3), "input[0].content[0].text", TYPE),
    (_part(type="input_image"), "input[0].content[0].image_url", MISSING),
    (_part(type="input_image", image_url={"url": "x"}), "input[0].content[0].image_url", TYPE),
    (_part(type="input_image", file_id="file_1"), "input[0].content[0].file_id", NOT_HERE),
    (_part(type="input_image", image_url="x", detail="best"), "input[0].content[0].detail", INVALID),
    (_part(type="input_file", file_url="http://x"), "input[0].content[0].file_url", NOT_HERE),
    (_part(type="input_file", file_data="x", filename=3), "input[0].content[0].filename", TYPE),
    (_part(type="input_audio", input_audio="x"), "input[0].content[0].input_audio", TYPE),
    (
        _item(role="assistant", content=[{"type": "input_text", "text": "hi"}]),
        "input[0].content[0].type",
        INVALID,
    ),
    (_item(role="assistant", content=[{"type": "refusal"}]), "input[0].content[0].refusal", MISSING),
    (_item(type="function_call", name="f", arguments="{}"), "input[0].call_id", MISSING),
    (_item(type="function_call", call_id="a", name="f", arguments={}), "input[0].arguments", TYPE),
    (_item(type="function_call", call_id="a", name="f", arguments="{}"), "input", None),
    (_item(type="function_call_output", call_id="a", output="1"), "input", None),
    (_item(type="function_call_output", output="1"), "input[0].call_id", MISSING),
    (_item(type="function_call_output", call_id="a"), "input[0].output", MISSING),
    (_item(type="function_call_output", call_id="a", output=3), "input[0].output", TYPE),
    (_item(type="custom_tool_call", call_id="a", name="f"), "input[0].input", MISSING),
    (_item(type="reasoning", summary="hm"), "input[0].summary", TYPE),
    (_item(type="item_reference"), "input[0].id", MISSING),
    (_item(type="item_reference", id="msg_1"), "input[0].id", None),
    (_item(id="nobody"), "input[0].id", None),
    (_with(instructions=["a"]), "instructions", TYPE),
    (_with(max_output_tokens=15), "max_output_tokens", "integer_below_min_value"),
    (_with(max_output_tokens=True), "max_output_tokens", TYPE),
    (_with(max_output_tokens=16.5), "max_output_tokens", TYPE),
    (_with(max_tool_calls=0), "max_tool_calls", "integer_below_min_value"),
    (_with(temperature=2.1), "temperature", "decimal_above_max_value"),
    (_with(temperature="hot"), "temperature", TYPE),
    (_with(top_p=-1), "top_p", "decimal_below_min_value"),
    (_with(top_logprobs=21), "top_logprobs", "integer_above_max_value"),
    (_with(stream="yes"), "stream", TYPE),
    (_with(store=1), "store", TYPE),
    (_with(background="no"), "background", TYPE),
    (_with(background=True, store=False), "store", None),
    (_with(include="all"), "include", TYPE),
    (_with(include=[3]), "include[0]", TYPE),
    (_with(metadata=[]), "metadata", TYPE),
    (_with(metadata={"a": 1}), "metadata.a", TYPE),
    (_with(metadata={f"{n}": "" for n in range(17)}), "metadata", "object_above_max_properties"),
    (_with(metadata={"a": "b" * 513}), "metadata.a", "string_above_max_length"),
    (_with(previous_response_id=3), "previous_response_id", TYPE),
    (_with(previous_response_id="resp_1"), "previous_response_id", "previous_response_not_found"),
    (_with(parallel_tool_calls="no"), "parallel_tool_calls", TYPE),
    (_with(reasoning="low"), "reasoning", TYPE),
    (_with(reasoning={"effort": 3}), "reasoning.effort", TYPE),
    (_with(reasoning={"summary": "long"}), "reasoning.summary", INVALID),
    (_with(service_tier="best"), "service_tier", INVALID),
    (_with(truncation="left"), "truncation", INVALID),
    (_with(text="json"), "text", TYPE),
    (_with(text={"verbosity": "mute"}), "text.verbosity", INVALID),
    (_with(text={"format": "json"}), "text.format", TYPE),
    (_with(text={"format": {}}), "text.format.type", MISSING),
    (_with(text={"format": {"type": "xml"}}), "text.format.type", INVALID),
    (_with(text={"format": {"type": "json_schema", "schema": {}}}), "text.format.name", MISSING),
    (_with(text={"format": {"type": "json_schema", "name": "n"}}), "text.format.schema", MISSING),
    (
        _with(text={"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": 1}}),
        "text.format.strict",
        TYPE,
    ),
    (_with(tools={}), "tools", TYPE),
    (_with(tools=["f"]), "tools[0]", TYPE),
    (_tool(name="f"), "tools[0].type", MISSING),
    (_tool(type="web_search"), "tools[0].type", NOT_HERE),
    (_tool(type="function"), "tools[0].name", MISSING),
    (_tool(type="function", function={"name": "f"}), "tools[0].name", MISSING),
    (_tool(type="function", name="f", parameters="{}"), "tools[0].parameters", TYPE),
    (_tool(type="custom", name="f", format="text"), "tools[0].format", TYPE),
    (_with(tool_choice="maybe"), "tool_choice", INVALID),
    (_with(tool_choice=3), "tool_choice", TYPE),
    (_with(tool_choice={"type": "function"}), "tool_choice.name", MISSING),
    (_with(tool_choice={"type": "web_search"}), "tool_choice.type", INVALID),
    (_with(tool_choice={"type": "allowed_tools", "mode": "auto", "tools": []}), "tool_choice.tools", "empty_array"),
    (_with(conversation="conv_1"), "conversation", UNSUPPORTED),
    (_with(prompt={"id": "pmpt_1"}), "prompt", UNSUPPORTED),
    (_with(messages=[]), "messages", UNSUPPORTED),
    (_with(max_tokens=9), "max_tokens", UNSUPPORTED),
    (_with(response_format={"type": "text"}), "response_format", UNSUPPORTED),
    (_with(n=2), "n", UNSUPPORTED),
    (_with(stop=3), "stop", TYPE),
    (_with(seed="a"), "seed", TYPE),
)
"""Body, ``param`` and ``code``."""
