"""LlamaIndex's ``OpenAILike`` and ``OpenAILikeEmbedding``, with the base URL, a key and a model set."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike

from llm.testing import embeddings
from llm.testing.upstream import answer
from tests.clients.scripts import (
    ASKS_FOR_WEATHER,
    BREAKS,
    GREETING,
    LIMITED,
    QUESTION,
    REFUSED,
    STAY,
    STREAMS_ITS_ASKING,
    Stay,
)
from tests.serving import Gateway, serving, serving_upstream

ASKED = [ChatMessage(role="user", content=QUESTION)]


def llm(gateway: Gateway, model: str = "up", **options: Any) -> OpenAILike:
    """A model that chats; without retries, so that errors come at once."""
    settings = {"api_base": f"{gateway.address}/v1", "api_key": "none", "model": model, "max_retries": 0}
    return OpenAILike(**{**settings, "is_chat_model": True, **options})


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"-3 in {city}"


async def test_chat() -> None:
    """Whole and streamed: words, end and usage."""
    async with serving_upstream(answer("Hello"), GREETING) as (gateway, _):
        whole = await llm(gateway).achat(ASKED)
        chunks = [chunk async for chunk in await llm(gateway).astream_chat(ASKED)]
    assert whole.message.content == "Hello"
    assert whole.raw.usage.total_tokens == 10
    assert [chunk.delta for chunk in chunks if chunk.delta] == ["Hel", "lo"]
    assert chunks[-1].message.content == "Hello"


async def test_the_usage_of_a_stream() -> None:
    """Once it is asked for."""
    options: Any = {"additional_kwargs": {"stream_options": {"include_usage": True}}}
    async with serving_upstream(GREETING) as (gateway, _):
        chunks = [chunk async for chunk in await llm(gateway, **options).astream_chat(ASKED)]
    assert chunks[-1].raw.usage.total_tokens == 10


async def test_a_model_that_is_not_said_to_chat() -> None:
    """LlamaIndex then asks the legacy completions, which every model answers too."""
    async with serving_upstream(answer("Hello"), GREETING) as (gateway, _):
        model = llm(gateway, is_chat_model=False)
        whole = await model.acomplete(QUESTION)
        chunks = [chunk.delta async for chunk in await model.astream_complete(QUESTION)]
    assert whole.text == "Hello"
    assert "".join(map(str, chunks)) == "Hello"


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_loop_of_tools(streamed: bool) -> None:
    """A call, LlamaIndex's own tool, its result, an answer."""
    replies = (STREAMS_ITS_ASKING if streamed else ASKS_FOR_WEATHER, answer("Cold."))
    tool = FunctionTool.from_defaults(get_weather)
    async with serving_upstream(*replies) as (gateway, upstream):
        model = llm(gateway, is_function_calling_model=True)
        if streamed:
            parts = [part async for part in await model.astream_chat_with_tools([tool], chat_history=ASKED)]
            said = parts[-1]
        else:
            said = await model.achat_with_tools([tool], chat_history=ASKED)
        calls = model.get_tool_calls_from_response(said)
        results = [
            ChatMessage(
                role="tool",
                content=str(tool(**call.tool_kwargs)),
                additional_kwargs={"tool_call_id": call.tool_id},
            )
            for call in calls
        ]
        last = await model.achat_with_tools([tool], chat_history=[*ASKED, said.message, *results])
    assert [result.content for result in results] == ["-3 in Oslo"]
    assert last.message.content == "Cold."
    assert [message["role"] for message in upstream.received[1].body["messages"]] == ["user", "assistant", "tool"]


async def test_structured_output() -> None:
    """By a schema."""
    async with serving_upstream(STAY) as (gateway, upstream):
        model = llm(gateway, should_use_structured_outputs=True).as_structured_llm(Stay)
        made = await model.achat(ASKED)
    assert made.raw == Stay(city="Oslo", days=3)
    assert upstream.received[0].body["response_format"]["type"] == "json_schema"


async def test_embeddings() -> None:
    """Of a model upstream, and of the embedded one."""
    async with serving_upstream(embeddings([0.5, 0.25], [0.0, 1.0])) as (gateway, _):
        maker = OpenAILikeEmbedding(model_name="up", api_base=f"{gateway.address}/v1", api_key="none")
        assert await maker.aget_text_embedding_batch(["a", "b"]) == [[0.5, 0.25], [0.0, 1.0]]
    async with serving() as gateway:
        maker = OpenAILikeEmbedding(model_name="penstock-demo", api_base=f"{gateway.address}/v1", api_key="none")
        assert len(await maker.aget_query_embedding("weather")) > 10


@pytest.mark.parametrize(
    ("reply", "error"), [(LIMITED, openai.RateLimitError), (REFUSED, openai.BadRequestError)], ids=["429", "400"]
)
@pytest.mark.parametrize("streamed", [True, False])
async def test_an_error_before_the_answer(reply: Any, error: type[Exception], streamed: bool) -> None:
    """It is raised as the class that LlamaIndex hands on."""
    async with serving_upstream(reply) as (gateway, _):
        with pytest.raises(error):
            if streamed:
                [chunk async for chunk in await llm(gateway).astream_chat(ASKED)]
            else:
                await llm(gateway).achat(ASKED)


async def test_an_error_inside_a_stream() -> None:
    """What was said arrives, then it is raised."""
    words: list[Any] = []
    async with serving_upstream(BREAKS) as (gateway, _):
        with pytest.raises(openai.APIError) as raised:
            async for chunk in await llm(gateway).astream_chat(ASKED):
                words.append(chunk.delta or "")
    assert "".join(words) == "Hel"
    assert raised.value.code == "upstream_unavailable"
