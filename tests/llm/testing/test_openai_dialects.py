"""What the scripted upstream says is what OpenAI's own client understands."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from openai import AsyncOpenAI

from llm.testing import COMPLETIONS, RESPONSES, Call, ScriptedUpstream, embeddings
from llm.testing.upstream import Reply


@asynccontextmanager
async def client(*replies: Reply) -> AsyncGenerator[AsyncOpenAI, None]:
    """OpenAI's client of a scripted upstream."""
    async with (
        ScriptedUpstream(*replies) as server,
        AsyncOpenAI(base_url=server.base_url, api_key="sk-of-nobody", max_retries=0) as made,
    ):
        yield made


async def test_responses() -> None:
    """Streamed and whole, words and calls: the client's own helper puts the same response together."""
    calls = (Call("a", "f", '{"x":1}'), Call("b", "g", "{}"))
    streams = (RESPONSES.text("Hel", "lo"), RESPONSES.calls(*calls), RESPONSES.calls(*calls, whole=True))
    async with client(*streams, RESPONSES.answer("Hello", *calls)) as openai:
        made = []
        for _ in streams:
            deltas: dict[int, str] = {}
            async with openai.responses.stream(model="m", input="hi") as stream:
                async for event in stream:
                    if event.type in ("response.output_text.delta", "response.function_call_arguments.delta"):
                        deltas[event.output_index] = deltas.get(event.output_index, "") + event.delta
            made.append(list(deltas.values()))
        whole = await openai.responses.create(model="m", input="hi")
    assert made == [["Hello"], ['{"x":1}', "{}"], ['{"x":1}', "{}"]]
    assert whole.output_text == "Hello"
    assert [item.name for item in whole.output if item.type == "function_call"] == ["f", "g"]
    assert whole.usage is not None
    assert whole.usage.total_tokens == 10


async def test_completions() -> None:
    """Streamed and whole."""
    async with client(COMPLETIONS.text("Hel", "lo"), COMPLETIONS.answer("Hello")) as openai:
        stream = await openai.completions.create(model="m", prompt="hi", stream=True)
        texts = [chunk.choices[0].text async for chunk in stream if chunk.choices]
        whole = await openai.completions.create(model="m", prompt="hi")
    assert ("".join(texts), whole.choices[0].text) == ("Hello", "Hello")


async def test_embeddings() -> None:
    """In numbers, and in the base64 that the client asks for by itself."""
    async with client(embeddings([0.5, 1.0]), embeddings([0.5, 1.0], base64=True)) as openai:
        made = [await openai.embeddings.create(model="m", input="hi") for _ in range(2)]
    assert [each.data[0].embedding for each in made] == [[0.5, 1.0], [0.5, 1.0]]
