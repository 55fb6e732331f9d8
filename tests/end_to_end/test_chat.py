"""/v1/chat/completions through the official SDK and as raw wire, over a real upstream."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import openai
import pytest

from graph import Flow
from graph.parts import Parts
from graph.steps.responder import ResponderStep
from llm.testing import Cut, Hang, Json, Pause, ScriptedUpstream, Stream
from llm.testing.upstream import answer, choice, frame
from tests.serving import serving, serving_upstream

MESSAGES: Any = [{"role": "user", "content": "hi"}]
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


async def frames_of(response: aiohttp.ClientResponse) -> list[Any]:
    """The parsed data of each event of a stream."""
    text = (await response.read()).decode()
    assert text.endswith("\n\n")
    return [
        "[DONE]" if event == "data: [DONE]" else json.loads(event.removeprefix("data: "))
        for event in text.removesuffix("\n\n").split("\n\n")
    ]


async def test_an_answer_that_is_not_streamed() -> None:
    """The async SDK gets the words, the end and the usage of the upstream, under the served model's name."""
    async with serving_upstream(answer("Hello")) as (gateway, upstream), gateway.sdk() as client:
        completion = await client.chat.completions.create(
            model="up", messages=MESSAGES, temperature=0.5, seed=3, max_tokens=9, stop=["x"], extra_body={"top_k": 2}
        )
    assert completion.model == "up"
    assert completion.object == "chat.completion"
    assert completion.id.startswith("chatcmpl-")
    assert completion.choices[0].message.content == "Hello"
    assert completion.choices[0].message.refusal is None
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.total_tokens == 10
    sent = upstream.received[0]
    assert sent.body == {
        "model": "upstream-model",
        "messages": MESSAGES,
        "temperature": 0.5,
        "seed": 3,
        "max_tokens": 9,
        "stop": ["x"],
        "top_k": 2,
    }


async def test_no_cookie_of_an_upstream_is_kept() -> None:
    """What one answer sets does not go along with the next request, which may be another caller's."""
    first = answer("Hello")
    sets = Json(first.body, headers={"set-cookie": "session=of-the-first; Path=/"})
    async with ScriptedUpstream(sets, answer("Hello")) as upstream:
        named = upstream.base_url.replace("127.0.0.1", "localhost")  # of an address no client keeps cookies
        provider = {"name": "scripted", "kind": "openai", "base_url": named}
        models = [{"name": "up", "provider": "scripted"}]
        async with serving(providers=[provider], models=models, graphs=[]) as gateway:
            for _ in range(2):
                status, headers, _ = await gateway.post("/v1/chat/completions", {"model": "up", "messages": MESSAGES})
                assert (status, "set-cookie" in headers) == (200, False)
    assert [received.headers.get("Cookie") for received in upstream.received] == [None, None]


async def test_nothing_of_the_callers_headers_goes_upstream() -> None:
    """The upstream sees the gateway's key, never the caller's key or cookies."""
    async with serving_upstream(answer("Hello")) as (gateway, upstream):
        await gateway.post(
            "/v1/chat/completions",
            {"model": "up", "messages": MESSAGES},
            Authorization="Bearer callers-own",
            Cookie="session=secret",
        )
    headers = upstream.received[0].headers
    assert headers["Authorization"] == "Bearer sk-gateways-own"
    assert not any("callers-own" in value or "secret" in value for value in headers.values())


async def test_nothing_of_an_upstreams_headers_reaches_the_caller() -> None:
    """Whose account the gateway has there, and what is left of its limits, is nobody's business."""
    told = {"openai-organization": "org-x", "openai-project": "proj-x", "x-ratelimit-remaining-tokens": "7"}
    async with serving_upstream(Json(answer("Hello").body, headers=told)) as (gateway, _):
        _, headers, _ = await gateway.post("/v1/chat/completions", {"model": "up", "messages": MESSAGES})
    assert not told.keys() & {name.lower() for name in headers}


def prompted(parts: Parts) -> Flow:
    """A graph whose answer one upstream makes."""
    flow = Flow("prompted")
    flow.to(ResponderStep(parts.llm("writer")), name="writer").respond()
    return flow


WHOLE = {"service_tier": "flex", "system_fingerprint": "fp_1"}


