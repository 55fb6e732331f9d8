"""Faults around a provider: each does what it says, and nothing else changes."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from itertools import islice, repeat

import pytest

from llm import (
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    EmbeddingProvider,
    EmbeddingRequest,
    UpstreamBrokeOff,
    UpstreamUnavailable,
    collect,
)
from llm.providers.openai import OpenAIProvider
from llm.testing import (
    OPENAI,
    Call,
    Fault,
    FaultyProvider,
    Pause,
    ScriptedProvider,
    ScriptedUpstream,
    broken,
    call,
    cut,
    hanging,
    late,
    say,
    sometimes,
    split,
    vectors,
)

ASKED = ChatRequest.of_text("m", "hi")


async def heard(provider: FaultyProvider) -> tuple[list[ChatChunk], Exception | None]:
    """The chunks of one answer, and the error that ended it."""
    chunks: list[ChatChunk] = []
    try:
        async with aclosing(provider.stream("m", ASKED)) as stream:
            async for chunk in stream:
                chunks.append(chunk)
    except Exception as error:
        return chunks, error
    return chunks, None


async def test_faults_come_one_a_call_and_then_no_more() -> None:
    """None is a call without a fault; before the first chunk the provider is not even asked."""
    real = ScriptedProvider.of(say("a b c"), say("a b c"), say("d"))
    down = UpstreamUnavailable("down")
    provider = FaultyProvider(real, [broken(down), None, cut(after=2)])
    assert await heard(provider) == ([], down)
    assert real.requests == []
    whole, error = await heard(provider)
    assert (len(whole), error) == (5, None)
    part, error = await heard(provider)
    assert ([chunk.content for chunk in part], type(error)) == (["a ", "b "], UpstreamBrokeOff)
    assert real.closed == 1
    assert ChatCompletion.of((await heard(provider))[0]).content == "d"
    assert provider.calls == 4


async def test_an_answer_that_is_shorter_fails_at_its_end() -> None:
    """A fault never goes missing."""
    chunks, error = await heard(FaultyProvider(ScriptedProvider.of(say("a")), [cut(after=99)]))
    assert (len(chunks), type(error)) == (3, UpstreamBrokeOff)


async def test_latency_before_the_first_chunk_and_between_chunks() -> None:
    """In seconds, by the sleep that it is given; or until an event."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    pause = Pause()
    real = ScriptedProvider.of(say("a b"), say("c"))
    provider = FaultyProvider(real, [late(2.0, chunk_latency=0.5), late(pause)], sleep)
    await heard(provider)
    assert slept == [2.0, 0.5, 0.5, 0.5]
    waiting = asyncio.ensure_future(heard(provider))
    await asyncio.sleep(0)
    assert (waiting.done(), len(real.requests)) == (False, 1)
    pause.set()
    assert ChatCompletion.of((await waiting)[0]).content == "c"


@pytest.mark.parametrize("after", [0, 1])
async def test_a_hanging_answer_ends_when_its_listener_leaves(after: int) -> None:
    """Nothing of it stays behind."""
    real = ScriptedProvider.of(say("a b"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await collect(FaultyProvider(real, [hanging(after=after)]).stream("m", ASKED))
    assert (len(real.requests), real.closed) == (after, after)


async def test_the_same_answer_in_other_chunks() -> None:
    """Characters, one text, or empty chunks between: what is collected is the same."""
    turn = call("weather", {"city": "Rome"}, ("time", {}))
    for fault in (split(), split(3), Fault(whole=True), Fault(empty=True), Fault(whole=True, split=2, empty=True)):
        for script in (say("The sun. "), turn):
            plain = ChatCompletion.of(script.chunks)
            chunks, _ = await heard(FaultyProvider(ScriptedProvider.of(script), [fault]))
            assert ChatCompletion.of(chunks) == plain or ChatCompletion.of(chunks).message() == plain.message()
            assert ChatCompletion.of(chunks).usage == plain.usage
    chunks, _ = await heard(FaultyProvider(ScriptedProvider.of(say("abc de")), [split(2)]))
    assert [chunk.content for chunk in chunks] == ["ab", "c ", "de", None, None]
    chunks, _ = await heard(FaultyProvider(ScriptedProvider.of(say("abc de")), [Fault(whole=True)]))
    assert [chunk.content for chunk in chunks] == ["abc de", None, None]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
async def test_bytes_of_an_upstream_in_any_parts(size: int) -> None:
    """A stream that is split at any byte is the same stream."""
    script = OPENAI.calls(Call("c1", "weather", '{"city":"Zürich"}')).split(size)
    async with ScriptedUpstream(script) as upstream:
        provider = OpenAIProvider(upstream.base_url, "sk-of-nobody")
        answer = await collect(provider.stream("m", ChatRequest("m", ASKED.messages, stream=True)))
        await provider.close()
    assert answer.tool_calls[0].arguments == '{"city":"Zürich"}'


def test_some_calls_fail_the_same_ones_for_the_same_seed() -> None:
    """So that a test that fails can be run again."""
    fault = cut()
    one, other = (list(islice(sometimes(fault, 0.3, seed=7), 200)) for _ in range(2))
    assert one == other
    assert 30 < one.count(fault) < 90


TEXTS = EmbeddingRequest(["a", "b"])


async def test_faults_of_embeddings() -> None:
    """They take their turn among those of chats: latency, and errors before the provider is asked or after it was."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    down = UpstreamUnavailable("down")
    real = ScriptedProvider.of(vectors([1.0], [2.0]), say("x"), vectors([1.0], [2.0]))
    provider = FaultyProvider(real, [broken(down), late(2.0), None, cut(after=1)], sleep)
    assert isinstance(provider, EmbeddingProvider)
    with pytest.raises(UpstreamUnavailable):
        await provider.embed("m", TEXTS)
    assert real.embedding_requests == []
    assert (await provider.embed("m", TEXTS)).vectors == [[1.0], [2.0]]
    await heard(provider)
    with pytest.raises(UpstreamBrokeOff):
        await provider.embed("m", TEXTS)
    assert (slept, provider.calls, real.script) == ([2.0], 4, [])


async def test_embeddings_that_hang_end_when_their_listener_leaves() -> None:
    """Before the provider is asked."""
    real = ScriptedProvider.of(vectors([1.0], [2.0]))
    provider = FaultyProvider(real, [hanging()])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await provider.embed("m", TEXTS)
    assert real.embedding_requests == []


def test_it_can_what_the_provider_can() -> None:
    """It embeds, and goes on with raw prompts, only where the provider does."""
    plain = FaultyProvider(ScriptedProvider.of(say("x")))
    assert (isinstance(plain, EmbeddingProvider), plain.completes) == (False, False)
    real = FaultyProvider(OpenAIProvider("http://127.0.0.1:1/v1", completions=True))
    assert (isinstance(real, EmbeddingProvider), real.completes) == (True, True)


async def test_a_fault_for_every_call() -> None:
    """An endless iterable; the provider's own start and close go through."""
    provider = FaultyProvider(ScriptedProvider.of(compares=False), repeat(broken(UpstreamUnavailable("down"))))
    await provider.start()
    assert [type((await heard(provider))[1]) for _ in range(3)] == [UpstreamUnavailable] * 3
    await provider.close()
    assert provider.compares is False


def test_numbers_below_zero_are_refused() -> None:
    """They would never come."""
    with pytest.raises(ValueError, match="from 0 on"):
        cut(after=-1)
