"""An answer put together from its chunks."""

from __future__ import annotations

from typing import Any

import pytest

from llm import ChatChunk, ChatCompletion, ToolCallDelta, Usage


def test_text_calls_usage_and_end_are_gathered() -> None:
    """Chunks in order make the message that OpenAI would have sent."""
    completion = ChatCompletion.of(
        [
            ChatChunk.text("Let me "),
            ChatChunk.text("see."),
            ChatChunk(tool_calls=(ToolCallDelta(0, "", "call_a", "f"),)),
            ChatChunk(tool_calls=(ToolCallDelta(0, '{"x"'), ToolCallDelta(1, "{}", "call_b", "g"))),
            ChatChunk(tool_calls=(ToolCallDelta(0, ": 1}"),)),
            ChatChunk(finish_reason="tool_calls"),
            ChatChunk(usage=Usage.of(3, 4)),
        ]
    )
    assert completion.message() == {
        "role": "assistant",
        "content": "Let me see.",
        "refusal": None,
        "tool_calls": [
            {"id": "call_a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
            {"id": "call_b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }
    assert (completion.finish_reason, completion.usage) == ("tool_calls", Usage.of(3, 4))


def test_content_is_null_when_there_are_only_calls() -> None:
    """And it is an empty string when there is nothing at all."""
    assert ChatCompletion.of([ChatChunk(tool_calls=(ToolCallDelta(0, "", "a", "f"),))]).message()["content"] is None
    assert ChatCompletion.of([]).message()["content"] == ""


@pytest.mark.parametrize("name", ["refusal", "audio", "function_call"])
def test_content_is_null_where_something_stands_instead(name: str) -> None:
    """As OpenAI says a refusal, an answer in sound, and a legacy call of a function."""
    assert ChatCompletion.of([ChatChunk(extra={name: {"x": "y"}})]).message()["content"] is None
    assert ChatCompletion.of([ChatChunk("a"), ChatChunk(extra={name: {"x": "y"}})]).message()["content"] == "a"


def test_other_members_of_the_delta_are_joined() -> None:
    """Reasoning comes in pieces like content; what is no text is taken as it comes last."""
    chunks = [ChatChunk(extra={"reasoning_content": "a", "n": 1}), ChatChunk(extra={"reasoning_content": "b", "n": 2})]
    message = ChatCompletion.of(chunks).message()
    assert (message["reasoning_content"], message["n"]) == ("ab", 2)


def test_lists_and_objects_of_the_delta_are_joined() -> None:
    """Annotations are one list, a legacy function call is one object, log probabilities are those of all tokens."""
    pieces: list[dict[str, Any]] = [
        {"function_call": {"name": "f", "arguments": "{"}},
        {"function_call": {"arguments": "}"}},
        {"a": [1]},
    ]
    chunks = [
        ChatChunk(extra=piece, logprobs={"content": [index]}) for index, piece in enumerate([*pieces, {"a": [2]}])
    ]
    completion = ChatCompletion.of(chunks)
    message = completion.message()
    assert message["function_call"] == {"name": "f", "arguments": "{}"}
    assert message["a"] == [1, 2]
    assert completion.logprobs == {"content": [0, 1, 2, 3]}
