"""The OpenAI provider against a real socket: what it sends, what it understands, how it fails and how it lets go."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, suppress
from struct import pack
from typing import Any

import pytest

from llm import (
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    EmbeddingProvider,
    EmbeddingRequest,
    Embeddings,
    UpstreamBrokeOff,
    UpstreamCredentialsRefused,
    UpstreamError,
    UpstreamGarbled,
    UpstreamQuotaExceeded,
    UpstreamRateLimited,
    UpstreamRequestRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
    Usage,
    collect,
)
from llm.providers.openai import OpenAIProvider
from llm.testing import Json, ScriptedUpstream, Stream
from llm.testing.upstream import CHUNK, Reply, answer, choice, embeddings, frame

USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


@asynccontextmanager
async def upstream(*replies: Reply) -> AsyncGenerator[tuple[ScriptedUpstream, OpenAIProvider], None]:
    """A scripted upstream, and a provider that talks to it."""
    async with ScriptedUpstream(*replies) as server:
        provider = OpenAIProvider(server.base_url, "sk-of-the-gateway")
        try:
            yield server, provider
        finally:
            await provider.close()


def request(*, stream: bool = True, **parameters: Any) -> ChatRequest:
    return ChatRequest("served-name", [{"role": "user", "content": "hi"}], parameters, stream=stream)


async def read(provider: OpenAIProvider, asked: ChatRequest) -> list[ChatChunk]:
    async with aclosing(provider.stream("upstream-model", asked)) as chunks:
        return [chunk async for chunk in chunks]


async def test_a_streamed_answer() -> None:
    """Words come as chunks, then the end, then the usage; the upstream is asked for the usage."""
    async with upstream(Stream.of_text("Hel", "lo", usage=USAGE)) as (server, provider):
        asked = request(temperature=0, top_k=5)
        asked.labels, asked.copies = ("yes", "no"), {"place": "Lisbon"}  # not on OpenAI's wire
        completion = await collect(provider.stream("upstream-model", asked))
    assert (completion.content, completion.finish_reason) == ("Hello", "stop")
    assert completion.usage == Usage(7, 2, 9)
    sent = server.received[0]
    assert sent.path == "/v1/chat/completions"
    assert sent.body == {
        "model": "upstream-model",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0,
        "top_k": 5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert sent.headers["Authorization"] == "Bearer sk-of-the-gateway"


async def test_an_answer_that_is_not_streamed() -> None:
    """It is asked for without ``stream``, and comes as one chunk."""
    async with upstream(answer("Hello", reasoning_content="hm")) as (server, provider):
        chunks = await read(provider, request(stream=False))
    assert chunks == [ChatChunk("Hello", (), "stop", Usage(7, 3, 10), {"reasoning_content": "hm"})]
    assert "stream" not in server.received[0].body


STREAM_OF_CALLS = [
    choice({"role": "assistant", "content": None, "tool_calls": [
        {"index": 0, "id": "call_a", "type": "function", "function": {"name": "f", "arguments": ""}}]}),
    choice({"tool_calls": [{"index": 0, "function": {"arguments": '{"x"'}}]}),
    choice({"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]}),
    choice({"tool_calls": [
        {"index": 1, "id": "call_b", "type": "function", "function": {"name": "g", "arguments": "{}"}}]}),
    choice({}, finish_reason="tool_calls"),
]  # fmt: skip
CALLS_AT_INDEX_0 = [
    choice({"tool_calls": [{"index": 0, "id": "call_a", "function": {"name": "f", "arguments": '{"x": 1}'}}]}),
    choice({"tool_calls": [{"index": 0, "id": "call_b", "function": {"name": "g", "arguments": "{}"}}]}),
    choice({}, finish_reason="tool_calls"),
]
CALLS_IN_ONE_DELTA_WITHOUT_INDEX = [
    choice({"tool_calls": [
        {"id": "call_a", "function": {"name": "f", "arguments": '{"x": 1}'}},
        {"id": "call_b", "function": {"name": "g", "arguments": "{}"}}]}),
    choice({}, finish_reason="tool_calls"),
]  # fmt: skip
CALLS_WITH_REPEATED_ID_AND_NAME = [
    choice({"tool_calls": [{"index": 0, "id": "call_a", "function": {"name": "f", "arguments": '{"x"'}}]}),
    choice({"tool_calls": [{"index": 0, "id": "call_a", "function": {"name": "f", "arguments": ": 1}"}}]}),
    choice({"tool_calls": [{"index": 1, "id": "call_b", "function": {"name": "g", "arguments": "{}"}}]}),
    choice({}, finish_reason="tool_calls"),
]

CALLS_WITH_A_NEW_ID_EACH_TIME = [
    choice({"tool_calls": [{"index": 0, "id": "call_a", "function": {"name": "f", "arguments": '{"x"'}}]}),
    choice({"tool_calls": [{"index": 0, "id": "call_z", "function": {"arguments": ": 1}"}}]}),
    choice({"tool_calls": [{"index": 1, "id": "call_b", "function": {"name": "g", "arguments": "{}"}}]}),
    choice({}, finish_reason="tool_calls"),
]
CALLS_WITH_NAMES_THAT_COME_LATE = [
    choice({"tool_calls": [{"index": 0, "id": "call_a", "function": {"arguments": ""}}]}),
    choice({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": '{"x": 1}'}}]}),
    choice({"tool_calls": [{"index": 1, "id": "call_b", "function": {"name": "g", "arguments": {}}}]}),
    choice({}, finish_reason="tool_calls"),
]


@pytest.mark.parametrize(
    "events",
    [
        pytest.param(STREAM_OF_CALLS, id="as openai"),
        pytest.param(CALLS_AT_INDEX_0, id="all at index 0"),
        pytest.param(CALLS_IN_ONE_DELTA_WITHOUT_INDEX, id="whole calls in one delta"),
        pytest.param(CALLS_WITH_REPEATED_ID_AND_NAME, id="id and name repeated"),
        pytest.param(CALLS_WITH_A_NEW_ID_EACH_TIME, id="a new id in each delta"),
        pytest.param(CALLS_WITH_NAMES_THAT_COME_LATE, id="the name late, arguments as an object"),
    ],
)
async def test_tool_calls_in_every_form_that_upstreams_send(events: list[Any]) -> None:
    """Each call has its index, its id and its name once, whatever the upstream does."""
    async with upstream(Stream([*map(frame, events), b"data: [DONE]\n\n"])) as (_, provider):
        chunks = await read(provider, request())
    deltas = [delta for chunk in chunks for delta in chunk.tool_calls]
    assert [(delta.index, delta.id) for delta in deltas if delta.id] == [(0, "call_a"), (1, "call_b")]
    assert [(delta.index, delta.name) for delta in deltas if delta.name] == [(0, "f"), (1, "g")]
    arguments = ["".join(delta.arguments for delta in deltas if delta.index == index) for index in (0, 1)]
    assert arguments == ['{"x": 1}', "{}"]


async def test_calls_without_ids_get_one() -> None:
    """A call that the upstream gives no id can still be answered."""
    call = {"index": 0, "function": {"name": "f", "arguments": "{}"}}
    events = [choice({"tool_calls": [call, {**call, "index": 1}]}), choice({}, finish_reason="tool_calls")]
    async with upstream(Stream([*map(frame, events), b"data: [DONE]\n\n"])) as (_, provider):
        chunks = await read(provider, request())
    first, second = chunks[0].tool_calls
    assert (first.index, second.index) == (0, 1)
    assert first.id
    assert second.id
    assert first.id != second.id


def error(message: str = "no", **members: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "t", "param": None, "code": None, **members}}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Json(error("key sk-123 is wrong"), 401), UpstreamCredentialsRefused),
        (Json(error("not for you"), 403), UpstreamCredentialsRefused),
        (Json(error(code="rate_limit_exceeded"), 429, {"retry-after": "3"}), UpstreamRateLimited),
        (Json(error(code="insufficient_quota"), 429), UpstreamQuotaExceeded),
        (Json(error("bad", param="temperature", code="unsupported_value"), 400), UpstreamRequestRefused),
        (Json(error("none", code="model_not_found"), 404), UpstreamRequestRefused),
        (Json(error(), 500), UpstreamUnavailable),
        (Json(b"<html>bad gateway</html>", 502), UpstreamUnavailable),
        (Json(error(), 503), UpstreamUnavailable),
        (Json(error(), 504), UpstreamTimeout),
        (Json(error("pay first"), 402), UpstreamQuotaExceeded),
        (Json({"object": "error", "message": "too long", "code": 400}, 400), UpstreamRequestRefused),
        (Json(b"<html>not found</html>", 404), UpstreamGarbled),
        (Json(b"", 302, {"location": "http://127.0.0.1:1/"}), UpstreamGarbled),
    ],
)
async def test_every_status_has_its_error(reply: Json, expected: type[UpstreamError], stream: bool) -> None:
    """Statuses are told apart by who must act, streamed or not, and redirects are not followed."""
    async with upstream(reply) as (_, provider):
        with pytest.raises(expected) as raised:
            await read(provider, request(stream=stream))
    assert raised.value.upstream_status == reply.status
    assert "sk-" not in str(raised.value)


async def test_the_callers_fault_keeps_its_words() -> None:
    """Message, param and code of a 400 are for the caller; a Retry-After is kept in seconds."""
    async with upstream(
        Json(error("bad temperature", param="temperature", code="unsupported_value"), 400),
        Json(error(), 429, {"retry-after-ms": "1500"}),
    ) as (_, provider):
        with pytest.raises(UpstreamRequestRefused, match="bad temperature") as refused:
            await read(provider, request())
        with pytest.raises(UpstreamRateLimited) as limited:
            await read(provider, request())
    assert (refused.value.param, refused.value.code) == ("temperature", "unsupported_value")
    assert limited.value.retry_after == 1.5


@pytest.mark.parametrize(
    ("body", "stream"),
    [
        (b"not json", False),
        (b"[]", False),
        (b'{"choices": []}', False),
        (b'{"choices": [{"message": 5}]}', False),
        (b'{"choices": [{"message": {"content": 5}}]}', False),
        (b'{"choices": [{"message": {"tool_calls": [5]}}]}', False),
        (b'{"choices": [{"message": {"tool_calls": [{"function": {"name": "f", "arguments": 5}}]}}]}', False),
        (b'{"choices": [{"message": {"content": "x"}, "finish_reason": 5}]}', False),
        (b'{"choices": {}}', False),
        (b'{"object": "list"}', False),
    ],
)
async def test_garbage_is_told_from_an_answer(body: bytes, stream: bool) -> None:
    """An answer of another shape than OpenAI's is an error of the upstream, not ours."""
    async with upstream(Json(body)) as (_, provider):
        with pytest.raises(UpstreamGarbled):
            await read(provider, request(stream=stream))


