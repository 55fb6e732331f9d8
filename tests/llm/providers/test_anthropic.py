"""Anthropic's API: what a chat request becomes in it, and what only its answers hold (see test_behaviour.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from llm import (
    ChatCompletion,
    ChatRequest,
    EmbeddingProvider,
    InvalidRequest,
    UpstreamCredentialsRefused,
    UpstreamError,
    UpstreamGarbled,
    UpstreamQuotaExceeded,
    UpstreamRateLimited,
    UpstreamRequestRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
    collect,
)
from llm.providers.anthropic import AnthropicProvider
from llm.providers.anthropic_answer import chunk_of_message
from llm.providers.anthropic_request import message_body
from llm.testing import ANTHROPIC, Json, ScriptedUpstream, Stream
from llm.testing.dialect import AnthropicDialect
from llm.testing.upstream import Reply

USER = {"role": "user", "content": "hi"}
SAID = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
event = AnthropicDialect().event
block = AnthropicDialect().block


def body(*messages: Mapping[str, Any], **parameters: Any) -> dict[str, Any]:
    """What a request from the wire becomes."""
    return message_body(
        "claude", ChatRequest.from_wire({"model": "m", "messages": list(messages or (USER,)), **parameters})
    )


def turns(*messages: Mapping[str, Any]) -> Any:
    return body(*messages)["messages"]


def text(said: str) -> dict[str, str]:
    return {"type": "text", "text": said}


async def answered(*replies: Reply) -> ChatCompletion:
    async with ScriptedUpstream(*replies) as server:
        provider = AnthropicProvider(server.base_url, "sk-1")
        try:
            return await collect(provider.stream("claude", ChatRequest("m", [USER], stream=True)))
        finally:
            await provider.close()


async def test_what_goes_over_the_wire() -> None:
    """Path, version, key, and a number of tokens although none was asked for; the address may end in ``/v1``."""
    async with ScriptedUpstream(ANTHROPIC.text("Hi"), ANTHROPIC.text("Hi"), models=["claude-a"]) as server:
        for address in (server.base_url, server.base_url.removesuffix("v1")):
            provider = AnthropicProvider(address, "sk-1", max_tokens=99)
            await collect(provider.stream("claude", ChatRequest("m", [USER], stream=True)))
            assert await provider.models() == ["claude-a"]
            await provider.close()
    for sent in server.received:
        assert sent.path == "/v1/messages"
        assert (sent.headers["x-api-key"], sent.headers["anthropic-version"]) == ("sk-1", "2023-06-01")
        assert sent.body == {"model": "claude", "max_tokens": 99, "messages": SAID, "stream": True}
    assert not isinstance(AnthropicProvider(), EmbeddingProvider)


def test_system_messages_stand_apart() -> None:
    """Wherever they stood, and whatever they were called."""
    made = body({"role": "system", "content": "A"}, USER, {"role": "developer", "content": [text("B")]})
    assert (made["system"], made["messages"]) == ([text("A"), text("B")], SAID)


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}


def test_tools_and_their_results() -> None:
    """Results of parallel calls, and what the user says after, are one message, as Anthropic wants them."""
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    assistant = {"role": "assistant", "content": "Wait.", "tool_calls": [CALL, {**CALL, "id": "c2"}]}
    results = [{"role": "tool", "tool_call_id": name, "content": name} for name in ("c1", "c2")]
    _, spoke, heard = turns(USER, {**assistant, "thinking_blocks": [thought]}, *results, {**USER, "content": "go on"})
    uses = [{"type": "tool_use", "id": name, "name": "f", "input": {"x": 1}} for name in ("c1", "c2")]
    assert spoke == {"role": "assistant", "content": [thought, text("Wait."), *uses]}
    answers = [{"type": "tool_result", "tool_use_id": name, "content": name} for name in ("c1", "c2")]
    assert heard == {"role": "user", "content": [*answers, text("go on")]}


def test_contents() -> None:
    """Images by data or address, documents, Anthropic's own blocks, cache marks; empty texts are left out."""
    cached = {"cache_control": {"type": "ephemeral"}}
    own = {"type": "search_result", "source": "x", "title": "y", "content": []}
    parts = [
        text(""),
        {**text("look"), **cached},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAA=", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}, **cached},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,BBB="}},
        own,
    ]
    assert turns({"role": "user", "content": parts})[0]["content"] == [
        {**text("look"), **cached},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAA="}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}, **cached},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "BBB="}},
        own,
    ]


def test_the_start_of_an_answer_has_no_space_at_its_end() -> None:
    """Anthropic refuses it there, and only there."""
    assert turns(USER, {"role": "assistant", "content": "Sure: "})[-1]["content"] == [text("Sure:")]
    assert turns(USER, {"role": "assistant", "content": "Sure: "}, USER)[1]["content"] == [text("Sure: ")]


