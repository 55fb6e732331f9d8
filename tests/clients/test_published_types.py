"""Every answer and every chunk is what OpenAI's own types say: required members there, words among those listed.

The SDK builds its objects without looking (``construct``); here the bytes are validated strictly by the same classes.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
from openai.types import Completion, CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.shared import ErrorObject
from pydantic import BaseModel

from llm.testing import OPENAI, Json, Stream, embeddings
from llm.testing.upstream import Reply, answer, choice, frame
from tests.clients.scripts import ASKS_FOR_WEATHER, BREAKS, FORECAST, GREETING, LIMITED, QUESTION, STREAMS_ITS_ASKING
from tests.gateway.endpoints.responses.published import events_of, response_of
from tests.serving import Gateway, serving, serving_upstream

T = TypeVar("T", bound=BaseModel)
CHAT = "/v1/chat/completions"
ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": QUESTION}]}
TOP = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105]}
LOGPROBS = {"content": [{**TOP, "top_logprobs": [TOP]}], "refusal": None}
SOURCES = ["embedded", "upstream", "graph"]
NUMBERS = [("embedded", 2), ("upstream", 1), ("upstream", 2), ("graph", 1)]
"""Of choices."""
EXTRA = {
    Model: {"kind", "description", "streaming", "context_length", "endpoints", "price"},
    ChatCompletion: {"choices.message.reasoning_content", "usage.estimated"},
    ChatCompletionChunk: {"choices.delta.reasoning_content", "usage.estimated"},
}
"""What is ours, or the field's, beside the published members."""


def strictly(kind: type[T], data: Any) -> T:
    """The object in these data; nothing is converted, and nothing is there that the class does not know."""
    made = kind.model_validate_json(json.dumps(data), strict=True)
    assert unknown_of(made) - EXTRA.get(kind, set()) == set()
    return made


def unknown_of(made: BaseModel, path: str = "") -> set[str]:
    """Where an object has members that its class does not know."""
    found = {path + name for name in made.model_extra or ()}
    for name in made.__pydantic_fields_set__ - set(made.model_extra or ()):
        value = getattr(made, name)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, BaseModel):
                found |= unknown_of(each, f"{path}{name}.")
    return found


def completion_of(data: Any) -> ChatCompletion:
    """A chat answer; in our own words with ``refusal`` and ``logprobs``, which the class merely allows to be absent."""
    made = strictly(ChatCompletion, data)
    assert [each.index for each in made.choices] == list(range(len(made.choices)))
    for each in made.choices if made.model != "up" else ():
        assert {"content", "refusal"} <= each.message.__pydantic_fields_set__
        assert "logprobs" in each.__pydantic_fields_set__
    return made


async def events(gateway: Gateway, path: str, body: Any) -> list[Any]:
    """The data of a stream that ends with ``[DONE]``."""
    async with gateway.http.post(gateway.address + path, json={**body, "stream": True}) as response:
        assert response.status == 200, await response.text()
        *frames, done = (await response.text()).removesuffix("\n\n").split("\n\n")
    assert done == "data: [DONE]"
    return [json.loads(each.removeprefix("data: ")) for each in frames]


async def chunks(gateway: Gateway, **body: Any) -> list[ChatCompletionChunk]:
    """The chunks of a chat stream: one id, the role once a choice, an end each, a usage at the end and only there."""
    body = {**ASKED, "stream_options": {"include_usage": True}, **body}
    got = [strictly(ChatCompletionChunk, event) for event in await events(gateway, CHAT, body)]
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in got}) == 1
    *said, last = got
    assert (last.choices, last.usage is None) == ([], False)
    assert [chunk.usage for chunk in said] == [None] * len(said)
    for index in range(body.get("n", 1)):
        own = [each for chunk in said for each in chunk.choices if each.index == index]
        assert [each.delta.role for each in own] == ["assistant"] + [None] * (len(own) - 1)
        assert [each.finish_reason is None for each in own] == [True] * (len(own) - 1) + [False]
    return said


async def post(gateway: Gateway, path: str, **body: Any) -> Any:
    """A whole answer."""
    status, _, data = await gateway.post(path, body)
    assert status == 200, data
    return data


@asynccontextmanager
async def source(name: str, *replies: Reply) -> AsyncGenerator[tuple[Gateway, str], None]:
    """A gateway, and the name of a model in it that is embedded, upstream (where it answers by a script) or a graph."""
    if name == "upstream":
        async with serving_upstream(*replies) as (gateway, _):
            yield gateway, "up"
    else:
        async with serving() as gateway:
            yield gateway, {"embedded": "penstock-demo", "graph": "trip-planner"}[name]


