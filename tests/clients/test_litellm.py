"""LiteLLM as a client, with only the base URL and a key set: ``openai/`` before the name of the model."""

from __future__ import annotations

from typing import Any

import litellm
import pytest

from llm.testing import embeddings
from llm.testing.upstream import answer
from tests.clients.scripts import (
    ASKS_FOR_WEATHER,
    BREAKS,
    FORECAST,
    GREETING,
    LIMITED,
    QUESTION,
    REFUSED,
    STAY,
    STREAMS_ITS_ASKING,
    Stay,
)
from tests.serving import Gateway, serving, serving_upstream

ASKED: list[Any] = [{"role": "user", "content": QUESTION}]


def there(gateway: Gateway, model: str = "up") -> dict[str, Any]:
    """What a call needs; without retries, so that errors come at once."""
    return {"model": f"openai/{model}", "api_base": f"{gateway.address}/v1", "api_key": "none", "max_retries": 0}


async def test_chat() -> None:
    """Whole and streamed: words, end and usage."""
    async with serving_upstream(answer("Hello"), GREETING) as (gateway, _):
        whole = await litellm.acompletion(messages=ASKED, **there(gateway))
        stream = await litellm.acompletion(
            messages=ASKED, stream=True, stream_options={"include_usage": True}, **there(gateway)
        )
        chunks = [chunk async for chunk in stream]
    total = litellm.stream_chunk_builder(chunks, messages=ASKED)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello"
    for answered in (whole, total):
        assert answered.choices[0].message.content == "Hello"
        assert answered.choices[0].finish_reason == "stop"
        assert answered.usage.total_tokens == 10


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_loop_of_tools(streamed: bool) -> None:
    """A call, its result, an answer."""
    replies = (STREAMS_ITS_ASKING if streamed else ASKS_FOR_WEATHER, answer("Cold."))
    async with serving_upstream(*replies) as (gateway, upstream):
        given: Any = {"tools": [FORECAST], **there(gateway)}
        said = await litellm.acompletion(messages=ASKED, stream=streamed, **given)
        if streamed:
            said = litellm.stream_chunk_builder([chunk async for chunk in said])
        (call,) = said.choices[0].message.tool_calls
        result = {"role": "tool", "tool_call_id": call.id, "content": "-3"}
        last = await litellm.acompletion(messages=[*ASKED, said.choices[0].message, result], **given)
    assert said.choices[0].finish_reason == "tool_calls"
    assert (call.id, call.function.name, call.function.arguments) == ("call_1", "get_weather", '{"city": "Oslo"}')
    assert last.choices[0].message.content == "Cold."
    assert [message["role"] for message in upstream.received[1].body["messages"]] == ["user", "assistant", "tool"]


async def test_structured_output() -> None:
    """By a schema."""
    async with serving_upstream(STAY) as (gateway, upstream):
        made = await litellm.acompletion(messages=ASKED, response_format=Stay, **there(gateway))
    assert Stay.model_validate_json(made.choices[0].message.content) == Stay(city="Oslo", days=3)
    assert upstream.received[0].body["response_format"]["type"] == "json_schema"


async def test_embeddings() -> None:
    """Vectors of a model upstream, and of the embedded one."""
    async with serving_upstream(embeddings([0.5, 0.25], [0.0, 1.0])) as (gateway, _):
        made = await litellm.aembedding(input=["a", "b"], **there(gateway))
    assert [row["embedding"] for row in made.data] == [[0.5, 0.25], [0.0, 1.0]]
    assert made.usage.total_tokens == 7
    async with serving() as gateway:
        made = await litellm.aembedding(input=["weather"], **there(gateway, "penstock-demo"))
    assert len(made.data[0]["embedding"]) > 10


async def test_other_apis() -> None:
    """The Responses API and the legacy completions."""
    async with serving_upstream(answer("Hello"), answer("Hello")) as (gateway, _):
        response = await litellm.aresponses(input=QUESTION, **there(gateway))
        completed = await litellm.atext_completion(
            prompt=QUESTION, **{**there(gateway), "model": "text-completion-openai/up"}
        )
    assert response.output_text == "Hello"
    assert completed.choices[0].text == "Hello"


@pytest.mark.parametrize(
    ("reply", "error"), [(LIMITED, litellm.RateLimitError), (REFUSED, litellm.BadRequestError)], ids=["429", "400"]
)
@pytest.mark.parametrize("streamed", [True, False])
async def test_an_error_before_the_answer(reply: Any, error: type[Exception], streamed: bool) -> None:
    """It is raised as LiteLLM's own class."""
    async with serving_upstream(reply) as (gateway, _):
        with pytest.raises(error):
            await litellm.acompletion(messages=ASKED, stream=streamed, **there(gateway))


async def test_an_error_inside_a_stream() -> None:
    """What was said arrives, then it is raised as LiteLLM's own."""
    words = []
    async with serving_upstream(BREAKS) as (gateway, _):
        stream = await litellm.acompletion(messages=ASKED, stream=True, **there(gateway))
        with pytest.raises(litellm.exceptions.MidStreamFallbackError) as raised:
            async for chunk in stream:
                words.append(chunk.choices[0].delta.content or "")
    assert "".join(words) == "Hel"
    assert "The upstream provider failed or is overloaded." in str(raised.value)
