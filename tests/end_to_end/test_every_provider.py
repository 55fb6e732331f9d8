"""Every provider behind the gateway, on a real socket, asked by the official SDK: what clients see is one behaviour,
whoever runs the model. What only holds for APIs stands in ``tests/llm/providers/test_behaviour.py``."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import openai
import pytest

from graph import Flow
from graph.parts import Parts
from graph.steps.responder import ResponderStep
from llm import Model, ModelProvider
from llm.testing import Call
from tests.llm.providers.test_behaviour import ANYONE, APIS, CALLS, TOOLS, Anyone, Api, Said, installed
from tests.serving import Gateway, serving

ASKED: Any = {"model": "served", "messages": [{"role": "user", "content": "hi"}]}
BEHIND: list[ModelProvider] = []
"""The provider of the test that runs."""


def served(parts: Parts) -> Flow:
    """A graph of one step, as every model of the settings is one."""
    flow = Flow("served")
    flow.to(ResponderStep(Model("served", BEHIND[-1], "upstream-model")), name="answer").respond()
    return flow


@asynccontextmanager
async def gateway_to(provider: ModelProvider) -> AsyncGenerator[Gateway, None]:
    """A gateway before a provider that has been started."""
    BEHIND.append(provider)
    try:
        async with serving(graphs=[{"name": "served", "build": f"{__name__}:served"}]) as gateway:
            yield gateway
    finally:
        BEHIND.pop()


@pytest.fixture(params=ANYONE)
def anyone(request: pytest.FixtureRequest) -> Anyone:
    return installed(request)


@pytest.fixture(params=[api for api in APIS if api.id != "azure"])
def api(request: pytest.FixtureRequest) -> Api:
    made: Api = request.param
    return made


async def chunks_of(gateway: Gateway, into: list[Any], **options: Any) -> None:
    async with (
        gateway.sdk() as client,
        await client.chat.completions.create(**{**ASKED, **options}, stream=True) as said,
    ):
        async for chunk in said:
            into.append(chunk)


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@pytest.mark.parametrize("reason", ["stop", "length"])
async def test_text_and_why_it_ended(anyone: Anyone, reason: str) -> None:
    """Streamed and whole are the same words at the same cost, which a stream tells to those who ask and nobody else."""
    said = Said("Hi there", reason=reason)
    async with anyone.saying(said, said, replace(said, stream=False)) as provider, gateway_to(provider) as gateway:
        unasked: list[Any] = []
        await chunks_of(gateway, unasked)
        asked: list[Any] = []
        await chunks_of(gateway, asked, stream_options={"include_usage": True})
        async with gateway.sdk() as client:
            whole = await client.chat.completions.create(**ASKED)
    assert text_of(unasked) == text_of(asked) == whole.choices[0].message.content == "Hi there"
    assert [chunk.usage for chunk in unasked] == [None] * len(unasked)
    assert unasked[-1].choices[0].finish_reason == whole.choices[0].finish_reason == reason
    assert asked[-1].choices == []
    assert asked[-1].usage == whole.usage
    assert whole.usage is not None
    assert min(whole.usage.prompt_tokens, whole.usage.completion_tokens) > 0


@pytest.mark.parametrize("number", [1, 2], ids=["one", "parallel"])
async def test_tool_calls(anyone: Anyone, number: int) -> None:
    """The SDK puts the pieces together, each call with an id of its own."""
    said = Said(calls=CALLS[:number], reason="tool_calls")
    async with (
        anyone.saying(said) as provider,
        gateway_to(provider) as gateway,
        gateway.sdk() as client,
        client.chat.completions.stream(**ASKED, tools=TOOLS) as stream,  # type: ignore[arg-type]
    ):
        choice = (await stream.get_final_completion()).choices[0]
    calls = choice.message.tool_calls or []
    assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == [
        ("f", {"x": 1}),
        ("g", {}),
    ][:number]
    assert len({call.id for call in calls}) == number
    assert choice.finish_reason == "tool_calls"


async def test_a_whole_call_in_one_delta(api: Api) -> None:
    """As some upstreams send it: both calls, with their ids."""
    async with api.upstream(api.dialect.calls(*CALLS, whole=True)) as (_, provider), gateway_to(provider) as gateway:
        chunks: list[Any] = []
        await chunks_of(gateway, chunks, tools=TOOLS)
    deltas = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert [(call.index, call.id) for call in deltas if call.id] == [(0, "call_a"), (1, "call_b")]


async def test_odd_splits_of_a_stream(api: Api) -> None:
    """A byte at a time, through characters of several bytes."""
    replies = [
        api.dialect.text("Grüße ", "東京").split(1),
        api.dialect.calls(Call("call_a", "f", '{"x":"東京"}')).split(1),
    ]
    async with api.upstream(*replies) as (_, provider), gateway_to(provider) as gateway:
        words: list[Any] = []
        calls: list[Any] = []
        await chunks_of(gateway, words)
        await chunks_of(gateway, calls, tools=TOOLS)
    deltas = [call for chunk in calls for call in chunk.choices[0].delta.tool_calls or ()]
    assert text_of(words) == "Grüße 東京"
    assert "".join(call.function.arguments or "" for call in deltas) == '{"x":"東京"}'


async def test_stop_strings(anyone: Anyone) -> None:
    """A model here ends before one; an upstream is told of it."""
    chunks: list[Any] = []
    if isinstance(anyone, Api):
        async with anyone.upstream(anyone.dialect.text("Hi ")) as (server, provider), gateway_to(provider) as gateway:
            await chunks_of(gateway, chunks, stop=["the"])
        body = server.received[0].body
        assert body.get("stop", body.get("stop_sequences")) == ["the"]
    else:
        async with anyone.saying(Said("Hi there")) as provider, gateway_to(provider) as gateway:
            await chunks_of(gateway, chunks, stop=["the"])
    assert text_of(chunks) == "Hi "
    assert chunks[-1].choices[0].finish_reason == "stop"


async def test_an_error_before_the_first_chunk(anyone: Anyone) -> None:
    """It has a status, also where a stream was asked for: what the upstream refuses, what does not fit a model here."""
    if isinstance(anyone, Api):
        async with anyone.upstream(anyone.dialect.error(400)) as (_, provider):
            await refused(provider, "hi")
        return
    async with anyone.saying(Said("Hi")) as provider:
        await refused(provider, "weather " * 3000)


async def refused(provider: ModelProvider, content: str) -> None:
    chunks: list[Any] = []
    async with gateway_to(provider) as gateway:
        with pytest.raises(openai.BadRequestError):
            await chunks_of(gateway, chunks, messages=[{"role": "user", "content": content}])
    assert chunks == []


async def test_an_error_after_the_first_chunk(anyone: Anyone) -> None:
    """What was said has come, and then it is an error, and no end."""
    async with anyone.saying(Said("Hel", reason="broken")) as provider, gateway_to(provider) as gateway:
        chunks: list[Any] = []
        with pytest.raises(openai.APIError):
            await chunks_of(gateway, chunks)
        (run,) = await gateway.runs()
    assert text_of(chunks) == "Hel"
    assert all(chunk.choices[0].finish_reason is None for chunk in chunks)
    assert run["usage"]["source"] == "estimated"


async def test_a_client_that_leaves(anyone: Anyone) -> None:
    """The run ends, what it cost is booked, and the next answer is the next answer."""
    gate = anyone.gate()
    said = Said("Hel", gate=gate, more="lo")
    async with anyone.saying(said, Said("Bye")) as provider, gateway_to(provider) as gateway:
        async with gateway.sdk() as client:
            stream = await client.chat.completions.create(**ASKED, stream=True)
            async for chunk in stream:
                if chunk.choices[0].delta.content:
                    break
            await stream.close()
        (run,) = await gateway.runs()
        gate.set()
        after: list[Any] = []
        await chunks_of(gateway, after)
    assert run["outcome"] != "answered"
    assert run["usage"]["completion_tokens"] > 0
    assert text_of(after) == "Bye"
