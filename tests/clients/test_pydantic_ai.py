"""pydantic-ai's agents over ``OpenAIProvider``, with only the base URL and a key set."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from pydantic_ai import Agent, Embedder, NativeOutput, PromptedOutput
from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from llm.testing import OPENAI, embeddings
from llm.testing.dialect import Call
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


def provider(gateway: Gateway) -> OpenAIProvider:
    """The provider; without retries, so that errors come at once."""
    client = openai.AsyncOpenAI(base_url=f"{gateway.address}/v1", api_key="none", max_retries=0)
    return OpenAIProvider(openai_client=client)


def agent(gateway: Gateway, model: str = "up", **options: Any) -> Agent[None, Any]:
    """An agent that chats with a model."""
    return Agent(OpenAIChatModel(model, provider=provider(gateway)), **options)


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"-3 in {city}"


async def test_chat() -> None:
    """Whole and streamed: words and usage; here with nothing but a base URL and a key."""
    async with serving_upstream(answer("Hello"), GREETING) as (gateway, _):
        plain = OpenAIProvider(base_url=f"{gateway.address}/v1", api_key="none")
        whole = await Agent(OpenAIChatModel("up", provider=plain)).run(QUESTION)
        async with agent(gateway).run_stream(QUESTION) as stream:
            words = [word async for word in stream.stream_text(delta=True, debounce_by=None)]
        usage = stream.usage
    assert whole.output == "Hello"
    assert words == ["Hel", "lo"]
    assert (whole.usage.total_tokens, usage.total_tokens) == (10, 10)


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_loop_of_tools(streamed: bool) -> None:
    """The agent calls its tool and answers."""
    replies = (STREAMS_ITS_ASKING, OPENAI.text("Cold.")) if streamed else (ASKS_FOR_WEATHER, answer("Cold."))
    async with serving_upstream(*replies) as (gateway, upstream):
        planner = agent(gateway, tools=[get_weather])
        if streamed:
            async with planner.run_stream(QUESTION) as stream:
                said = await stream.get_output()
        else:
            said = (await planner.run(QUESTION)).output
    assert said == "Cold."
    messages = upstream.received[1].body["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool"]
    assert messages[-1]["content"] == "-3 in Oslo"


@pytest.mark.parametrize("kind", ["tool", "native", "prompted"])
async def test_structured_output(kind: str) -> None:
    """In each of pydantic-ai's ways."""
    wanted: Any = {"tool": Stay, "native": NativeOutput(Stay), "prompted": PromptedOutput(Stay)}[kind]
    call = Call("c", "final_result", '{"city": "Oslo", "days": 3}')
    reply = OPENAI.answer("", call, finish_reason="tool_calls") if kind == "tool" else STAY
    async with serving_upstream(reply) as (gateway, _):
        made = await agent(gateway, output_type=wanted).run(QUESTION)
    assert made.output == Stay(city="Oslo", days=3)


async def test_embeddings() -> None:
    """Vectors of a model upstream, and of the embedded one."""
    async with serving_upstream(embeddings([0.5, 0.25], [0.0, 1.0])) as (gateway, _):
        maker = Embedder(OpenAIEmbeddingModel("up", provider=provider(gateway)))
        made = await maker.embed_documents(["a", "b"])
    assert [list(vector) for vector in made.embeddings] == [[0.5, 0.25], [0.0, 1.0]]
    async with serving() as gateway:
        maker = Embedder(OpenAIEmbeddingModel("penstock-demo", provider=provider(gateway)))
        assert len((await maker.embed_query("weather")).embeddings[0]) > 10


async def test_the_responses_api() -> None:
    """Whole, and with a tool."""
    async with serving_upstream(ASKS_FOR_WEATHER, answer("Cold.")) as (gateway, _):
        model = OpenAIResponsesModel("up", provider=provider(gateway))
        made = await Agent(model, tools=[get_weather]).run(QUESTION)
    assert made.output == "Cold."


@pytest.mark.parametrize(("reply", "status"), [(LIMITED, 429), (REFUSED, 400)], ids=["429", "400"])
@pytest.mark.parametrize("streamed", [True, False])
async def test_an_error_before_the_answer(reply: Any, status: int, streamed: bool) -> None:
    """It is raised as pydantic-ai's own, with the status and the words."""
    async with serving_upstream(reply) as (gateway, _):
        with pytest.raises(ModelHTTPError) as raised:
            if streamed:
                async with agent(gateway).run_stream(QUESTION):
                    pass
            else:
                await agent(gateway).run(QUESTION)
    assert raised.value.status_code == status


async def test_an_error_inside_a_stream() -> None:
    """What was said arrives, then it is raised."""
    words = []
    async with serving_upstream(BREAKS) as (gateway, _):
        with pytest.raises((ModelAPIError, openai.APIError)):
            async with agent(gateway).run_stream(QUESTION) as stream:
                async for word in stream.stream_text(delta=True, debounce_by=None):
                    words.append(word)
    assert "".join(words) == "Hel"
