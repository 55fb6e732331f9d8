"""What a chat request must look like, and in which words it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from llm import ChatRequest, InvalidRequest, text_of
from llm.chat.validation import MAX_MESSAGES

HELLO = {"role": "user", "content": "hello"}
MINIMAL = {"model": "m", "messages": [HELLO]}
TOOL = {"type": "function", "function": {"name": "f"}}
CUSTOM = {"id": "c", "type": "custom", "custom": {"name": "f", "input": "any text"}}


def allowed(**tools: Any) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": tools}


def part(value: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [value]}]}


def said(**members: Any) -> dict[str, Any]:
    return {"messages": [{"role": "assistant", **members}]}


def test_unknown_members_and_the_sdks_own_history_are_kept() -> None:
    """What we do not know goes upstream as it came; an SDK's answer object can be sent back as history."""
    answer: dict[str, Any] = {
        "role": "assistant",
        "content": "hi",
        "refusal": None,
        "annotations": [],
        "audio": None,
        "x": 1,
    }
    request = ChatRequest.from_wire({**MINIMAL, "messages": [HELLO, answer], "top_k": 3, "chat_template_kwargs": {}})
    assert request.messages[1] is answer
    assert request.to_wire() == {
        "model": "m",
        "messages": [HELLO, answer],
        "top_k": 3,
        "chat_template_kwargs": {},
    }


def test_null_is_absence_and_zero_is_a_value() -> None:
    """SDKs send null for what was not set; 0 and false are kept."""
    request = ChatRequest.from_wire({**MINIMAL, "temperature": 0, "stop": None, "n": None, "logprobs": False})
    assert request.parameters == {"temperature": 0, "logprobs": False}


def test_stream_options_are_taken_apart() -> None:
    """``stream`` and ``include_usage`` are ours to act on."""
    request = ChatRequest.from_wire({**MINIMAL, "stream": True, "stream_options": {"include_usage": True}})
    assert (request.stream, request.include_usage, request.parameters) == (True, True, {})


