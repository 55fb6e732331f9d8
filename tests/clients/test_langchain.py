"""LangChain's ``ChatOpenAI`` and ``OpenAIEmbeddings``, with only the base URL, a key and a model set."""

from __future__ import annotations

import asyncio
from hashlib import sha1
from pathlib import Path
from shutil import copyfile
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from llm.testing import embeddings
from llm.testing.upstream import answer
from llm.tokens.openai import FOLDER
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


def chat(gateway: Gateway, model: str = "up", **options: Any) -> ChatOpenAI:
    """A chat model; without retries, so that errors come at once."""
    return ChatOpenAI(base_url=f"{gateway.address}/v1", api_key="none", model=model, max_retries=0, **options)


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"-3 in {city}"


WEATHER = tool(get_weather)


async def test_chat() -> None:
    """Whole and streamed: words, end and usage; LangChain asks for the usage of a stream by itself."""
    async with serving_upstream(answer("Hello"), GREETING) as (gateway, _):
        whole = await chat(gateway).ainvoke(QUESTION)
        chunks = [chunk async for chunk in chat(gateway, stream_usage=True).astream(QUESTION)]
    total = AIMessageChunk(content="")
    for chunk in chunks:
        total += chunk
    assert (whole.content, total.content) == ("Hello", "Hello")
    assert [chunk.content for chunk in chunks if chunk.content] == ["Hel", "lo"]
    for message in (whole, total):
        assert message.usage_metadata is not None
        assert message.usage_metadata["total_tokens"] == 10
        assert message.response_metadata["finish_reason"] == "stop"
        assert message.response_metadata["model_name"] == "up"


async def test_the_synchronous_methods() -> None:
    """The same from a thread."""

    def talk(gateway: Gateway) -> tuple[Any, list[Any]]:
        return chat(gateway).invoke(QUESTION).content, [chunk.content for chunk in chat(gateway).stream(QUESTION)]

    async with serving_upstream(answer("Hello"), GREETING) as (gateway, _):
        whole, words = await asyncio.to_thread(talk, gateway)
    assert (whole, "".join(words)) == ("Hello", "Hello")


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_loop_of_tools(streamed: bool) -> None:
    """A call, LangChain's own tool, its result, an answer."""
    replies = (STREAMS_ITS_ASKING if streamed else ASKS_FOR_WEATHER, answer("Cold."))
    async with serving_upstream(*replies) as (gateway, upstream):
        model = chat(gateway).bind_tools([WEATHER])
        messages: list[Any] = [HumanMessage(QUESTION)]
        if streamed:
            said: Any = AIMessageChunk(content="")
            async for chunk in model.astream(messages):
                said += chunk
        else:
            said = await model.ainvoke(messages)
        messages += [said, *[await WEATHER.ainvoke(call) for call in said.tool_calls]]
        last = await model.ainvoke(messages)
    assert isinstance(messages[-1], ToolMessage)
    assert messages[-1].content == "-3 in Oslo"
    assert last.content == "Cold."
    assert [message["role"] for message in upstream.received[1].body["messages"]] == ["user", "assistant", "tool"]


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
async def test_structured_output(method: Any) -> None:
    """In each of LangChain's ways."""
    called = {"id": "c", "type": "function", "function": {"name": "Stay", "arguments": '{"city": "Oslo", "days": 3}'}}
    reply = answer("", tool_calls=[called]) if method == "function_calling" else STAY
    async with serving_upstream(reply) as (gateway, _):
        made = await chat(gateway).with_structured_output(Stay, method=method).ainvoke(QUESTION)
    assert made == Stay(city="Oslo", days=3)


async def test_embeddings_of_a_model_upstream() -> None:
    """Its vectors arrive in order."""
    async with serving_upstream(embeddings([0.5, 0.25], [0.0, 1.0])) as (gateway, _):
        maker = OpenAIEmbeddings(
            base_url=f"{gateway.address}/v1", api_key="none", model="up", check_embedding_ctx_length=False
        )
        assert await maker.aembed_documents(["a", "b"]) == [[0.5, 0.25], [0.0, 1.0]]


async def test_the_responses_api() -> None:
    """LangChain can ask it too."""
    async with serving_upstream(answer("Hello"), GREETING) as (gateway, _):
        model = chat(gateway, use_responses_api=True)
        whole = await model.ainvoke(QUESTION)
        words = [chunk.text async for chunk in model.astream(QUESTION)]
    assert whole.text == "Hello"
    assert "".join(words) == "Hello"


@pytest.mark.parametrize(
    ("reply", "error"), [(LIMITED, openai.RateLimitError), (REFUSED, openai.BadRequestError)], ids=["429", "400"]
)
@pytest.mark.parametrize("streamed", [True, False])
async def test_an_error_before_the_answer(reply: Any, error: type[Exception], streamed: bool) -> None:
    """It is raised as the class that LangChain hands on."""
    async with serving_upstream(reply) as (gateway, _):
        with pytest.raises(error):
            if streamed:
                [chunk async for chunk in chat(gateway).astream(QUESTION)]
            else:
                await chat(gateway).ainvoke(QUESTION)


async def test_an_error_inside_a_stream() -> None:
    """What was said arrives, then it is raised."""
    words: list[Any] = []
    async with serving_upstream(BREAKS) as (gateway, _):
        with pytest.raises(openai.APIError) as raised:
            async for chunk in chat(gateway).astream(QUESTION):
                words.append(chunk.content)
    assert "".join(words) == "Hel"
    assert raised.value.code == "upstream_unavailable"


async def test_embeddings_as_they_are_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LangChain then sends token ids, which it makes with a vocabulary of OpenAI's whatever the model is."""
    address = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"
    copyfile(FOLDER / "cl100k_base.tiktoken", tmp_path / sha1(address.encode()).hexdigest())
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    async with serving() as gateway:
        to = {"base_url": f"{gateway.address}/v1", "api_key": "none", "model": "penstock-demo"}
        ids = await OpenAIEmbeddings(**to).aembed_documents(["weather in Lisbon", "hello"])
        texts = await OpenAIEmbeddings(**to, check_embedding_ctx_length=False).aembed_documents(
            ["weather in Lisbon", "hello"]
        )
    assert [pytest.approx(vector) for vector in ids] == texts