async def test_what_an_upstream_says_of_the_whole_answer_goes_on() -> None:
    """Its tier and its fingerprint, streamed and not; a graph of prompts has none."""
    frames = [frame({**choice({"content": word}), **WHOLE}) for word in ("Hel", "lo")]
    stream = Stream([*frames, *Stream.end(USAGE)])
    whole = Json({**answer("Hello").body, **WHOLE})
    graphs = [{"name": "prompted", "build": "tests.end_to_end.test_chat:prompted"}]
    async with serving_upstream(stream, whole, whole, graphs=graphs) as (gateway, _):
        body: Any = {"model": "up", "messages": MESSAGES, "stream": True, "store": True}  # so no bytes pass as they are
        async with gateway.http.post(f"{gateway.address}/v1/chat/completions", json=body) as response:
            chunks = (await frames_of(response))[:-1]
        _, _, one = await gateway.post("/v1/chat/completions", {**body, "stream": False})
        _, _, many = await gateway.post("/v1/chat/completions", {**body, "model": "prompted", "stream": False})
    assert [{name: chunk[name] for name in WHOLE} for chunk in chunks] == [WHOLE] * 4
    assert {name: one[name] for name in WHOLE} == WHOLE
    assert (many["system_fingerprint"], "service_tier" in many) == (None, False)


async def test_what_stands_beside_the_content_goes_on() -> None:
    """Thoughts, refusals, annotations and sound, under the names that they came by, streamed and whole."""
    beside: dict[str, Any] = {
        "reasoning_content": "hm",
        "reasoning": "so",
        "refusal": "No.",
        "annotations": [{"type": "url_citation", "url_citation": {"url": "u"}}],
        "audio": {"id": "audio_1", "data": "AA==", "transcript": "hi", "expires_at": 1},
    }
    stream = Stream([*(frame(choice({name: value})) for name, value in beside.items()), *Stream.end(USAGE)])
    async with serving_upstream(stream, answer("", **beside)) as (gateway, _):
        body: Any = {"model": "up", "messages": MESSAGES, "stream": True, "store": True}
        async with gateway.http.post(f"{gateway.address}/v1/chat/completions", json=body) as response:
            chunks = (await frames_of(response))[:-1]
        _, _, whole = await gateway.post("/v1/chat/completions", {**body, "stream": False})
    assert [chunk["choices"][0]["delta"] for chunk in chunks[1:-1]] == [{name: beside[name]} for name in beside]
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": None, **beside}


