"""Where a provider reports nothing, tokens are counted: by its own tokenizer, by tiktoken, or by characters."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncGenerator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from llm import CharacterCounter, ChatChunk, ChatRequest, Model, TiktokenCounter, TokenCounter, Usage
from llm.testing import ScriptedProvider
from llm.tokens.openai import FOLDER, LONGEST, VOCABULARIES, encoding_of

made = pytest.mark.skipif(
    find_spec("tiktoken") is None or not all((FOLDER / f"{name}.tiktoken").exists() for name in VOCABULARIES),
    reason="the vocabularies have not been made: make llm/tokens/vocabularies/o200k_base.tiktoken",
)
HELLO = ChatRequest("m", [{"role": "user", "content": "hello world"}])


class Counting(ScriptedProvider):
    """A provider that knows its tokenizer: a token a word."""

    async def count(self, model: str, request: ChatRequest, answer: str) -> Usage:
        return Usage.of(len(request.text.split()), len(answer.split()))


class Failing:
    """A provider whose tokenizer fails."""

    compares = True

    async def count(self, model: str, request: ChatRequest, answer: str) -> Usage:
        raise KeyError(model)

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def stream(self, model: str, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        yield ChatChunk()


async def test_a_provider_that_can_count_does() -> None:
    """Whatever it says of it, the count is an estimate, as nobody was billed by it."""
    assert isinstance(Counting.of(), TokenCounter)
    assert not isinstance(ScriptedProvider.of(), TokenCounter)
    assert await Model("m", Counting.of(), "theirs").count(HELLO, "a b c") == Usage.of(2, 3, estimated=True)


async def test_another_counter_can_be_plugged_in() -> None:
    """The one that a model is given goes before its provider's."""
    model = Model("m", Counting.of(), "theirs", counter=CharacterCounter())
    assert await model.count(HELLO, "abcde") == Usage.of(3, 2, estimated=True)


async def test_a_counter_that_fails_costs_no_answer() -> None:
    """Then characters are counted, four a token, and only those of text."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1000}}
    request = ChatRequest("m", [{"role": "user", "content": [{"type": "text", "text": "what"}, picture]}])
    assert await Model("m", Failing(), "theirs").count(request, "abcd") == Usage.of(1, 1, estimated=True)


async def test_without_vocabularies_characters_are_counted(tmp_path: Path) -> None:
    """Nothing is fetched."""
    assert await TiktokenCounter(folder=tmp_path).count("gpt-4o", HELLO, "abcd") == Usage.of(3, 1, estimated=True)


async def test_a_vocabulary_that_is_another_is_not_used(tmp_path: Path) -> None:
    """A file that was changed, or cut off, is refused, and characters are counted."""
    (tmp_path / "o200k_base.tiktoken").write_bytes(b"IQ== 0\n")
    counter = TiktokenCounter(folder=tmp_path)
    if find_spec("tiktoken") is not None:
        with pytest.raises(ValueError, match="not the vocabulary of o200k_base"):
            await counter.count("gpt-4o", HELLO, "")
    assert await Model("m", Failing(), "x", counter=counter).count(HELLO, "abcd") == Usage.of(3, 1, estimated=True)


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4o-mini", "o200k_base"),
        ("gpt-4.1", "o200k_base"),
        ("o3", "o200k_base"),
        ("gpt-5", "o200k_base"),
        ("openai/gpt-4", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo-0125", "cl100k_base"),
        ("llama-3.3-70b", "o200k_base"),
    ],
)
def test_the_name_of_a_model_says_its_encoding(model: str, encoding: str) -> None:
    """A stranger's gets the newest."""
    assert encoding_of(model) == encoding


def test_an_encoding_that_is_not_there_is_refused() -> None:
    """With those that are."""
    with pytest.raises(ValueError, match="o200k_base, cl100k_base"):
        TiktokenCounter("p50k_base")


