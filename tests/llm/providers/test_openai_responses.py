"""OpenAI's Responses API against a real socket: what a chat becomes there, and what comes back."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from llm import (
    ChatCompletion,
    ChatRequest,
    InvalidRequest,
    UpstreamBrokeOff,
    UpstreamError,
    UpstreamGarbled,
    UpstreamQuotaExceeded,
    UpstreamRateLimited,
    UpstreamRequestRefused,
    UpstreamUnavailable,
    Usage,
    collect,
)
from llm.chat.completion import ToolCall
from llm.providers.openai import OpenAIProvider
from llm.testing import RESPONSES, Call, Json, ScriptedUpstream, Stream
from llm.testing.upstream import Piece, Reply

USER = {"role": "user", "content": "hi"}


@asynccontextmanager
async def upstream(*replies: Reply, **options: Any) -> AsyncGenerator[tuple[ScriptedUpstream, OpenAIProvider], None]:
    """A scripted upstream, and a provider that talks to it."""
    async with ScriptedUpstream(*replies) as server:
        provider = OpenAIProvider(server.base_url, "sk-of-the-gateway", api="responses", **options)
        try:
            yield server, provider
        finally:
            await provider.close()


async def sent(*messages: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    """The body that the upstream gets."""
    async with upstream(RESPONSES.answer("ok")) as (server, provider):
        await collect(provider.stream("upstream-model", ChatRequest("m", list(messages or (USER,)), parameters)))
    body: dict[str, Any] = server.received[0].body
    assert server.received[0].path == "/v1/responses"
    return body


async def answered(*pieces: Piece, whole: dict[str, Any] | None = None) -> ChatCompletion:
    """The answer in a stream of these events, or in a whole response."""
    reply: Reply = Stream(pieces) if whole is None else Json(whole)
    async with upstream(reply) as (_, provider):
        return await collect(provider.stream("m", ChatRequest("m", [USER], stream=whole is None)))


def output(*items: dict[str, Any], status: str = "completed", **members: Any) -> dict[str, Any]:
    return RESPONSES.response(status, output=list(items), **members)


async def test_the_simplest_request() -> None:
    """Nothing is stored there, as nothing is by the chat API; what has no other name goes as it is."""
    assert await sent(USER, temperature=0.5, user="u", previous_response_id="r") == {
        "model": "upstream-model",
        "input": [{"role": "user", "content": "hi"}],
        "store": False,
        "temperature": 0.5,
        "user": "u",
        "previous_response_id": "r",
    }
    assert (await sent(USER, store=True))["store"] is True


async def test_instructions_are_the_systems_first_words() -> None:
    """Those of system and developer at the start; later ones stay in their place; where there are no others, too."""
    first: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "B"}]},
    ]
    later = {"role": "system", "content": "Now be long."}
    body = await sent(*first, USER, later)
    assert (body["instructions"], body["input"]) == ("Be brief.\n\nB", [USER, later])
    alone = await sent(first[0])
    assert (alone["input"], "instructions" in alone) == ([first[0]], False)


async def test_the_conversation_as_items() -> None:
    """Calls and results stand by themselves, parallel ones too; custom tools have items of their own."""
    calls = [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "b", "type": "custom", "custom": {"name": "sql", "input": "select 1"}},
    ]
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "xyz", "status": "completed"}
    said = {"role": "assistant", "content": "Wait.", "tool_calls": calls, "reasoning_items": [thought], "refusal": None}
    results: list[dict[str, Any]] = [
        {"role": "tool", "tool_call_id": "a", "content": "42"},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "43"}]},
    ]
    assert (await sent(USER, said, *results, {"role": "assistant", "content": None, "refusal": "No."}))["input"] == [
        USER,
        {"type": "reasoning", "summary": [], "encrypted_content": "xyz"},
        {"role": "assistant", "content": "Wait."},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "b", "name": "sql", "input": "select 1"},
        {"type": "function_call_output", "call_id": "a", "output": "42"},
        {"type": "custom_tool_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "43"}]},
        {"role": "assistant", "content": "No."},
    ]


async def test_parts_of_a_message() -> None:
    """Texts, images and files have other names; parts that are the Responses API's own go as they are."""
    own = {"type": "input_image", "file_id": "file-1"}
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}},
        own,
    ]
    assert (await sent({"role": "user", "content": parts}))["input"][0]["content"] == [
        {"type": "input_text", "text": "What is it?"},
        {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
        own,
    ]


async def test_tools_and_which_may_be_called() -> None:
    """Tools and choices lose a level; functions are as strict as they were."""
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
    grammar = {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a+"}}
    tools = [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": schema, "strict": True}},
        {"type": "function", "function": {"name": "g"}},
        {"type": "custom", "custom": {"name": "sql", "format": grammar}},
    ]
    body = await sent(tools=tools, tool_choice="required", parallel_tool_calls=False)
    assert body["tools"] == [
        {"type": "function", "name": "f", "description": "d", "parameters": schema, "strict": True},
        {"type": "function", "name": "g", "parameters": {"type": "object", "properties": {}}, "strict": False},
        {"type": "custom", "name": "sql", "format": {"type": "grammar", "syntax": "regex", "definition": "a+"}},
    ]
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("required", False)
    named = {"type": "function", "function": {"name": "f"}}
    assert (await sent(tools=tools, tool_choice=named))["tool_choice"] == {"type": "function", "name": "f"}
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named]}}
    assert (await sent(tools=tools, tool_choice=allowed))["tool_choice"] == {
        "type": "allowed_tools",
        "mode": "auto",
        "tools": [{"type": "function", "name": "f"}],
    }


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ({"max_tokens": 20}, {"max_output_tokens": 20}),
        ({"max_tokens": 20, "max_completion_tokens": 30}, {"max_output_tokens": 30}),
        ({"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}),
        (
            {"reasoning_effort": "low", "reasoning": {"summary": "auto"}},
            {"reasoning": {"summary": "auto", "effort": "low"}},
        ),
        ({"verbosity": "low"}, {"text": {"verbosity": "low"}}),
        ({"response_format": {"type": "json_object"}}, {"text": {"format": {"type": "json_object"}}}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}}},
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}}},
        ),
        ({"logprobs": True, "top_logprobs": 2}, {"include": ["message.output_text.logprobs"], "top_logprobs": 2}),
        ({"include": ["x"]}, {"include": ["x"]}),
        ({"n": 1, "modalities": ["text"]}, {}),
    ],
)
async def test_parameters_by_another_name(given: dict[str, Any], becomes: dict[str, Any]) -> None:
    """And the name that they had is not sent beside it."""
    body = await sent(**given)
    assert {name: value for name, value in body.items() if name not in ("model", "input", "store")} == becomes