async def test_a_streamed_answer() -> None:
    """The SDK's stream helper puts the answer together, with the usage if it was asked for."""
    async with serving_upstream(Stream.of_text("Hel", "lo", usage=USAGE)) as (gateway, _), gateway.sdk() as client:
        stream = await client.chat.completions.create(
            model="up", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    words = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert words == ["", "Hel", "lo", None]
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices] == [None, None, None, "stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 9
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1


async def test_the_stream_on_the_wire() -> None:
    """Role once; finish_reason in every chunk; no usage unless asked; [DONE] last; nothing that breaks a client."""
    replies = [Stream.of_text("a", "b", usage=USAGE) for _ in range(2)]
    async with serving_upstream(*replies) as (gateway, _):
        body = {"model": "up", "messages": MESSAGES, "stream": True}
        async with gateway.http.post(f"{gateway.address}/v1/chat/completions", json=body) as response:
            plain = await frames_of(response)
            headers = response.headers
        body["stream_options"] = {"include_usage": True}
        async with gateway.http.post(f"{gateway.address}/v1/chat/completions", json=body) as response:
            counted = await frames_of(response)
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "content-length" not in headers
    assert "content-encoding" not in headers
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-request-id"].startswith("req_")
    assert plain[-1] == "[DONE]"
    assert [frame["choices"][0]["delta"] for frame in plain[:-1]] == [
        {"role": "assistant", "content": ""},
        {"content": "a"},
        {"content": "b"},
        {},
    ]
    assert all("finish_reason" in frame["choices"][0] for frame in plain[:-1])
    assert not any("usage" in frame for frame in plain[:-1])
    assert [frame.get("usage") for frame in counted[:-2]] == [None] * 4
    assert counted[-2]["choices"] == []
    assert counted[-2]["usage"] == USAGE
    assert counted[-1] == "[DONE]"


async def test_tokens_arrive_one_after_the_other() -> None:
    """The client has the first word while the upstream has not yet written the second."""
    pause = Pause()
    pieces = [*Stream.words("first"), pause, frame(choice({"content": "second"})), *Stream.end(USAGE)]
    async with serving_upstream(Stream(pieces)) as (gateway, _), gateway.sdk() as client:
        stream = await client.chat.completions.create(model="up", messages=MESSAGES, stream=True)
        words = aiter(stream)
        assert (await anext(words)).choices[0].delta.content == ""
        assert (await anext(words)).choices[0].delta.content == "first"
        pause.set()
        assert (await anext(words)).choices[0].delta.content == "second"
        await stream.close()


async def test_tools_that_the_client_declares_are_handed_back() -> None:
    """A tool call reaches the SDK whole, streamed or not, and its result goes up with the history."""
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
    whole = answer("", tool_calls=[call])
    whole.body["choices"][0]["finish_reason"] = "tool_calls"
    streamed = Stream(
        [
            frame(choice({"role": "assistant", "content": None, "tool_calls": [{"index": 0, **call}]})),
            frame(choice({}, finish_reason="tool_calls")),
            b"data: [DONE]\n\n",
        ]
    )
    async with serving_upstream(whole, streamed, answer("Cold.")) as (gateway, upstream), gateway.sdk() as client:
        first = await client.chat.completions.create(model="up", messages=MESSAGES, tools=[WEATHER])
        async with client.chat.completions.stream(model="up", messages=MESSAGES, tools=[WEATHER]) as stream:
            final = await stream.get_final_completion()
        message = first.choices[0].message
        history = [*MESSAGES, message, {"role": "tool", "tool_call_id": "call_1", "content": "-3"}]
        last = await client.chat.completions.create(model="up", messages=history, tools=[WEATHER])
    for completion in (first, final):
        assert completion.choices[0].finish_reason == "tool_calls"
        calls = completion.choices[0].message.tool_calls
        assert calls is not None
        assert calls[0].id == "call_1"
        assert calls[0].type == "function"
        assert (calls[0].function.name, calls[0].function.arguments) == ("get_weather", '{"city": "Oslo"}')
    assert last.choices[0].message.content == "Cold."
    assert upstream.received[0].body["tools"] == [WEATHER]
    assert upstream.received[2].body["messages"][1]["tool_calls"][0]["id"] == "call_1"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("reply", "error", "status", "code"),
    [
        (Json({"error": {"message": "bad", "param": "top_p", "code": "x"}}, 400), openai.BadRequestError, 400, "x"),
        (Json({"error": {"message": "sk-abc"}}, 401), openai.InternalServerError, 502, "upstream_credentials_refused"),
        (Json({"error": {}}, 429, {"retry-after": "2"}), openai.RateLimitError, 429, "rate_limit_exceeded"),
        (Json({"error": {"code": "insufficient_quota"}}, 429), openai.RateLimitError, 429, "insufficient_quota"),
        (Json({}, 500), openai.InternalServerError, 503, "upstream_unavailable"),
        (Json(b"<html>", 502), openai.InternalServerError, 503, "upstream_unavailable"),
        (Json(b"no json"), openai.InternalServerError, 502, "upstream_garbled"),
    ],
)
async def test_an_upstream_that_fails_before_its_first_chunk(
    reply: Json, error: type[openai.APIStatusError], status: int, code: str, stream: bool
) -> None:
    """It is a status, streamed or not, that the SDK raises as the right class; keys are never repeated."""
    async with serving_upstream(reply) as (gateway, _), gateway.sdk() as client:
        with pytest.raises(error) as raised:
            await client.chat.completions.create(model="up", messages=MESSAGES, stream=stream)
    assert (raised.value.status_code, raised.value.code) == (status, code)
    assert "sk-abc" not in str(raised.value)
    assert raised.value.request_id is not None
    if code == "rate_limit_exceeded":
        assert raised.value.response.headers["retry-after"] == "2"
    if code in ("insufficient_quota", "upstream_credentials_refused"):
        assert raised.value.response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"retry-after": "0"}, "1"),
        ({"retry-after": "0.3"}, "1"),
        ({"retry-after-ms": "1500"}, "2"),
        ({"retry-after": "7"}, "7"),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, "1"),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
    ids=str,
)
async def test_when_an_upstream_wants_to_be_asked_again(
    said: dict[str, str], told: str | None, status: int, stream: bool
) -> None:
    """The client is told in whole seconds from 1 on, or nothing where the upstream says nothing that makes sense."""
    async with serving_upstream(Json({"error": {}}, status, said)) as (gateway, _):
        answered, headers, _ = await gateway.post(
            "/v1/chat/completions", {"model": "up", "messages": MESSAGES, "stream": stream}
        )
    assert (answered, headers.get("retry-after")) == (status, told)


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ([Cut()], "upstream_broke_off"),
        ([], "upstream_broke_off"),
        ([b"data: {oops\n\n"], "upstream_garbled"),
        ([frame({"error": {"message": "sk-abc"}})], "upstream_unavailable"),
    ],
)
async def test_an_upstream_that_fails_after_its_first_chunk(end: list[Any], code: str) -> None:
    """What was said has arrived; then the SDK raises the error that stands in the stream."""
    async with serving_upstream(Stream([*Stream.words("Hel"), *end])) as (gateway, _), gateway.sdk() as client:
        stream = await client.chat.completions.create(model="up", messages=MESSAGES, stream=True)
        got: list[str | None] = []
        with pytest.raises(openai.APIError) as raised:
            async for chunk in stream:
                got.append(chunk.choices[0].delta.content)
    assert got[:2] == ["", "Hel"]
    assert raised.value.code == code
    assert "sk-abc" not in str(raised.value)