def tool(name: str = "f", **members: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **members}}


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 6}, {"max_tokens": 6}),
        ({"temperature": 1.5, "top_p": 0.5, "top_k": 3}, {"temperature": 1, "top_p": 0.5, "top_k": 3}),
        ({"stop": "a"}, {"stop_sequences": ["a"]}),
        ({"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}),
        ({"user": "u1"}, {"metadata": {"user_id": "u1"}}),
        ({"metadata": {"team": "x"}}, {}),
        ({"service_tier": "default"}, {"service_tier": "standard_only"}),
        ({"seed": 1, "presence_penalty": 1, "n": 1, "logprobs": False, "service_tier": "flex"}, {}),
        ({"thinking": {"type": "adaptive"}}, {"thinking": {"type": "adaptive"}}),
        ({"reasoning_effort": "minimal"}, {"output_config": {"effort": "low"}}),
        ({"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}},
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        ),
        ({"response_format": {"type": "text"}}, {}),
        (
            {"response_format": {"type": "json_object"}},
            {"system": [text("Answer with one JSON object and nothing else.")]},
        ),
        ({"tools": [tool()]}, {"tools": [{"name": "f", "input_schema": {"type": "object"}}]}),
        (
            {"tools": [tool(description="d", parameters={"type": "object", "properties": {}}, strict=True)]},
            {"tools": [{"name": "f", "description": "d", "strict": True}
             | {"input_schema": {"type": "object", "properties": {}}}]},
        ),
        *(
            ({"tools": [tool()], "tool_choice": said}, {"tool_choice": meant})
            for said, meant in (
                ("none", {"type": "none"}),
                ("required", {"type": "any"}),
                ({"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}),
            )
        ),
        (
            {"tools": [tool()], "parallel_tool_calls": False},
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        ),
        (
            {
                "tools": [tool("f"), tool("g")],
                "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [tool("g")]}},
            },
            {"tools": [{"name": "g", "input_schema": {"type": "object"}}], "tool_choice": {"type": "any"}},
        ),
    ],
)  # fmt: skip
def test_parameters(given: dict[str, Any], made: dict[str, Any]) -> None:
    """Each in Anthropic's words; hints without a counterpart are left out, unknown ones go as they are."""
    plain = {"model": "claude", "max_tokens": 4096, "messages": SAID}
    tools = {"tools": [{"name": "f", "input_schema": {"type": "object"}}]} if "tools" in given else {}
    assert body(**given) == {**plain, **tools, **made}


@pytest.mark.parametrize(
    ("messages", "given", "param"),
    [
        ((), {"n": 2}, "n"),
        ((), {"logprobs": True}, "logprobs"),
        ((), {"modalities": ["text", "audio"]}, "modalities"),
        ((), {"functions": [{"name": "f"}]}, "functions"),
        ((), {"tools": [{"type": "custom", "custom": {"name": "c"}}]}, "tools[0].type"),
        (({"role": "function", "name": "f", "content": "x"},), {}, "messages[0].role"),
        (
            (USER, {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": "{"}}]}),
            {},
            "messages[1].tool_calls[0].function.arguments",
        ),
        (
            ({"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}]},),
            {},
            "messages[0].content[0].type",
        ),
        (
            ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]},),
            {},
            "messages[0].content[0].image_url.url",
        ),
    ],
)
def test_what_cannot_be_said_is_refused(messages: Any, given: dict[str, Any], param: str) -> None:
    """What would change the answer's shape is named, before anything is sent."""
    with pytest.raises(InvalidRequest) as raised:
        body(*messages, **given)
    assert raised.value.param == param
    assert raised.value.code


async def test_the_stop_sequence_that_ended_an_answer() -> None:
    """It comes beside the words, as OpenAI's API has no place for it."""
    delta = {"stop_reason": "stop_sequence", "stop_sequence": "END"}
    streamed = Stream([*ANTHROPIC.words("Hi"), event("message_delta", delta=delta, usage={"output_tokens": 1})])
    whole = {"content": [text("Hi")], **delta}
    for completion in (await answered(streamed), ChatCompletion.of([chunk_of_message(whole)])):
        assert (completion.finish_reason, completion.extra) == ("stop", {"stop_sequence": "END"})


async def test_thoughts_usage_citations_and_events_that_are_still_to_come() -> None:
    """Thoughts stream as reasoning_content and come back whole, signed; every token that costs is counted."""
    start = {"input_tokens": 5, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 1}
    spent = {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}, "cache_read_input_tokens": None}
    citation = {"type": "char_location", "cited_text": "x"}
    pieces = [
        event("message_start", message={"role": "assistant", "usage": {**start, "service_tier": "standard"}}),
        event("ping"),
        *block(0, {"type": "thinking", "thinking": "", "signature": ""},
               {"type": "thinking_delta", "thinking": "h"}, {"type": "thinking_delta", "thinking": "m"},
               {"type": "signature_delta", "signature": "sig"}),
        *block(1, {"type": "redacted_thinking", "data": "xyz"}),
        *block(2, {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
               {"type": "input_json_delta", "partial_json": "{}"}),
        event("something_new", index=5),
        *block(3, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Hi"}, {"type": "new_delta"},
               {"type": "citations_delta", "citation": citation}),
        event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage=spent),
        event("message_stop"),
    ]  # fmt: skip
    completion = await answered(Stream(pieces))
    message = completion.message()
    assert (message["content"], message["reasoning_content"], message["citations"]) == ("Hi", "hm", [citation])
    thought = {"type": "thinking", "thinking": "hm", "signature": "sig"}
    assert message["thinking_blocks"] == [thought, {"type": "redacted_thinking", "data": "xyz"}]
    assert completion.tool_calls == []
    assert completion.usage is not None
    assert completion.usage.to_wire() == {
        "prompt_tokens": 10,
        "completion_tokens": 9,
        "total_tokens": 19,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 2,
        "service_tier": "standard",
        "output_tokens_details": {"thinking_tokens": 4},
        "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 4},
    }
    blocks = [thought, {"type": "redacted_thinking", "data": "xyz"}, {**text("Hi"), "citations": [citation]}]
    whole = {"content": blocks, "stop_reason": "end_turn", "usage": {**start, **spent, "cache_read_input_tokens": 2}}
    assert ChatCompletion.of([chunk_of_message(whole)]).message() == message


@pytest.mark.parametrize(
    ("reason", "meant"),
    [
        *[("end_turn", "stop"), ("stop_sequence", "stop"), ("pause_turn", "stop"), ("something_new", "stop")],
        *[("max_tokens", "length"), ("model_context_window_exceeded", "length")],
        *[("tool_use", "tool_calls"), ("refusal", "content_filter")],
    ],
)
async def test_stop_reasons(reason: str, meant: str) -> None:
    """Strict clients know five words."""
    streamed = Stream([*ANTHROPIC.words("Hi"), *ANTHROPIC.end(reason)])
    assert (await answered(streamed)).finish_reason == meant
    assert (await answered(ANTHROPIC.answer("Hi", finish_reason=reason))).finish_reason == meant


@pytest.mark.parametrize(
    ("status", "message", "kind", "param", "code"),
    [
        (400, "temperature: range: 0..1", UpstreamRequestRefused, "temperature", None),
        (400, "messages.0.content: too long", UpstreamRequestRefused, "messages", None),
        (400, "stop_sequences: each must contain non-whitespace", UpstreamRequestRefused, "stop", None),
        (400, "`temperature` is deprecated for this model.", UpstreamRequestRefused, "temperature", None),
        (
            400,
            "prompt is too long: 9 tokens > 8",
            UpstreamRequestRefused,
            "messages",
            "context_length_exceeded",
        ),
        (400, "no", UpstreamRequestRefused, None, None),
        (404, "model: claude-x", UpstreamRequestRefused, None, "model_not_found"),
        (400, "Your credit balance is too low to access the Anthropic API.", UpstreamQuotaExceeded, None, None),
    ],
)
async def test_errors_in_words(
    status: int, message: str, kind: type[UpstreamError], param: str | None, code: str | None
) -> None:
    """What OpenAI's clients read from param and code is read from Anthropic's words."""
    with pytest.raises(kind) as raised:
        await answered(ANTHROPIC.error(status, message))
    if isinstance(raised.value, UpstreamRequestRefused):
        assert (str(raised.value), raised.value.param, raised.value.code) == (message, param, code)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"type": "overloaded_error"}, UpstreamUnavailable),
        ({"type": "api_error"}, UpstreamUnavailable),
        ({"type": "rate_limit_error"}, UpstreamRateLimited),
        ({"type": "billing_error"}, UpstreamQuotaExceeded),
        ({"type": "timeout_error"}, UpstreamTimeout),
        ({"type": "permission_error", "message": "sk-1"}, UpstreamCredentialsRefused),
        ({"type": "invalid_request_error", "message": "prompt is too long"}, UpstreamRequestRefused),
        ({"type": "something_new"}, UpstreamUnavailable),
        ("a string", UpstreamUnavailable),
    ],
)
async def test_errors_inside_a_stream(error: Any, kind: type[UpstreamError]) -> None:
    """Each type has its error."""
    with pytest.raises(kind) as raised:
        await answered(Stream([*ANTHROPIC.words("Hi"), event("error", error=error)]))
    assert "sk-" not in str(raised.value)


@pytest.mark.parametrize(
    "wrong",
    [
        event("content_block_start", index=0),
        event("content_block_start", index=0, content_block={"type": "text", "text": 5}),
        b"".join(piece for piece in block(0, text(""), 5) if isinstance(piece, bytes)),  # type: ignore[arg-type]
        event("message_delta"),
    ],
)
async def test_events_of_another_shape(wrong: bytes) -> None:
    """What is not Anthropic's is the upstream's error, not ours."""
    with pytest.raises(UpstreamGarbled):
        await answered(Stream([*ANTHROPIC.opening(), wrong]))


async def test_a_list_of_models_of_another_shape() -> None:
    """The same holds for the list of models."""
    async with ScriptedUpstream(models=()) as server:
        provider = AnthropicProvider(f"{server.base_url}/nothing-here")
        try:
            with pytest.raises(UpstreamError):
                await provider.models()
        finally:
            await provider.close()
    with pytest.raises(UpstreamGarbled):
        await answered(Json({"content": "no list"}))