@pytest.mark.parametrize(
    ("parameters", "message", "param"),
    [
        ({"n": 2}, USER, "n"),
        ({"modalities": ["text", "audio"]}, USER, "modalities"),
        ({"functions": []}, USER, "functions"),
        ({}, {"role": "function", "name": "f", "content": "1"}, "messages[0].role"),
        (
            {},
            {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]},
            "messages[0].content[0].type",
        ),
    ],
)
async def test_what_has_no_counterpart_is_refused(parameters: Any, message: dict[str, Any], param: str) -> None:
    """By name, and the upstream is not asked."""
    async with upstream() as (_, provider):
        with pytest.raises(InvalidRequest) as raised:
            await collect(provider.stream("m", ChatRequest("m", [message], parameters)))
    assert raised.value.param == param


ODD: list[tuple[dict[str, Any], str]] = [
    ({"reasoning": 5, "reasoning_effort": "low"}, "reasoning"),
    ({"text": "x"}, "text"),
    ({"include": "x"}, "include"),
    ({"modalities": 5}, "modalities"),
    (
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": [5]}}},
        "tool_choice.allowed_tools.tools",
    ),
    (
        {"tools": [{"type": "custom", "custom": {"name": "x", "format": {"grammar": 5}}}]},
        "tools[0].custom.format.grammar",
    ),
    ({"messages": [{"role": "assistant", "reasoning_items": 5, "content": "a"}]}, "messages[0].reasoning_items"),
    ({"messages": [{"role": "assistant", "reasoning_items": [5], "content": "a"}]}, "messages[0].reasoning_items"),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "type": "custom", "custom": 5}]}]},
        "messages[0].tool_calls[0].custom",
    ),
    ({"messages": [{"role": "user", "content": [{"type": "file", "file": 5}]}]}, "messages[0].content[0].file"),
]


@pytest.mark.parametrize(("members", "param"), ODD)
async def test_members_of_another_type(members: dict[str, Any], param: str) -> None:
    """What nobody looked at before, or a step of a graph has written, is the caller's fault all the same."""
    parameters = {"messages": [USER], **members}
    request = ChatRequest("m", parameters.pop("messages"), parameters)
    async with upstream() as (_, provider):
        with pytest.raises(InvalidRequest) as raised:
            await collect(provider.stream("m", request))
    assert (raised.value.param, raised.value.code) == (param, "invalid_type")