@pytest.mark.parametrize(
    ("piece", "expected"),
    [
        (b"data: {broken\n\n", UpstreamGarbled),
        (b'data: {"choices": [5]}\n\n', UpstreamGarbled),
        (b'data: {"nothing": 1}\n\n', UpstreamGarbled),
        (frame(error("late")), UpstreamUnavailable),
        (frame(error(code="insufficient_quota")), UpstreamQuotaExceeded),
        (frame(error(code="rate_limit_exceeded")), UpstreamRateLimited),
        (frame({"error": "a string"}), UpstreamUnavailable),
        (frame(choice({}, finish_reason="error")), UpstreamUnavailable),
        (frame(choice({}, finish_reason="abort")), UpstreamBrokeOff),
        (frame(choice({"content": 5})), UpstreamGarbled),
    ],
)
async def test_faults_inside_a_stream(piece: bytes, expected: type[UpstreamError]) -> None:
    """Errors and garbage after the first chunk end the stream with their own error."""
    async with upstream(Stream([*Stream.words("Hi"), piece])) as (_, provider):
        with pytest.raises(expected):
            await read(provider, request())


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        *[(reason, reason) for reason in ("stop", "length", "tool_calls", "content_filter", "function_call")],
        *[("eos", "stop"), ("end_turn", "stop"), ("MAX_TOKENS", "length"), ("model_length", "length")],
        *[("tool_use", "tool_calls"), ("SAFETY", "content_filter"), ("", None), (None, None)],
        *[(said, "content_filter") for said in ("PROHIBITED_CONTENT", "content_filter: OTHER")],
    ],
)
async def test_other_words_for_the_end_are_told_in_openais(said: str | None, meant: str | None) -> None:
    """Strict clients know five words."""
    pieces = [*Stream.words("Hi"), frame(choice({}, finish_reason=said)), b"data: [DONE]\n\n"]
    async with upstream(Stream(pieces)) as (_, provider):
        assert (await collect(provider.stream("upstream-model", request()))).finish_reason == meant


