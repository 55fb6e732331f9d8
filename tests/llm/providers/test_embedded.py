"""The embedded provider: what it takes from a request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm import ChatRequest, InvalidRequest, collect
from llm.providers.embedded import EmbeddedProvider

TOOL = {
    "type": "function",
    "function": {
        "name": "go",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    },
}
SCHEMA = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
WRONG = {"type": "function", "function": {"name": "go"}}
STRANGE = "Xqvrmblatz"


async def test_arguments_and_answers_are_held_to_what_they_copy() -> None:
    """There is one word to copy, so that is what any weights must say."""
    calls = ChatRequest.of_text("m", "Go.").having(tools=[TOOL], tool_choice="required", parallel_tool_calls=False)
    calls.copies = {"go.place": f"{STRANGE}!"}
    answers = ChatRequest.of_text("m", "Where?").having(
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    )
    answers.copies = {"place": f"{STRANGE}!"}
    provider = EmbeddedProvider()
    await provider.start()
    try:
        called = await collect(provider.stream("penstock-demo", calls))
        answered = await collect(provider.stream("penstock-demo", answers))
    finally:
        await provider.close()
    assert json.loads(called.tool_calls[0].arguments) == {"place": STRANGE}
    assert json.loads(answered.content)["place"] in {STRANGE, ""}


async def test_counting_what_was_not_reported() -> None:
    """By the model's own tokenizer and template, as an estimate, and before the model was used too."""
    asked = ChatRequest.of_text("m", "Plan a trip to Lisbon on 14 May").having(max_tokens=5)
    provider = EmbeddedProvider()
    try:
        early = await provider.count("penstock-demo", asked, "")
        made = await collect(provider.stream("penstock-demo", asked))
        counted = await provider.count("penstock-demo", asked, made.content)
        with_tool = await provider.count("penstock-demo", asked.having(tools=[TOOL]), made.content)
    finally:
        await provider.close()
    assert made.usage
    assert (counted.prompt_tokens, counted.completion_tokens) == (made.usage.prompt_tokens, 5)
    assert (early.prompt_tokens, early.completion_tokens, early.source) == (made.usage.prompt_tokens, 0, "estimated")
    assert with_tool.prompt_tokens > counted.prompt_tokens


@pytest.mark.parametrize(
    ("tool_choice", "name"),
    [
        ({"type": "function", "function": {"name": "go"}}, "go"),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "go"}}]},
            },
            "go",
        ),
        ("none", None),
    ],
    ids=["by name", "allowed", "none"],
)
async def test_which_tool_may_be_called(tool_choice: Any, name: str | None) -> None:
    """As the request chooses, of those that it declares."""
    other = {"type": "function", "function": {"name": "stay"}}
    asked = ChatRequest.of_text("m", "Go.").having(tools=[other, TOOL], tool_choice=tool_choice, max_tokens=200)
    provider = EmbeddedProvider()
    try:
        made = await collect(provider.stream("penstock-demo", asked))
        with pytest.raises(InvalidRequest) as raised:
            await collect(provider.stream("penstock-demo", asked.having(tools=[other], tool_choice=WRONG)))
    finally:
        await provider.close()
    assert {call.name for call in made.tool_calls} == ({name} if name else set())
    assert raised.value.param == "tool_choice"


@pytest.mark.parametrize(
    ("pattern", "said"), [("(?=x)", "look-around"), ("(a)\\1", "backreferences are not"), ("[", "unclosed")]
)
async def test_what_of_a_schema_cannot_be_followed_is_said(pattern: str, said: str) -> None:
    """In one line, of an answer's and of a tool's, with the code that checked answers have too."""
    schema = {"type": "object", "properties": {"n": {"type": "string", "pattern": pattern}}, "required": ["n"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    tool = {"type": "function", "function": {"name": "go", "parameters": schema}}
    hello = ChatRequest.of_text("m", "Go.")
    provider = EmbeddedProvider()
    try:
        for asked in (hello.having(response_format=wanted), hello.having(tools=[tool], tool_choice="required")):
            with pytest.raises(InvalidRequest, match=f"regex parse error: .*{said}") as raised:
                await collect(provider.stream("penstock-demo", asked))
            assert raised.value.code == "invalid_json_schema"
            assert "%json" not in str(raised.value)
    finally:
        await provider.close()


async def test_it_does_not_speak() -> None:
    """Whoever asks for audio is told so, and gets no text instead."""
    spoken = ChatRequest.of_text("m", "Hi").having(modalities=["text", "audio"], audio={"voice": "x", "format": "wav"})
    provider = EmbeddedProvider()
    try:
        with pytest.raises(InvalidRequest) as raised:
            await collect(provider.stream("penstock-demo", spoken))
        assert (
            await collect(provider.stream("penstock-demo", spoken.having(modalities=["text"], max_tokens=2)))
        ).content
    finally:
        await provider.close()
    assert (raised.value.param, raised.value.code) == ("modalities", "unsupported_value")