def choices(n: int) -> tuple[Json, Stream]:
    """So many at once, as an upstream tells them whole and streamed."""
    whole, pieces = answer("Hello"), []
    whole.body["choices"] = [{**whole.body["choices"][0], "index": index} for index in range(n)]
    for index in range(n):
        for said, reason in (({"role": "assistant", "content": "Hel"}, None), ({"content": "lo"}, None), ({}, "stop")):
            piece = choice(said, reason)
            piece["choices"][0]["index"] = index
            pieces.append(frame(piece))
    return whole, Stream([*pieces, b"data: [DONE]\n\n"])


@pytest.mark.parametrize(("name", "n"), NUMBERS)
async def test_a_chat(name: str, n: int) -> None:
    """Whole and streamed, one choice and two."""
    async with source(name, *choices(n)) as (gateway, model):
        made = completion_of(await post(gateway, CHAT, model=model, n=n, **ASKED))
        await chunks(gateway, model=model, n=n)
    assert len(made.choices) == n
    assert made.usage is not None


@pytest.mark.parametrize("name", ["embedded", "upstream"])
async def test_tools(name: str) -> None:
    """Calls whole, and in pieces with an index each."""
    body: Any = {"tools": [FORECAST], "tool_choice": "required"}
    async with source(name, ASKS_FOR_WEATHER, STREAMS_ITS_ASKING) as (gateway, model):
        made = completion_of(await post(gateway, CHAT, model=model, **ASKED, **body))
        said = await chunks(gateway, model=model, **body)
    assert made.choices[0].finish_reason == said[-1].choices[0].finish_reason == "tool_calls"
    assert made.choices[0].message.tool_calls
    calls = [call for chunk in said for each in chunk.choices for call in each.delta.tool_calls or ()]
    assert (calls[0].index, calls[0].type) == (0, "function")
    assert [call.id for call in calls[1:]] == [None] * (len(calls) - 1)


@pytest.mark.parametrize(
    ("member", "value"), [("logprobs", LOGPROBS), ("refusal", "No."), ("reasoning_content", "hm")], ids=str
)
async def test_what_only_some_models_say(member: str, value: Any) -> None:
    """Log probabilities, refusals and thoughts, whole and streamed."""
    inside = member != "logprobs"
    whole = answer("Hi", **({member: value} if inside else {}))
    piece = choice({member: value} if inside else {"content": "Hi"})
    if not inside:
        whole.body["choices"][0][member] = value
        piece["choices"][0][member] = value
    streamed = Stream([*OPENAI.opening(), frame(piece), *OPENAI.end("stop")])
    async with serving_upstream(whole, streamed) as (gateway, _):
        body: Any = {"model": "up", "logprobs": True, "top_logprobs": 1}
        made = completion_of(await post(gateway, CHAT, **ASKED, **body)).choices[0]
        said = [each for chunk in await chunks(gateway, **body) for each in chunk.choices]
    given = made.message if inside else made
    parts = [getattr(each.delta if inside else each, member, None) for each in said]
    for got in (getattr(given, member), *[part for part in parts if part]):
        assert (got.model_dump() if isinstance(got, BaseModel) else got) == value
    assert any(parts)


async def test_likeliest_tokens_that_an_upstream_leaves_out() -> None:
    """Its log probabilities are then without any, in each API as that API has it."""
    bare = {"content": [{"token": "Hi", "logprob": -0.5}]}
    whole, legacy = answer("Hi"), answer("Hi")
    for reply in (whole, legacy):
        reply.body["choices"][0]["logprobs"] = bare
    piece = choice({"content": "Hi"})
    piece["choices"][0]["logprobs"] = bare
    streamed = Stream([*OPENAI.opening(), frame(piece), *OPENAI.end("stop")])
    async with serving_upstream(whole, streamed, legacy) as (gateway, _):
        made = completion_of(await post(gateway, CHAT, model="up", logprobs=True, **ASKED)).choices[0].logprobs
        await chunks(gateway, model="up", logprobs=True)
        completed = await post(gateway, "/v1/completions", model="up", prompt=QUESTION, logprobs=0)
    assert made is not None
    assert made.content is not None
    assert made.content[0].top_logprobs == []
    given = strictly(Completion, completed).choices[0].logprobs
    assert given is not None
    assert (given.tokens, given.top_logprobs) == (["Hi"], None)