async def test_custom_tools_logprobs_and_other_members_pass_through() -> None:
    """What OpenAI's API has beside text and functions comes out as it went in, streamed or not."""
    custom = {"id": "call_a", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}
    logprobs = {"content": [{"token": "Hi", "logprob": -0.1, "top_logprobs": []}], "refusal": None}
    audio, notes = {"id": "audio_1"}, [{"type": "url_citation"}]
    message = {"role": "assistant", "content": "Hi", "tool_calls": [custom], "audio": audio, "annotations": notes}
    whole = {"choices": [{"index": 0, "message": message, "logprobs": logprobs, "finish_reason": "tool_calls"}]}
    first = choice({"content": "Hi", "tool_calls": [{"index": 0, **custom}], "audio": audio, "annotations": notes})
    first["choices"][0]["logprobs"] = logprobs
    last = choice({"tool_calls": [{"index": 0, "custom": {"input": ", 2"}}]}, finish_reason="tool_calls")
    async with upstream(Json(whole), Stream([frame(first), frame(last), b"data: [DONE]\n\n"])) as (_, provider):
        told = await collect(provider.stream("upstream-model", request(stream=False)))
        streamed = await collect(provider.stream("upstream-model", request()))
    assert told.message() == {**message, "refusal": None}
    custom["custom"] = {"name": "sql", "input": "select 1, 2"}
    assert streamed.message() == {**message, "refusal": None}
    assert told.logprobs == streamed.logprobs == logprobs