@pytest.mark.parametrize("limit", ["read_seconds", "total_seconds"])
@pytest.mark.parametrize("stream", [True, False])
async def test_the_settings_say_how_long_a_provider_may_take(limit: str, stream: bool) -> None:
    """To fall silent, or for a whole call: before the first chunk it is a status, after it an event."""
    async with ScriptedUpstream(Stream([*Stream.words("Hel"), Hang()]) if stream else Hang()) as upstream:
        provider = {"name": "scripted", "kind": "openai", "base_url": upstream.base_url, limit: 0.2}
        models = [{"name": "up", "provider": "scripted"}]
        async with serving(providers=[provider], models=models, graphs=[]) as gateway, gateway.sdk() as client:
            with pytest.raises(openai.APIError) as raised:
                answered: Any = await client.chat.completions.create(model="up", messages=MESSAGES, stream=stream)
                [chunk async for chunk in answered]
            await asyncio.wait_for(upstream.left.wait(), 5)
    assert raised.value.code == "upstream_timeout"
    assert isinstance(raised.value, openai.APIStatusError) is not stream


async def test_an_error_event_ends_the_stream_properly() -> None:
    """The error has a top-level object, nothing follows it, and the body ends as HTTP says."""
    async with serving_upstream(Stream(Stream.words("Hel"))) as (gateway, _):
        body = {"model": "up", "messages": MESSAGES, "stream": True}
        async with gateway.http.post(f"{gateway.address}/v1/chat/completions", json=body) as response:
            events = await frames_of(response)
    assert set(events[-1]["error"]) == {"message", "type", "param", "code"}
    assert "[DONE]" not in events


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_while_it_waits_ends_the_upstreams_work(stream: bool) -> None:
    """Before the first token, streamed or not, the upstream sees its connection closed."""
    async with serving_upstream(Hang()) as (gateway, upstream):
        asked = asyncio.create_task(
            gateway.post("/v1/chat/completions", {"model": "up", "messages": MESSAGES, "stream": stream})
        )
        while not upstream.received:
            await asyncio.sleep(0)
        asked.cancel()
        await asyncio.wait_for(upstream.left.wait(), 5)
        (run,) = await gateway.runs()
    assert run["outcome"] == "left"


async def test_a_client_that_leaves_in_mid_stream_ends_the_upstreams_work() -> None:
    """After some words, the same; the run is recorded as left, with an estimate of what it cost."""
    pieces = [*Stream.words("Hello"), Hang()]
    async with serving_upstream(Stream(pieces)) as (gateway, upstream), gateway.sdk() as client:
        stream = await client.chat.completions.create(model="up", messages=MESSAGES, stream=True)
        words = aiter(stream)
        await anext(words)
        await anext(words)
        await stream.close()
        await asyncio.wait_for(upstream.left.wait(), 5)
        (run,) = await gateway.runs()
    assert run["outcome"] == "left"
    assert run["usage"]["source"] == "estimated"
    assert run["usage"]["completion_tokens"] in (1, 2)  # by tiktoken, or by characters where it has no vocabularies


def test_the_sync_sdk_streams_too() -> None:
    """The synchronous client, in a thread of its own, reads the same stream."""

    def talk(address: str) -> list[str | None]:
        with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
            stream = client.chat.completions.create(model="up", messages=MESSAGES, stream=True)
            words = [chunk.choices[0].delta.content for chunk in stream]
            whole = client.chat.completions.create(model="up", messages=MESSAGES)
        return [*words, whole.choices[0].message.content]

    async def main() -> list[str | None]:
        async with serving_upstream(Stream.of_text("Hel", "lo"), answer("Hello")) as (gateway, _):
            return await asyncio.to_thread(talk, gateway.address)

    assert asyncio.run(main()) == ["", "Hel", "lo", None, "Hello"]
