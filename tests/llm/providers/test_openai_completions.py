"""Legacy completions against a real socket: a raw prompt goes up as it is, and what comes is a chat's chunks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from llm import (
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    InvalidRequest,
    Model,
    UpstreamBrokeOff,
    UpstreamError,
    UpstreamGarbled,
    UpstreamRateLimited,
    UpstreamRequestRefused,
    UpstreamUnavailable,
    Usage,
    collect,
)
from llm.providers.openai import OpenAIProvider
from llm.testing import COMPLETIONS, OPENAI, Call, Cut, Hang, Json, ScriptedProvider, ScriptedUpstream, Stream, say
from llm.testing.openai_dialects import USAGE
from llm.testing.upstream import Piece, Reply, frame


@asynccontextmanager
async def upstream(*replies: Reply, **options: Any) -> AsyncGenerator[tuple[ScriptedUpstream, OpenAIProvider], None]:
    """A scripted upstream, and a provider that talks to it."""
    async with ScriptedUpstream(*replies) as server:
        provider = OpenAIProvider(server.base_url, "sk-of-the-gateway", **{"completions": True, **options})
        try:
            yield server, provider
        finally:
            await provider.close()


def asked(prompt: Any = "Once upon", *, stream: bool = True, **parameters: Any) -> ChatRequest:
    return ChatRequest.of_prompt("served-name", prompt, parameters, stream=stream)


async def read(provider: OpenAIProvider, request: ChatRequest, into: list[ChatChunk] | None = None) -> list[ChatChunk]:
    chunks = [] if into is None else into
    async with aclosing(provider.stream("upstream-model", request)) as answer:
        async for chunk in answer:
            chunks.append(chunk)
    return chunks


async def test_a_streamed_completion() -> None:
    """The prompt and its parameters go as they came, without messages; the usage is asked for."""
    async with upstream(COMPLETIONS.text(" a", " time")) as (server, provider):
        request = asked(suffix="The end.", echo=False, logprobs=2, best_of=3, top_k=5)
        completion = await collect(provider.stream("upstream-model", request))
    assert (completion.content, completion.finish_reason, completion.usage) == (" a time", "stop", Usage(7, 3, 10))
    assert server.received[0].path == "/v1/completions"
    assert server.received[0].body == {
        "model": "upstream-model",
        "prompt": "Once upon",
        "suffix": "The end.",
        "echo": False,
        "logprobs": 2,
        "best_of": 3,
        "top_k": 5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize("prompt", ["Once upon", [15, 16, 17]], ids=["text", "token ids"])
async def test_a_completion_that_is_not_streamed(prompt: Any) -> None:
    """One chunk, with why it ended; token ids are taken too."""
    async with upstream(COMPLETIONS.answer(" a time", finish_reason="length")) as (server, provider):
        chunks = await read(provider, asked(prompt, stream=False))
    assert chunks == [ChatChunk(" a time", finish_reason="length", usage=Usage(7, 3, 10))]
    assert server.received[0].body == {"model": "upstream-model", "prompt": prompt}


async def test_logprobs_are_those_of_the_legacy_api() -> None:
    """Lists that come in pieces are one after the other."""
    choices = [
        {"index": 0, "text": text, "logprobs": {"tokens": [text], "token_logprobs": [-0.5], "text_offset": [at]}}
        for at, text in enumerate("ab")
    ]
    pieces = [{**COMPLETIONS.choice(""), "choices": [choice]} for choice in choices]
    async with upstream(Stream([*map(frame, pieces), *COMPLETIONS.end("stop")])) as (_, provider):
        completion = await collect(provider.stream("upstream-model", asked(logprobs=0)))
    assert completion.logprobs == {"tokens": ["a", "b"], "token_logprobs": [-0.5, -0.5], "text_offset": [0, 1]}


async def test_the_first_of_several_choices_is_the_answer() -> None:
    """Texts of different choices are never mixed."""
    other = {**COMPLETIONS.choice("no"), "choices": [{"index": 1, "text": "no", "finish_reason": "stop"}]}
    pieces = [*COMPLETIONS.words("yes"), frame(other), *COMPLETIONS.end("length")]
    async with upstream(Stream(pieces)) as (_, provider):
        completion = await collect(provider.stream("upstream-model", asked(n=2)))
    assert (completion.content, completion.finish_reason) == ("yes", "length")


async def test_azures_completions() -> None:
    """The deployment stands in the path, as it does for chats."""
    async with ScriptedUpstream(COMPLETIONS.answer("x")) as server:
        base = server.base_url.removesuffix("/v1")
        provider = OpenAIProvider(base, "key-1", api_version="2024-10-21", completions=True)
        await read(provider, asked(stream=False))
        await provider.close()
    assert server.received[0].path == "/openai/deployments/upstream-model/completions?api-version=2024-10-21"


async def test_chats_of_the_same_provider_stay_chats() -> None:
    """Only a raw prompt is a completion, and only as long as no step has added to it."""
    grown = asked()
    grown.messages.append({"role": "user", "content": "Go on."})
    other = asked().having([{"role": "user", "content": "Else."}])
    async with upstream(*(OPENAI.text("Hi") for _ in range(3))) as (server, provider):
        for request in (ChatRequest("m", [{"role": "user", "content": "hi"}], stream=True), grown, other):
            await read(provider, request)
    assert [sent.path for sent in server.received] == ["/v1/chat/completions"] * 3
    assert [sent.body["messages"][-1]["content"] for sent in server.received] == ["hi", "Go on.", "Else."]


async def test_an_upstream_without_completions_answers_the_message() -> None:
    """The prompt is what the user says, and the parameters are in the chat API's words."""
    async with upstream(OPENAI.text("Hi"), completions=False) as (server, provider):
        model = Model("m", provider, "upstream-model")
        assert not model.completes
        assert (await collect(model.stream(asked(logprobs=2, best_of=1, max_tokens=5)))).content == "Hi"
    body = server.received[0].body
    assert body["messages"] == [{"role": "user", "content": "Once upon"}]
    assert (body["logprobs"], body["top_logprobs"], body["max_tokens"]) == (True, 2, 5)
    assert not {"prompt", "best_of"} & body.keys()