@pytest.mark.parametrize(
    ("change", "param", "code", "message"),
    [
        ({"model": None}, None, None, "you must provide a model parameter"),
        ({"model": ""}, None, None, "you must provide a model parameter"),
        ({"model": 3}, "model", "invalid_type", "expected a string, but got an integer instead"),
        ({"messages": None}, "messages", "missing_required_parameter", "Missing required parameter: 'messages'."),
        ({"messages": "hi"}, "messages", "invalid_type", "expected an array, but got a string instead"),
        ({"messages": []}, "messages", "empty_array", "minimum length 1"),
        ({"messages": ["hi"]}, "messages[0]", "invalid_type", "expected an object, but got a string"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "missing_required_parameter", "messages[0].role"),
        ({"messages": [{**HELLO, "role": "wizard"}]}, "messages[0].role", "invalid_value", "Invalid value: 'wizard'"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter", "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "invalid_type", "content parts"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages[0].content[0].type", None, "content[0].type"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id", None, "tool_call_id"),
        ({"temperature": 3}, "temperature", "decimal_above_max_value", "Expected a value <= 2, but got 3 instead."),
        ({"temperature": True}, "temperature", "invalid_type", "expected a decimal, but got a boolean"),
        ({"top_p": -0.1}, "top_p", "decimal_below_min_value", "Expected a value >= 0"),
        ({"n": 1.5}, "n", "invalid_type", "expected an integer, but got a decimal"),
        ({"n": True}, "n", "invalid_type", "expected an integer, but got a boolean"),
        ({"n": 0}, "n", "integer_below_min_value", "Expected a value >= 1"),
        ({"max_tokens": 0}, "max_tokens", "integer_below_min_value", "max_tokens"),
        ({"stop": 5}, "stop", "invalid_type", "expected a string or an array of strings"),
        ({"stop": ["a"] * 5}, "stop", "array_above_max_length", "maximum length 4"),
        ({"stop": ["a", 1]}, "stop[1]", "invalid_type", "expected a string"),
        ({"stream": "yes"}, "stream", "invalid_type", "expected a boolean"),
        ({"stream_options": {"include_usage": True}}, "stream_options", None, "only allowed when 'stream' is enabled"),
        ({"stream": False, "stream_options": {}}, "stream_options", None, "only allowed when 'stream' is enabled"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage", "invalid_type", ""),
        ({"messages": [HELLO] * (MAX_MESSAGES + 1)}, "messages", "array_above_max_length", "maximum length 2048"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "missing_required_parameter", "tools[0].function"),
        ({"tools": [{"type": "retrieval"}]}, "tools[0].type", "invalid_value", "'function', 'custom'"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name", None, "function.name"),
        ({"tool_choice": "maybe"}, "tool_choice", "invalid_value", "'none', 'auto', 'required'"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function", None, "tool_choice.function"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value", "json_schema"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", None, "json_schema"),
        ({"logit_bias": {"5": 0.5}}, "logit_bias.5", "invalid_type", "expected an integer"),
        ({"metadata": {"a": 1}}, "metadata.a", "invalid_type", "expected a string"),
        ({"metadata": {f"{n}": "" for n in range(17)}}, "metadata", "object_above_max_properties", "at most 16"),
        ({"metadata": {"n" * 65: ""}}, f"metadata.{'n' * 64}", "string_above_max_length", "maximum length 64"),
        ({"metadata": {"a": "v" * 513}}, "metadata.a", "string_above_max_length", "a string with length 513 instead"),
        ({"safety_identifier": "x" * 65}, "safety_identifier", "string_above_max_length", "maximum length 64"),
        ({"store": 1}, "store", "invalid_type", "expected a boolean"),
        ({"modalities": "text"}, "modalities", "invalid_type", "expected an array"),
        ({"audio": "alloy"}, "audio", "invalid_type", "expected an object"),
        ({"stop": []}, "stop", "empty_array", "minimum length 1, but got an empty array instead"),
        ({"top_logprobs": 2}, "top_logprobs", None, "only allowed when 'logprobs' is enabled"),
        ({"tools": []}, "tools", "empty_array", "minimum length 1"),
        ({"tools": [TOOL] * 129}, "tools", "array_above_max_length", "an array with length 129 instead"),
        ({"tools": [{**TOOL, "function": {"name": "f", "strict": 1}}]}, "tools[0].function.strict", None, "a boolean"),
        ({"functions": []}, "functions", "empty_array", "minimum length 1"),
        ({"functions": [{}]}, "functions[0].name", "missing_required_parameter", "functions[0].name"),
        ({"function_call": "always"}, "function_call", "invalid_value", "'none', 'auto'"),
        ({"function_call": {}}, "function_call.name", "missing_required_parameter", "function_call.name"),
        ({"tool_choice": {"type": "function", "function": {}}}, "tool_choice.function.name", None, "Missing"),
        (
            {"tool_choice": allowed(mode="any", tools=[TOOL])},
            "tool_choice.allowed_tools.mode",
            "invalid_value",
            "'auto'",
        ),
        ({"tool_choice": allowed(mode="auto", tools=[])}, "tool_choice.allowed_tools.tools", "empty_array", ""),
        (
            {"stream": True, "stream_options": {"include_obfuscation": 0}},
            "stream_options.include_obfuscation",
            None,
            "",
        ),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content", "empty_array", "minimum length 1"),
        (part({"type": "image_url", "image_url": {}}), "messages[0].content[0].image_url.url", None, "Missing"),
        (part({"type": "input_audio", "input_audio": {}}), "messages[0].content[0].input_audio.data", None, "Missing"),
        (part({"type": "file", "file": {"file_id": 1}}), "messages[0].content[0].file.file_id", "invalid_type", ""),
        (said(tool_calls=[]), "messages[0].content", "missing_required_parameter", "content"),
        (said(function_call={"name": "f"}), "messages[0].function_call.arguments", "missing_required_parameter", ""),
        (said(tool_calls=[CUSTOM | {"custom": {"name": "f"}}]), "messages[0].tool_calls[0].custom.input", None, ""),
        (said(tool_calls=[CUSTOM | {"type": "other"}]), "messages[0].tool_calls[0].type", "invalid_value", ""),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].name", "missing_required_parameter", ""),
        ({"seed": 2**64}, "seed", "integer_above_max_value", "seed"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], param: str | None, code: str | None, message: str) -> None:
    """Each fault names its place, with OpenAI's code and in its words."""
    with pytest.raises(InvalidRequest) as raised:
        ChatRequest.from_wire({**MINIMAL, **change})
    assert message in str(raised.value)
    assert raised.value.param == param
    assert code is None or raised.value.code == code


def test_a_conversation_may_be_as_long_as_openais() -> None:
    """So many messages, and not one more."""
    assert len(ChatRequest.from_wire({**MINIMAL, "messages": [HELLO] * MAX_MESSAGES}).messages) == MAX_MESSAGES


@pytest.mark.parametrize("body", [[], "x", None, 5])
def test_a_body_that_is_no_object(body: Any) -> None:
    """A chat request is a JSON object."""
    with pytest.raises(InvalidRequest, match="JSON object"):
        ChatRequest.from_wire(body)


def test_assistant_messages_may_have_calls_instead_of_content() -> None:
    """Content may be null or absent where there are tool calls."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    for message in (
        {"role": "assistant", "tool_calls": [call]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
    ):
        ChatRequest.from_wire({**MINIMAL, "messages": [message]})


EVERYTHING: dict[str, Any] = {
    "messages": [
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}], "name": "me"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,", "detail": "auto"}}]},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]},
        {"role": "user", "content": [{"type": "file", "file": {"file_data": "data:,", "filename": "a.pdf"}}]},
        {"role": "user", "content": [{"type": "video_url", "video_url": {"url": "data:,"}}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "assistant", "content": None, "audio": {"id": "audio_1"}, "reasoning_content": "so"},
        {"role": "assistant", "content": None, "refusal": "No.", "annotations": [], "function_call": None},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": None},
        {"role": "assistant", "tool_calls": [CUSTOM]},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "done"}]},
    ],
    "temperature": 0,
    "top_p": 1,
    "stop": ["a"],
    "max_completion_tokens": 1,
    "max_tokens": 1,
    "logit_bias": {"5": -100},
    "logprobs": True,
    "top_logprobs": 0,
    "seed": -(2**63),
    "tools": [TOOL, {"type": "custom", "custom": {"name": "g", "description": "d", "format": {"type": "text"}}}],
    "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [TOOL]}},
    "parallel_tool_calls": False,
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": None}},
    "reasoning_effort": "next year's",
    "verbosity": "low",
    "modalities": ["text", "audio"],
    "audio": {"voice": "alloy", "format": "wav"},
    "prediction": {"type": "content", "content": "x"},
    "metadata": {"n" * 64: "v" * 512},
    "store": False,
    "service_tier": "flex",
    "user": "u",
    "safety_identifier": "s" * 64,
    "prompt_cache_key": "k",
    "prompt_cache_options": {"ttl": "1h"},
    "moderation": {"model": "m"},
    "web_search_options": {"search_context_size": "low"},
    "functions": [{"name": "f", "parameters": {}}],
    "function_call": {"name": "f"},
}


def test_all_that_openai_takes_goes_on_as_it_came() -> None:
    """Every member and every kind of message, zeros and falses too; nothing is added."""
    assert ChatRequest.from_wire({"model": "m", **EVERYTHING}).to_wire() == {"model": "m", **EVERYTHING}


@pytest.mark.parametrize("name", sorted(EVERYTHING.keys() - {"messages", "top_logprobs", "logprobs"}))
def test_a_null_is_absence(name: str) -> None:
    """Of any member."""
    assert name not in ChatRequest.from_wire({"model": "m", **EVERYTHING, name: None}).to_wire()


def test_an_empty_list_of_calls_is_left_out() -> None:
    """Clients send it back, and upstreams refuse it; the caller's own message stays as it is."""
    message = {"role": "assistant", "content": "hi", "tool_calls": []}
    assert ChatRequest.from_wire({**MINIMAL, "messages": [HELLO, message]}).messages[1] == {
        "role": "assistant",
        "content": "hi",
    }
    assert message["tool_calls"] == []


def test_the_text_of_a_message() -> None:
    """Text parts are joined, other parts are none."""
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": "b"}]
    assert text_of({"role": "user", "content": parts}) == "ab"
    assert text_of({"role": "assistant", "content": None}) == ""


def test_what_steps_add_is_kept_apart_from_what_was_asked() -> None:
    """Messages appended to a request are not the caller's."""
    request = ChatRequest.of_text("m", "hello")
    request.messages.append({"role": "assistant", "content": "hi"})
    assert (request.conversation, request.gathered) == ([HELLO], [{"role": "assistant", "content": "hi"}])
    assert (request.text, request.texts) == ("hello", ["hello"])


def test_a_raw_prompt_and_its_parameters() -> None:
    """They are kept as they came, without nulls; a text is a user's message too; the stream's members are apart."""
    given = {"model": "x", "prompt": "x", "stream": False, "logprobs": 0, "suffix": None, "echo": False}
    request = ChatRequest.of_prompt("m", "hello", given, stream=True, include_usage=True)
    assert request == ChatRequest("m", [HELLO], {"logprobs": 0, "echo": False}, True, True, prompt="hello")
    assert ChatRequest.of_prompt("m", [1, 2]).messages == []
    assert request.having(seed=1).prompt == "hello"


def test_a_raw_prompt_asked_of_a_chat() -> None:
    """In the chat API's words; other messages are always a chat's; a chat stays what it is."""
    request = ChatRequest.of_prompt("m", "hello", {"logprobs": 0, "best_of": 2, "echo": False, "top_p": 1})
    chat = {"logprobs": True, "top_logprobs": 0, "top_p": 1}
    assert request.as_chat() == ChatRequest("m", [HELLO], chat)
    assert request.having([HELLO, HELLO], seed=1).parameters == {**chat, "seed": 1}
    assert request.having([HELLO]).prompt is None
    assert request.parameters["best_of"] == 2
    said = ChatRequest.of_text("m", "hello")
    assert said.as_chat() is said


@pytest.mark.parametrize(
    ("prompt", "parameters", "param"),
    [([1], {}, "prompt"), ("a", {"echo": True}, "echo"), ("a", {"suffix": "."}, "suffix")],
)
def test_what_no_chat_can_do(prompt: Any, parameters: dict[str, Any], param: str) -> None:
    """It is refused by its name."""
    with pytest.raises(InvalidRequest) as raised:
        ChatRequest.of_prompt("m", prompt, parameters).as_chat()
    assert raised.value.param == param


def test_parameters_are_set_and_taken_away_in_a_copy() -> None:
    """``having`` leaves the original as it was."""
    request = ChatRequest.from_wire({**MINIMAL, "temperature": 1, "seed": 4})
    changed = request.having(seed=None, stop="x")
    assert (changed.parameters, request.parameters) == ({"temperature": 1, "stop": "x"}, {"temperature": 1, "seed": 4})
