"""A recording of a provider answers as the provider did."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from llm import (
    ChatChunk,
    ChatRequest,
    EmbeddingProvider,
    EmbeddingRequest,
    ModelProvider,
    ScriptError,
    UpstreamRateLimited,
    Usage,
    collect,
)
from llm.providers.openai import OpenAIProvider
from llm.testing import (
    COMPLETIONS,
    OPENAI,
    Hang,
    RecordedProvider,
    ScriptedProvider,
    ScriptedUpstream,
    call,
    embeddings,
    fail,
    say,
)


def asked(text: str, **parameters: object) -> ChatRequest:
    return ChatRequest("m", [{"role": "user", "content": text}], dict(parameters), stream=True)


async def chunks_of(provider: ModelProvider, request: ChatRequest) -> list[ChatChunk]:
    chunks = []
    async with aclosing(provider.stream("m", request)) as stream:
        async for chunk in stream:
            chunks.append(chunk)
    return chunks


async def test_chunks_are_recorded_once_and_replayed_without_the_provider(tmp_path: Path) -> None:
    """Chunk by chunk as they came over a socket, finish reason and usage included; the file holds no key."""
    path = tmp_path / "recordings" / "a.jsonl"
    async with ScriptedUpstream(
        OPENAI.text("Hel", "lo"), OPENAI.error(429, "slowly", {"retry-after": "3"})
    ) as upstream:
        provider = RecordedProvider(path, OpenAIProvider(upstream.base_url, "sk-secret"))
        assert provider.records
        await provider.start()
        live = await chunks_of(provider, asked("hi", temperature=0.5))
        with pytest.raises(UpstreamRateLimited):
            await chunks_of(provider, asked("again"))
        await provider.close()
    assert "sk-secret" not in path.read_text()
    with RecordedProvider(path) as replayed:
        assert not replayed.records
        await replayed.start()
        assert await chunks_of(replayed, asked("hi", temperature=0.5)) == live
        with pytest.raises(UpstreamRateLimited, match="rate limit") as raised:
            await chunks_of(replayed, asked("again"))
        assert (raised.value.retry_after, raised.value.upstream_status) == (3.0, 429)
        await replayed.close()


async def test_where_the_file_is_the_provider_is_not_touched(tmp_path: Path) -> None:
    """The same line of a test records the first time and replays every other time."""
    path = tmp_path / "a.jsonl"
    usage = Usage(1, 2, 3, {"prompt_tokens_details": {"cached_tokens": 1}})
    real = ScriptedProvider.of(call("weather", {"city": "Rome"}, usage=usage), compares=False)
    completions = []
    for _ in range(2):
        provider = RecordedProvider(path, real)
        completions.append(await collect(provider.stream("m", asked("Rome?"))))
        await provider.close()
    assert completions[0] == completions[1]
    assert (len(real.requests), provider.compares) == (1, False)


async def test_equal_requests_are_answered_in_their_order(tmp_path: Path) -> None:
    """Others may be asked in any order."""
    path = tmp_path / "a.jsonl"
    provider = RecordedProvider(path, ScriptedProvider.of(say("one"), say("two"), say("three")))
    for text in ("same", "same", "other"):
        await chunks_of(provider, asked(text))
    await provider.close()
    with RecordedProvider(path) as replayed:
        texts = [(await collect(replayed.stream("m", asked(text)))).content for text in ("other", "same", "same")]
    assert texts == ["three", "one", "two"]


async def test_what_is_not_in_the_recording_is_told_by_its_difference(tmp_path: Path) -> None:
    """Which member differs, or that everything has been asked already; and at the end what was not."""
    path = tmp_path / "a.jsonl"
    provider = RecordedProvider(path, ScriptedProvider.of(say("x")))
    await chunks_of(provider, asked("hi", seed=1))
    await provider.close()
    with pytest.raises(ScriptError, match="1 recorded answers were never asked for"), RecordedProvider(path):
        pass
    with RecordedProvider(path) as replayed:
        with pytest.raises(ScriptError, match="its seed is 2, recorded next is 1; delete the file to record again"):
            await chunks_of(replayed, asked("hi", seed=2))
        with pytest.raises(ScriptError, match="model 'n' was asked, the recording goes on with 'm'"):
            await collect(replayed.stream("n", asked("hi", seed=1)))
        await chunks_of(replayed, asked("hi", seed=1))
        with pytest.raises(ScriptError, match="the recording is used up, and 'm' was asked"):
            await chunks_of(replayed, asked("hi", seed=1))


async def test_an_answer_that_was_left_ends_where_it_was_left(tmp_path: Path) -> None:
    """Whoever leaves at the same chunk notices nothing; whoever goes on is told."""
    path = tmp_path / "a.jsonl"
    real = ScriptedProvider.of(say("a b c"), fail(UpstreamRateLimited("x"), after="a b"))
    provider = RecordedProvider(path, real)
    async with aclosing(provider.stream("m", asked("hi"))) as stream:
        assert (await anext(stream)).content == "a "
    assert real.closed == 1
    with pytest.raises(UpstreamRateLimited):
        await chunks_of(provider, asked("hi"))
    await provider.close()
    with RecordedProvider(path) as replayed:
        with pytest.raises(ScriptError, match="the recording ends here"):
            await chunks_of(replayed, asked("hi"))
        with pytest.raises(UpstreamRateLimited):
            await chunks_of(replayed, asked("hi"))


async def test_embeddings_are_recorded_and_replayed(tmp_path: Path) -> None:
    """Beside chats, over a socket, errors too; vectors are the same numbers."""
    path = tmp_path / "a.jsonl"
    texts, ids = EmbeddingRequest(["a", "b"], {"dimensions": 2}), EmbeddingRequest([[1, 2]])
    made = []
    replies = (embeddings([0.5, 1.0], [0.1, 2.0], base64=True), OPENAI.text("Hi"), embeddings([3.0]), OPENAI.error(429))
    async with ScriptedUpstream(*replies) as upstream:
        for _ in range(2):
            provider = RecordedProvider(path, OpenAIProvider(upstream.base_url, "sk-secret"))
            assert isinstance(provider, EmbeddingProvider)
            made.append([await provider.embed("m", texts)])
            await chunks_of(provider, asked("hi"))
            made[-1].append(await provider.embed("m", ids))
            with pytest.raises(UpstreamRateLimited):
                await provider.embed("m", texts)
            await provider.close()
    assert made[0] == made[1]
    assert [each.vectors[-1][-1] for each in made[0]] == [2.0, 3.0]
    assert isinstance(RecordedProvider(path), EmbeddingProvider)
    with pytest.raises(ScriptError, match=r'its input is \["c"\], recorded next is \["a","b"\]'):
        await RecordedProvider(path).embed("m", EmbeddingRequest(["c"], {"dimensions": 2}))


async def test_embeddings_that_nobody_waited_for_are_not_replayed(tmp_path: Path) -> None:
    """Who was cancelled has no answer in the file."""
    path = tmp_path / "a.jsonl"
    async with ScriptedUpstream(Hang()) as upstream:
        provider = RecordedProvider(path, OpenAIProvider(upstream.base_url))
        task = asyncio.ensure_future(provider.embed("m", EmbeddingRequest(["a"])))
        while not upstream.received:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await provider.close()
    with pytest.raises(ScriptError, match="the recording ends here"):
        await RecordedProvider(path).embed("m", EmbeddingRequest(["a"]))


async def test_it_can_what_the_provider_can(tmp_path: Path) -> None:
    """It embeds only where the provider or the file does; raw prompts are told from chats of the same words."""
    path = tmp_path / "a.jsonl"
    plain = RecordedProvider(path, ScriptedProvider.of(say("x")))
    assert (isinstance(plain, EmbeddingProvider), plain.completes) == (False, False)
    async with ScriptedUpstream(COMPLETIONS.text("one"), OPENAI.text("two")) as upstream:
        provider = RecordedProvider(path, OpenAIProvider(upstream.base_url, completions=True))
        for request in (ChatRequest.of_prompt("m", "hi", stream=True), asked("hi")):
            await chunks_of(provider, request)
        await provider.close()
    replayed = RecordedProvider(path, completes=True)
    assert (replayed.completes, isinstance(replayed, EmbeddingProvider)) == (True, False)
    assert (await collect(replayed.stream("m", asked("hi")))).content == "two"
    assert (await collect(replayed.stream("m", ChatRequest.of_prompt("m", "hi", stream=True)))).content == "one"


def test_files_that_are_no_recordings_are_refused(tmp_path: Path) -> None:
    """Also a file that is not there, when nobody could record it."""
    path = tmp_path / "a.jsonl"
    with pytest.raises(ScriptError, match="there is no such recording, and no provider to record"):
        RecordedProvider(path)
    for content in ("x", '{"y": 1}', "[]"):
        path.write_text(content)
        with pytest.raises(ScriptError, match="this is no recording; delete it"):
            RecordedProvider(path)