async def test_a_provider_that_only_chats_is_not_given_a_raw_prompt() -> None:
    """Whoever it is; a model whose provider has completions hands it on as it is."""
    provider = ScriptedProvider.of(say("Hi"))
    await collect(Model("m", provider, "m").stream(asked()))
    assert provider.requests[0].prompt is None
    async with upstream(COMPLETIONS.text("Hi")) as (server, real):
        assert Model("m", real, "m").completes
        await collect(Model("m", real, "upstream-model").stream(asked([1, 2])))
    assert server.received[0].body["prompt"] == [1, 2]


async def test_token_ids_count_as_what_they_are() -> None:
    """Where the upstream reports no usage, each id is a token more than the same request without them."""
    async with upstream() as (_, provider):
        model = Model("m", provider, "m")
        ids, none = [await model.count(ChatRequest.of_prompt("m", prompt), "so") for prompt in ([7, 8, 9], [])]
    assert (ids.prompt_tokens - none.prompt_tokens, ids.completion_tokens) == (3, none.completion_tokens)
    assert ids.estimated


@pytest.mark.parametrize(
    ("request_", "param"), [(asked([1]), "prompt"), (asked(echo=True), "echo"), (asked(suffix="."), "suffix")]
)
async def test_what_a_chat_cannot_do_is_refused(request_: ChatRequest, param: str) -> None:
    """By name, and the upstream is not asked."""
    async with upstream(completions=False) as (_, provider):
        with pytest.raises(InvalidRequest) as raised:
            await read(provider, request_)
    assert raised.value.param == param


@pytest.mark.parametrize(
    ("status", "expected"), [(400, UpstreamRequestRefused), (429, UpstreamRateLimited), (500, UpstreamUnavailable)]
)
@pytest.mark.parametrize("stream", [True, False])
async def test_errors_before_the_first_chunk(status: int, expected: type[UpstreamError], stream: bool) -> None:
    """They are those of chats."""
    async with upstream(COMPLETIONS.error(status)) as (_, provider):
        with pytest.raises(expected):
            await read(provider, asked(stream=stream))


@pytest.mark.parametrize(
    ("end", "expected"),
    [([COMPLETIONS.fault()], UpstreamUnavailable), ([], UpstreamBrokeOff), ([Cut()], UpstreamBrokeOff)],
    ids=["an error", "end of file", "connection cut"],
)
async def test_an_answer_that_breaks_off(end: list[Piece], expected: type[UpstreamError]) -> None:
    """What was said is kept, and then it is an error and no end."""
    chunks: list[ChatChunk] = []
    async with upstream(Stream([*COMPLETIONS.words("Hel"), *end])) as (_, provider):
        with pytest.raises(expected):
            await read(provider, asked(), chunks)
    assert ChatCompletion.of(chunks).content == "Hel"


@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": [{"index": 0}]}, {"choices": [{"text": 5}]}])
async def test_answers_of_another_shape(body: Any) -> None:
    """They are the upstream's error, whole or in a stream."""
    async with upstream(Json(body)) as (_, provider):
        with pytest.raises(UpstreamGarbled):
            await read(provider, asked(stream=False))
    async with upstream(Stream([frame({"choices": [{"text": 5}]})])) as (_, provider):
        with pytest.raises(UpstreamGarbled):
            await read(provider, asked())


async def test_one_byte_at_a_time() -> None:
    """However the network cuts the stream, the words are the same."""
    async with upstream(COMPLETIONS.text("Grüße ", "東京").split(1)) as (_, provider):
        assert (await collect(provider.stream("upstream-model", asked()))).content == "Grüße 東京"


async def test_leaving_closes_the_connection() -> None:
    """Whoever stops reading ends the upstream's work at once."""
    async with upstream(Stream([*COMPLETIONS.words("Hi"), Hang()])) as (server, provider):
        async with aclosing(provider.stream("upstream-model", asked())) as chunks:
            await anext(chunks)
        await asyncio.wait_for(server.left.wait(), 5)


def test_its_dialect_has_no_tools() -> None:
    """A script that calls one is wrong."""
    for said in (COMPLETIONS.calls, lambda call: COMPLETIONS.answer("", call)):
        with pytest.raises(ValueError, match="no tools"):
            said(Call("c", "f"))


def test_usage_of_the_dialect_is_that_of_the_others() -> None:
    """7 tokens in and 3 out."""
    assert Usage.from_wire(USAGE) == Usage.of(7, 3)