@pytest.mark.parametrize("passes", [True, False])
@pytest.mark.parametrize("ends", [True, False])
async def test_a_stream_that_is_over_leaves_its_connection_to_the_next_one(passes: bool, ends: bool) -> None:
    """Also where the end of the body comes a little later than ``[DONE]``; where it does not come, nobody waits."""
    connections, heard = 0, asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b'"include_usage":true}}')
                data = b"".join(piece for piece in Stream.of_text("Hi").pieces if isinstance(piece, bytes))
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                )
                writer.write(b"%x\r\n%b\r\n" % (len(data), data))
                await writer.drain()
                await heard.wait()
                heard.clear()
                writer.write(b"0\r\n\r\n" if ends else b"")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        provider = OpenAIProvider(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        asked = request()
        asked.passes = passes
        for _ in range(3):
            async with aclosing(provider.stream("m", asked)) as chunks:
                async for chunk in chunks:
                    if chunk.content:
                        heard.set()
        await provider.close()
    assert connections in ((1, 2) if ends else (3,))


async def test_the_models_of_an_upstream() -> None:
    """The upstream's list of models, by name."""
    async with ScriptedUpstream(models=("a", "b/c")) as server:
        provider = OpenAIProvider(server.base_url)
        try:
            assert await provider.models() == ["a", "b/c"]
        finally:
            await provider.close()


@pytest.mark.parametrize(
    "address", ["api.openai.com/v1", "ftp://x/v1", "http://", "http://x/v1?a=b", "https://user:secret@x/v1"]
)
def test_an_address_that_cannot_be_called_is_refused(address: str) -> None:
    """The base address is checked when the provider is made, and a password in it is not repeated."""
    with pytest.raises(ValueError, match="base_url") as raised:
        OpenAIProvider(address)
    assert "secret" not in str(raised.value)


async def test_organisation_project_and_other_names_for_parameters() -> None:
    """Headers say whose account it is; what an upstream calls otherwise, or refuses, is written its way."""
    rename = {"max_completion_tokens": "max_tokens", "stream_options": "", "seed": "random_seed"}
    async with ScriptedUpstream(Stream.of_text("Hi")) as server:
        provider = OpenAIProvider(server.base_url, "sk-1", organization="org-1", project="proj-1", rename=rename)
        await read(provider, request(max_completion_tokens=5, seed=7))
        await provider.close()
    sent = server.received[0]
    assert (sent.headers["openai-organization"], sent.headers["openai-project"]) == ("org-1", "proj-1")
    assert {"max_tokens": 5, "random_seed": 7}.items() <= sent.body.items()
    assert not rename.keys() & sent.body.keys()


async def test_other_names_hold_for_embeddings() -> None:
    """Mistral, for one, takes no user."""
    rename = {"user": "", "dimensions": "output_dimension"}
    async with ScriptedUpstream(embeddings([1.0])) as server:
        provider = OpenAIProvider(server.base_url, rename=rename)
        await provider.embed("m", EmbeddingRequest(["a"], {"user": "ada", "dimensions": 1}))
        await provider.close()
    assert server.received[0].body == {"model": "m", "input": ["a"], "encoding_format": "float", "output_dimension": 1}


async def test_azures_form() -> None:
    """Models are deployments in the path, the version a query, the key another header; the first chunk is empty."""
    filtered = frame({**CHUNK, "choices": [], "prompt_filter_results": []})
    vectors = Json({"data": [{"index": 0, "embedding": [1.0]}], "usage": {"prompt_tokens": 1, "total_tokens": 1}})
    async with ScriptedUpstream(Stream([filtered, *Stream.of_text("Hi").pieces]), vectors) as server:
        resource = server.base_url.removesuffix("/v1")
        provider = OpenAIProvider(f"{resource}/openai/", "key-1", api_version="2024-10-21")
        assert ChatCompletion.of(await read(provider, request())).content == "Hi"
        await provider.embed("my model/1", EmbeddingRequest(["a"]))
        await provider.close()
    chat, embedded = server.received
    assert chat.path == "/openai/deployments/upstream-model/chat/completions?api-version=2024-10-21"
    assert embedded.path == "/openai/deployments/my%20model%2F1/embeddings?api-version=2024-10-21"
    assert chat.headers["api-key"] == "key-1"
    assert "authorization" not in {name.lower() for name in chat.headers}


@pytest.mark.parametrize("encode", [list, lambda vector: b64encode(pack("<2f", *vector)).decode()], ids=["list", "b64"])
async def test_embeddings(encode: Any) -> None:
    """Vectors come in the order of the inputs, whatever theirs is in the answer, as numbers or in base64."""
    rows = [{"index": 1, "embedding": encode([0.5, 0.25])}, {"index": 0, "embedding": encode([1.0, -2.0])}]
    async with upstream(Json({"data": rows, "usage": {"prompt_tokens": 4, "total_tokens": 4}})) as (server, provider):
        assert isinstance(provider, EmbeddingProvider)
        made = await provider.embed("upstream-model", EmbeddingRequest(["a", "b"], {"dimensions": 2}))
    assert made == Embeddings([[1.0, -2.0], [0.5, 0.25]], Usage(4, 0, 4))
    asked = {"model": "upstream-model", "input": ["a", "b"], "dimensions": 2, "encoding_format": "float"}
    assert (server.received[0].path, server.received[0].body) == ("/v1/embeddings", asked)


@pytest.mark.parametrize(
    "answered",
    [
        {},
        {"data": 5},
        {"data": [5]},
        {"data": [{"index": 0}]},
        {"data": [{"index": 0, "embedding": "no base64"}]},
        {"data": [{"index": 0, "embedding": ["x"]}]},
        {"data": []},
        {"data": [{"index": 3, "embedding": [1.0]}]},
    ],
)
async def test_embeddings_of_another_shape(answered: Any) -> None:
    """One vector for each input, or it is the upstream's error."""
    async with upstream(Json(answered)) as (_, provider):
        with pytest.raises(UpstreamGarbled):
            await provider.embed("m", EmbeddingRequest(["a"]))


async def test_embeddings_that_are_refused() -> None:
    """Errors are those of chats."""
    async with upstream(Json(error("bad"), 400)) as (_, provider):
        with pytest.raises(UpstreamRequestRefused, match="bad"):
            await provider.embed("m", EmbeddingRequest(["a"]))


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_of_several_choices_the_first_is_the_answer(stream: bool) -> None:
    """By its index, wherever it stands, also when the prompt's own configuration asks for more of them."""
    second = {**choice({"content": "no"}, "stop")["choices"][0], "index": 1}
    first = choice({"content": "yes"})["choices"][0]
    events = [{"choices": [second]}, {"choices": [second, first]}, choice({}, "stop"), {"choices": [], "usage": USAGE}]
    whole = [{**one, "message": one["delta"], "finish_reason": "stop"} for one in (second, first)]
    reply: Reply = (
        Stream([*map(frame, events), b"data: [DONE]\n\n"]) if stream else Json({"choices": whole, "usage": USAGE})
    )
    async with upstream(reply) as (_, provider):
        completion = await collect(provider.stream("m", request(stream=stream, n=2)))
    assert (completion.content, completion.finish_reason) == ("yes", "stop")
    assert completion.usage == Usage.from_wire(USAGE)