async def test_an_upstream_that_is_careless() -> None:
    """Roles and ends of its own making do not reach the client, and what is missing is there."""
    whole = Json(
        {
            "id": 5,
            "choices": [{"message": {"role": "model", "content": "Hi"}, "finish_reason": "eos"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3},
        }
    )
    delta = {"role": "model", "content": "Hi"}
    streamed = Stream(
        [
            frame({"choices": [{"delta": delta}]}),
            frame({"choices": [{"delta": {"role": "model"}, "finish_reason": "eos"}]}),
            b"data: [DONE]\n\n",
        ]
    )
    called = {"function": {"name": "f", "arguments": "{}"}}
    calling = Json({"choices": [{"message": {"tool_calls": [called]}, "finish_reason": "tool_calls"}]})
    async with serving_upstream(whole, streamed, calling) as (gateway, _):
        completion_of(await post(gateway, CHAT, model="up", **ASKED))
        await chunks(gateway, model="up")
        made = completion_of(await post(gateway, CHAT, model="up", tools=[FORECAST], **ASKED))
    assert made.choices[0].message.tool_calls


@pytest.mark.parametrize(("name", "n"), NUMBERS)
async def test_a_completion(name: str, n: int) -> None:
    """The legacy API, whole and streamed."""
    asked: Any = {"prompt": QUESTION, "n": n, "max_tokens": 20}
    async with source(name, *[answer("Hello")] * n, *[GREETING] * n) as (gateway, model):
        made = strictly(Completion, await post(gateway, "/v1/completions", model=model, **asked))
        got = await events(
            gateway, "/v1/completions", {"model": model, **asked, "stream_options": {"include_usage": True}}
        )
    assert len(made.choices) == n
    *said, last = got
    strictly(Completion, last)
    assert (last["choices"], last["usage"]["total_tokens"] > 0) == ([], True)
    ends = [each["finish_reason"] for event in said for each in event["choices"] if each["finish_reason"]]
    assert len(ends) == n
    for event in said:
        for each in event["choices"]:
            assert set(each) == {"index", "text", "logprobs", "finish_reason"}
            each["finish_reason"] = each["finish_reason"] or "stop"  # null in the API, in the class never
        strictly(Completion, event)


@pytest.mark.parametrize("name", ["embedded", "upstream"])
async def test_embeddings(name: str) -> None:
    """In numbers; in base64 the class has no type for them, the rest is the same."""
    replies = [embeddings([0.5, 0.25], [0.0, 1.0])] * 2
    async with source(name, *replies) as (gateway, model):
        asked: Any = {"model": model, "input": ["a", "b"]}
        strictly(CreateEmbeddingResponse, await post(gateway, "/v1/embeddings", **asked))
        packed = await post(gateway, "/v1/embeddings", encoding_format="base64", **asked)
    for row in packed["data"]:
        assert isinstance(row["embedding"], str)
        row["embedding"] = [0.0]
    strictly(CreateEmbeddingResponse, packed)


async def test_models() -> None:
    """The list of them, and each."""
    async with serving() as gateway:
        _, _, listed = await gateway.get("/v1/models")
        for model in listed["data"]:
            _, _, one = await gateway.get(f"/v1/models/{model['id']}")
            assert strictly(Model, one) == strictly(Model, model)
    assert listed["object"] == "list"
    assert len(listed["data"]) == 3


@pytest.mark.parametrize("name", SOURCES)
async def test_a_response(name: str) -> None:
    """Whole and streamed."""
    async with source(name, answer("Hello"), GREETING) as (gateway, model):
        asked = {"model": model, "input": QUESTION}
        made = response_of(await post(gateway, "/v1/responses", **asked))
        async with gateway.http.post(f"{gateway.address}/v1/responses", json={**asked, "stream": True}) as response:
            got = events_of(await response.read())
    assert made.output_text
    assert got[-1].type == "response.completed"


@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/nowhere"])
@pytest.mark.parametrize("body", [{}, {"model": "nope"}, {"model": "up", "n": True}, {"model": 5}, [], b"{"], ids=str)
async def test_an_error(path: str, body: Any) -> None:
    """The caller's faults, whatever they are."""
    async with serving_upstream() as (gateway, _):
        status, _, data = await gateway.post(path, body)
    assert 400 <= status < 500
    assert set(data) == {"error"}
    strictly(ErrorObject, data["error"])


async def test_an_error_upstream() -> None:
    """Before the answer and inside a stream."""
    async with serving_upstream(LIMITED, BREAKS) as (gateway, _):
        _, _, data = await gateway.post(CHAT, {"model": "up", **ASKED})
        body = {"model": "up", "stream": True, **ASKED}
        async with gateway.http.post(gateway.address + CHAT, json=body) as response:
            *said, broken = (await response.text()).removesuffix("\n\n").split("\n\n")
    for each in said:
        strictly(ChatCompletionChunk, json.loads(each.removeprefix("data: ")))
    for each in (data, json.loads(broken.removeprefix("data: "))):
        assert set(each) == {"error"}
        strictly(ErrorObject, each["error"])