COOKBOOK = [
    (
        "system",
        "",
        "You are a helpful, pattern-following assistant that translates corporate jargon into plain English.",
    ),
    ("system", "example_user", "New synergies will help drive top-line growth."),
    ("system", "example_assistant", "Things working well together will increase revenue."),
    (
        "system",
        "example_user",
        "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
    ),
    ("system", "example_assistant", "Let's talk later when we're less busy about how to do better."),
    (
        "user",
        "",
        "This late pivot means we don't have time to boil the ocean for the client deliverable.",
    ),
]


@made
@pytest.mark.parametrize(("model", "tokens"), [("gpt-4o", 124), ("gpt-4-0613", 129)])
async def test_tiktoken_counts_what_openai_bills(model: str, tokens: int) -> None:
    """The example of OpenAI's cookbook, with the counts that its API reported."""
    messages = [{"role": role, "content": text, **({"name": name} if name else {})} for role, name, text in COOKBOOK]
    usage = await TiktokenCounter().count(model, ChatRequest(model, messages), "<|endoftext|>")
    assert usage.prompt_tokens == tokens
    assert usage.completion_tokens > 1
    assert usage.estimated


@made
async def test_tools_and_their_calls_count() -> None:
    """As the JSON that they are."""
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
    call = {"id": "c", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Rome"}'}}
    bare = await TiktokenCounter().count("gpt-4o", HELLO, "")
    declared = await TiktokenCounter().count("gpt-4o", HELLO.having(tools=[tool]), "")
    called = HELLO.having([*HELLO.messages, {"role": "assistant", "content": None, "tool_calls": [call]}])
    assert bare.prompt_tokens < declared.prompt_tokens
    assert (await TiktokenCounter().count("gpt-4o", called, "")).prompt_tokens > bare.prompt_tokens + 3


@made
async def test_a_long_text_does_not_hold_up_the_loop() -> None:
    """While it is counted, others have their turn; one that is longer still is not encoded at all."""
    counter = TiktokenCounter()
    await counter.count("gpt-4o", HELLO, "")
    counting = asyncio.create_task(counter.count("gpt-4o", HELLO, "many words of text " * 50_000))
    turns = 0
    while not counting.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 3
    assert counting.result().completion_tokens > 190_000
    longest = await counter.count("gpt-4o", HELLO, "x" * (LONGEST + 4))
    assert longest.completion_tokens == (LONGEST + 4) // 4


@made
def test_a_counter_goes_to_other_processes() -> None:
    """As its name: what it has read stays behind."""
    counter = TiktokenCounter("cl100k_base")
    assert len(pickle.dumps(counter)) < 1000
    assert pickle.loads(pickle.dumps(counter)) == counter


@pytest.mark.parametrize(
    ("prompt", "given", "answer", "counted"),
    [
        ("one two", {}, "three", (2, 1)),
        ("one two", {"suffix": " four"}, "three", (3, 1)),
        ("one two", {"echo": True}, "one two three", (2, 1)),
        ([5, 6, 7], {}, "three", (3, 1)),
    ],
    ids=["a text", "a suffix", "an echo", "token ids"],
)
async def test_raw_prompts_are_counted_as_they_are(
    prompt: str | list[int], given: dict[str, Any], answer: str, counted: tuple[int, int]
) -> None:
    """There are no messages around them; an echo has not been written by the model."""

    class Completing(Counting):
        completes = True

        async def count(self, model: str, request: ChatRequest, answer: str) -> Usage:
            return Usage.of(10 + len(request.text.split()), len(answer.split()))

    model = Model("m", Completing.of(), "theirs")
    assert await model.count(ChatRequest.of_prompt("m", prompt, given), answer) == Usage.of(*counted, estimated=True)


def test_ids_count_where_there_is_no_time_to_count() -> None:
    """A call whose client has left is booked at once: four characters a token, and token ids as they are."""
    for prompt, tokens in (("a prompt", 2), ([5, 6, 7], 3)):
        request = ChatRequest.of_prompt("m", prompt)
        assert CharacterCounter().count_now(request, 9) == Usage.of(tokens, 3, estimated=True)
