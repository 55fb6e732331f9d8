"""What a chat request must look like, and in which words it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from llm import ChatRequest, InvalidRequest, text_of
from llm.chat.validation import MAX_MESSAGES

HELLO = {"role": "user", "content": "hello"}
MINIMAL = {"model": "m", "messages": [HELLO]}


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
