"""The official SDK for Node, with only the base URL and a key set; ``make test`` installs it into ``node/``."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from llm.testing import OPENAI, embeddings
from llm.testing.upstream import answer
from tests.clients.scripts import (
    ASKS_FOR_WEATHER,
    BREAKS,
    GREETING,
    LIMITED,
    NODE,
    QUESTION,
    REFUSED,
    STAY,
    STREAMS_ITS_ASKING,
)
from tests.serving import Gateway, serving, serving_upstream

TALK = Path(__file__).parent / "node" / "talk.mjs"


async def talk(gateway: Gateway, way: str, model: str = "up", text: str = QUESTION) -> Any:
    """What the SDK made of it."""
    process = await asyncio.create_subprocess_exec(
        NODE, TALK, f"{gateway.address}/v1", model, way, text, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(printed)


async def test_chat() -> None:
    """Whole, as chunks, and by the helper that puts them together: words, end and usage."""
    async with serving_upstream(answer("Hello"), GREETING, GREETING) as (gateway, _):
        whole = await talk(gateway, "whole")
        *chunks, last = await talk(gateway, "streamed")
        helped = await talk(gateway, "helper")
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": "Hello"}
    assert whole["usage"]["total_tokens"] == last["usage"]["total_tokens"] == 10
    assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks] == ["", "Hel", "lo", None]
    assert [word for word in helped["words"] if word] == ["Hel", "lo"]
    assert helped["final"]["choices"][0]["message"]["content"] == "Hello"
    assert helped["final"]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("way", ["tools", "streamedTools"])
async def test_a_loop_of_tools(way: str) -> None:
    """The SDK's own runner calls the function and hands its result back."""
    streamed = way == "streamedTools"
    replies = (STREAMS_ITS_ASKING, OPENAI.text("Cold.")) if streamed else (ASKS_FOR_WEATHER, answer("Cold."))
    async with serving_upstream(*replies) as (gateway, upstream):
        told = await talk(gateway, way)
    assert told["said"] == "Cold."
    sent = upstream.received[1].body["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool"]
    assert (sent[2]["tool_call_id"], sent[2]["content"]) == ("call_1", "-3 in Oslo")


async def test_structured_output() -> None:
    """By a schema."""
    async with serving_upstream(STAY) as (gateway, upstream):
        assert await talk(gateway, "structured") == {"city": "Oslo", "days": 3}
    assert upstream.received[0].body["response_format"]["type"] == "json_schema"


async def test_embeddings() -> None:
    """Which the SDK asks for in base64."""
    async with serving_upstream(embeddings([0.5, 0.25], [0.0, 1.0])) as (gateway, _):
        made = await talk(gateway, "embeddings")
    assert [row["embedding"] for row in made["data"]] == [[0.5, 0.25], [0.0, 1.0]]
    assert made["usage"]["total_tokens"] == 7


async def test_the_other_apis() -> None:
    """Legacy completions, the Responses API whole and streamed, and the list of models."""
    async with serving_upstream(answer("Hello"), answer("Hello"), GREETING) as (gateway, _):
        assert (await talk(gateway, "completions"))["choices"][0]["text"] == "Hello"
        assert await talk(gateway, "responses") == {"whole": "Hello", "streamed": "Hello"}
        assert await talk(gateway, "models") == ["up"]


@pytest.mark.parametrize("way", ["whole", "streamed"])
@pytest.mark.parametrize(
    ("reply", "error", "code"),
    [
        (LIMITED, "RateLimitError", "rate_limit_exceeded"),
        (REFUSED, "BadRequestError", "decimal_above_max_value"),
    ],
    ids=["429", "400"],
)
async def test_an_error_before_the_answer(way: str, reply: Any, error: str, code: str) -> None:
    """It is raised as the class that goes with the status."""
    async with serving_upstream(reply) as (gateway, _):
        told = await talk(gateway, way)
    assert (told["error"], told["code"]) == (error, code)
    assert told["requestID"].startswith("req_")


async def test_an_error_inside_a_stream() -> None:
    """What was said arrives, then it is raised."""
    async with serving_upstream(BREAKS) as (gateway, _):
        told = await talk(gateway, "broken")
    assert told["words"] == ["", "Hel"]
    assert (told["api"], told["code"]) == (True, "upstream_unavailable")


async def test_the_embedded_model() -> None:
    """Its vectors; the page on clients has the SDK walk a graph."""
    async with serving() as gateway:
        made = await talk(gateway, "embeddings", "penstock-demo")
    assert len(made["data"][0]["embedding"]) > 10