async def test_parameters_that_the_upstream_refuses_can_be_left_out() -> None:
    """``rename`` is applied to what is sent."""
    async with upstream(RESPONSES.answer("ok"), rename={"seed": "", "store": ""}) as (server, provider):
        await collect(provider.stream("m", ChatRequest("m", [USER], {"seed": 1, "top_p": 0.5})))
    assert server.received[0].body.keys() == {"model", "input", "top_p"}


async def test_usage_in_the_chat_apis_words() -> None:
    """Cached and thinking tokens too, and nothing that is reported is lost."""
    usage = {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 14,
        "cost": 0.1,
    }
    made = await answered(whole=output(usage=usage))
    details = {
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 3},
        "cost": 0.1,
    }
    assert made.usage == Usage(9, 5, 14, details)
    assert made.usage.cached_tokens == 4
    assert (await answered(whole=output())).usage is None


REASONING = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "Hm."}, {"type": "summary_text", "text": "So."}],
    "encrypted_content": "xyz",
}
REFUSAL = {"id": "m", "type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}


def pieces_of_thought() -> list[Piece]:
    def piece(index: int, text: str) -> bytes:
        return RESPONSES.piece("reasoning_summary_text", 0, text, summary_index=index)

    parts = [
        RESPONSES.event("response.reasoning_summary_part.added", output_index=0, summary_index=at) for at in (0, 1)
    ]
    pieces = [parts[0], piece(0, "H"), piece(0, "m."), parts[1], piece(1, "So.")]
    return RESPONSES.item(0, {"id": "rs_1", "type": "reasoning", "summary": []}, *pieces, **REASONING)


async def test_thoughts() -> None:
    """In pieces or whole, they are reasoning_content; encrypted ones come whole, to be sent back."""
    whole = await answered(whole=output(REASONING))
    streamed = await answered(*RESPONSES.opening(), *pieces_of_thought(), *RESPONSES.end("stop"))
    for made in (whole, streamed):
        assert made.extra["reasoning_content"] == "Hm.\n\nSo."
        assert [item["encrypted_content"] for item in made.extra["reasoning_items"]] == ["xyz"]
    raw = RESPONSES.piece("reasoning_text", 0, "raw")
    assert (await answered(raw, *RESPONSES.end("stop"))).extra == {"reasoning_content": "raw"}


async def test_a_refusal() -> None:
    """In pieces or whole."""
    pieces = RESPONSES.item(0, {**REFUSAL, "content": []}, RESPONSES.piece("refusal", 0, "No."), **REFUSAL)
    for made in (await answered(whole=output(REFUSAL)), await answered(*pieces, *RESPONSES.end("stop"))):
        assert (made.extra, made.content, made.finish_reason) == ({"refusal": "No."}, "", "stop")


async def test_items_that_come_whole() -> None:
    """A server that sends no pieces is understood by its whole items, or by the response at the end; each once."""
    item = {**RESPONSES.called(0, Call("a", "f", '{"x":1}'))}
    custom = {"id": "c", "type": "custom_tool_call", "call_id": "b", "name": "sql", "input": "select 1"}
    text = {"id": "m", "type": "message", "role": "assistant", "content": [RESPONSES.part("Hi")]}
    items = [item, custom, text, {"type": "web_search_call", "id": "ws"}]
    whole = RESPONSES.event("response.completed", response=output(*items))
    done = [RESPONSES.event("response.output_item.done", output_index=at, item=each) for at, each in enumerate(items)]
    added = [RESPONSES.event("response.output_item.added", output_index=at, item=each) for at, each in enumerate(items)]
    placeless = [RESPONSES.event("response.output_item.done", item=each) for each in items]
    for pieces in ([whole], [*done, whole], [*added, *done, whole], [*placeless, whole]):
        made = await answered(*pieces)
        assert made.content == "Hi"
        assert made.tool_calls == [ToolCall("a", "f", '{"x":1}'), ToolCall("b", "sql", "select 1", "custom")]
        assert made.finish_reason == "tool_calls"


async def test_custom_tools_in_pieces() -> None:
    """Their input is any text."""
    item = {"id": "c", "type": "custom_tool_call", "call_id": "b", "name": "sql", "input": ""}
    pieces = [RESPONSES.piece("custom_tool_call_input", 0, text) for text in ("select", " 1")]
    made = await answered(*RESPONSES.item(0, item, *pieces, input="select 1"), *RESPONSES.end("stop"))
    assert made.tool_calls == [ToolCall("b", "sql", "select 1", "custom")]


async def test_logprobs() -> None:
    """In the chat API's form, where each token has its bytes."""
    token = {"token": "é", "logprob": -0.1, "top_logprobs": [{"token": "e", "logprob": -2.0}]}
    top = {"token": "e", "bytes": [101], "logprob": -2.0}
    expected = {"token": "é", "bytes": [195, 169], "logprob": -0.1, "top_logprobs": [top]}
    part = {**RESPONSES.part("é"), "logprobs": [token]}
    whole = await answered(whole=output({"type": "message", "content": [part]}))
    streamed = await answered(RESPONSES.piece("output_text", 0, "é", logprobs=[token]), *RESPONSES.end("stop"))
    for made in (whole, streamed):
        assert made.logprobs == {"content": [expected], "refusal": None}


@pytest.mark.parametrize(
    ("why", "reason"), [("max_output_tokens", "length"), ("content_filter", "content_filter"), (None, "length")]
)
async def test_why_it_is_incomplete(why: str | None, reason: str) -> None:
    """A tool call that was cut off is not said to be one."""
    item = RESPONSES.called(0, Call("a", "f", '{"x'))
    ended = output(item, status="incomplete", incomplete_details={"reason": why} if why else None)
    assert (await answered(whole=ended)).finish_reason == reason
    assert (await answered(RESPONSES.event("response.incomplete", response=ended))).finish_reason == reason


FAILURES = [
    ({"code": "server_error", "message": "sk-1"}, UpstreamUnavailable),
    ({"code": "rate_limit_exceeded", "message": "x"}, UpstreamRateLimited),
    ({"code": "insufficient_quota", "message": "x"}, UpstreamQuotaExceeded),
    ({"code": "invalid_prompt", "message": "x"}, UpstreamRequestRefused),
    ({"code": "image_too_large", "message": "x"}, UpstreamRequestRefused),
    (None, UpstreamUnavailable),
]


@pytest.mark.parametrize(("error", "expected"), FAILURES)
async def test_a_response_that_fails(error: dict[str, Any] | None, expected: type[UpstreamError]) -> None:
    """Whole, in the event of the response, or in an event of its own."""
    failed = output(status="failed", error=error)
    with pytest.raises(expected) as raised:
        await answered(whole=failed)
    with pytest.raises(expected):
        await answered(*RESPONSES.words("Hi"), RESPONSES.event("response.failed", response=failed))
    with pytest.raises(expected):
        await answered(*RESPONSES.words("Hi"), RESPONSES.event("error", **(error or {})))
    if isinstance(raised.value, UpstreamRequestRefused):
        assert error is not None
        assert (str(raised.value), raised.value.code) == ("x", error["code"])


async def test_a_response_that_was_cancelled_is_no_answer() -> None:
    """Neither is one that has only begun, nor a stream whose [DONE] comes first."""
    with pytest.raises(UpstreamBrokeOff):
        await answered(whole=output(status="cancelled"))
    with pytest.raises(UpstreamGarbled):
        await answered(whole=output(status="in_progress"))
    with pytest.raises(UpstreamBrokeOff):
        await answered(*RESPONSES.words("Hi"), b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.completed"},
        {"type": "response.completed", "response": {"output": 5}},
        {"type": "response.output_text.delta", "delta": 5},
        {"type": "response.output_item.added", "item": None},
        {"type": "response.output_item.added", "item": {"type": "function_call", "name": 5}},
        {"type": "response.output_item.done", "item": {"type": "message", "content": [5]}},
        {"type": "response.output_text.delta", "delta": "a", "logprobs": [{"token": "a", "top_logprobs": 5}]},
    ],
)
async def test_events_of_another_shape(event: dict[str, Any]) -> None:
    """They are the upstream's error."""
    kind = event.pop("type")
    with pytest.raises(UpstreamGarbled):
        await answered(RESPONSES.event(kind, **event))


async def test_kinds_that_are_still_to_come_say_nothing() -> None:
    """So do those without a kind, and pieces of a call that never began."""
    item = RESPONSES.event("response.output_item.done", item={"type": ["message"], "content": [5]}, output_index=[])
    odd = [
        item,
        RESPONSES.event("response.new_thing"),
        b"data: {}\n\n",
        RESPONSES.piece("function_call_arguments", 9, "{"),
    ]
    made = await answered(*odd, *RESPONSES.words("Hi"), *RESPONSES.end("stop"))
    assert (made.content, made.tool_calls) == ("Hi", [])
