"""Models of transformers' in this process, on the project's own model: text, tools, stops, seeds, batches, leaving."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from llm import (
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    ContextLengthExceeded,
    EmbeddingProvider,
    EmbeddingRequest,
    InvalidRequest,
    ModelNotLoaded,
    UpstreamUnavailable,
    collect,
)
from llm.embedded import FOLDER
from llm.huggingface import Row, Runtime, Sampling, run
from llm.providers.huggingface import HuggingFaceProvider

torch = pytest.importorskip("torch", reason="needs the extra huggingface")
transformers = pytest.importorskip("transformers", reason="needs the extra huggingface")
pytestmark = [
    pytest.mark.huggingface,
    pytest.mark.filterwarnings("default"),  # those of torch and transformers are not ours
]
WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"properties": {"location": {}, "date": {}}}},
}
PAINT, CLOCK = (
    {"type": "function", "function": function}
    for function in (
        {
            "name": "paint",
            "parameters": {
                "type": "object",
                "properties": {"colour": {"enum": ["red", "blue"]}, "coats": {"type": "integer", "maximum": 9}},
                "required": ["colour"],
            },
        },
        {"name": "now"},
    )
)
ASKED = "What is the weather in Lisbon on 14 May?"
TRIP = "Plan a trip to Lisbon on 14 May"


@pytest.fixture
async def provider() -> AsyncGenerator[HuggingFaceProvider, None]:
    made = HuggingFaceProvider(str(FOLDER), max_batch=4, max_tokens=64)
    await made.start()
    yield made
    await made.close()


def asked(text: str = TRIP, **parameters: Any) -> ChatRequest:
    return ChatRequest("m", [{"role": "user", "content": text}], parameters, stream=True)


async def chunks_of(provider: HuggingFaceProvider, request: ChatRequest) -> list[ChatChunk]:
    async with aclosing(provider.stream("m", request)) as chunks:
        return [chunk async for chunk in chunks]


async def answered(provider: HuggingFaceProvider, text: str = TRIP, **parameters: Any) -> ChatCompletion:
    return await collect(provider.stream("m", asked(text, **parameters)))


async def test_text_comes_in_pieces_with_its_usage(provider: HuggingFaceProvider) -> None:
    """Chunks make the text that generate() makes; tokens are counted by the model's own tokenizer."""
    chunks = await chunks_of(provider, asked())
    completion = ChatCompletion.of(chunks)
    assert len(chunks) > 5
    runtime = Runtime.load(str(FOLDER))
    prompt = runtime.prompt([{"role": "user", "content": TRIP}], [])
    made = runtime.model.generate(runtime.tensor([prompt]), max_new_tokens=64, do_sample=False)[0][len(prompt) :]
    assert completion.content == runtime.tokenizer.decode(made, skip_special_tokens=True)
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (len(prompt), len(made))
    assert completion.usage.source == "real"


async def test_a_tool_call_and_its_way_back(provider: HuggingFaceProvider) -> None:
    """The call comes with its own id and JSON arguments, and no marker in the text."""
    first = await answered(provider, ASKED, tools=[WEATHER])
    assert first.finish_reason == "tool_calls"
    assert first.content == ""
    assert [call.name for call in first.tool_calls] == ["get_weather"]
    assert "Lisbon" in first.tool_calls[0].arguments
    result = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": '{"temperature": 20}'}
    history = [{"role": "user", "content": [{"type": "text", "text": ASKED}]}, first.message(), result]
    second = await collect(provider.stream("m", ChatRequest("m", history, {"tools": [WEATHER]})))
    assert second.content


async def test_a_call_streams_while_it_is_written(provider: HuggingFaceProvider) -> None:
    """Its name comes first, in a chunk of its own, and its arguments follow in pieces."""
    chunks = await chunks_of(provider, asked(ASKED, tools=[WEATHER]))
    deltas = [delta for chunk in chunks for delta in chunk.tool_calls]
    assert (deltas[0].index, deltas[0].name, deltas[0].arguments) == (0, "get_weather", "")
    assert deltas[0].id
    assert len(deltas) > 3
    assert not any(delta.id or delta.name for delta in deltas[1:])


@pytest.mark.parametrize(
    ("tool_choice", "name"),
    [("required", None), ({"type": "function", "function": {"name": "now"}}, "now")],
    ids=["required", "by name"],
)
@pytest.mark.parametrize("temperature", [0, 2])
async def test_a_call_that_must_come(
    provider: HuggingFaceProvider, tool_choice: Any, name: str | None, temperature: float
) -> None:
    """Where the model would like to talk, and however hot: a call of a declared tool, its arguments by its schema."""
    tools = [CLOCK, PAINT]
    made = await answered(
        provider, "Hello!", tools=tools, tool_choice=tool_choice, temperature=temperature, seed=3, max_tokens=300
    )
    assert made.content == ""
    assert made.tool_calls
    assert name is None or [call.name for call in made.tool_calls] == [name]
    for call in made.tool_calls[: None if made.finish_reason == "tool_calls" else -1]:
        arguments = json.loads(call.arguments)
        assert arguments == {} if call.name == "now" else arguments["colour"] in {"red", "blue"}


async def test_none_is_no_call(provider: HuggingFaceProvider) -> None:
    """A model that would call is kept from it, and no marker is seen."""
    made = await answered(provider, ASKED, tools=[WEATHER], tool_choice="none")
    assert made.tool_calls == []
    assert made.content
    assert "tool_call" not in made.content


async def test_a_call_that_is_cut_off_says_so(provider: HuggingFaceProvider) -> None:
    """The reason is the length, whatever was begun."""
    made = await answered(provider, tools=[PAINT], tool_choice="required", max_tokens=12)
    assert made.finish_reason == "length"
    assert made.content == ""


async def test_counting_what_was_not_reported(provider: HuggingFaceProvider) -> None:
    """By the model's own tokenizer and template, with the tools, as an estimate; the same for the same."""
    made = await answered(provider, ASKED, tools=[WEATHER], tool_choice="none", max_tokens=8)
    assert made.usage
    bare = await provider.count("m", asked(ASKED), made.content)
    tools = await provider.count("m", asked(ASKED, tools=[WEATHER]), made.content)
    assert (bare.prompt_tokens, bare.completion_tokens) == (made.usage.prompt_tokens, made.usage.completion_tokens)
    assert tools.prompt_tokens > bare.prompt_tokens
    assert bare.source == tools.source == "estimated"


async def test_nothing_is_counted_before_it_is_loaded() -> None:
    """Who asks counts characters then; a count does not load a model."""
    early = HuggingFaceProvider(str(FOLDER))
    try:
        with pytest.raises(ModelNotLoaded):
            await early.count("m", asked(), "")
    finally:
        await early.close()


@pytest.mark.parametrize(
    ("device", "dtype", "made"),
    [
        ("cpu", "auto", ("cpu", "float32")),
        ("cpu", "bfloat16", ("cpu", "bfloat16")),
        ("meta", "float16", ("meta", "float16")),
        ("meta", "auto", ("meta", "bfloat16")),
    ],
)
async def test_device_and_dtype(tmp_path: Path, device: str, dtype: str, made: tuple[str, str]) -> None:
    """The model is where it is told to be, in the type that was asked for; ``auto`` is its own, on a CPU float32."""
    Runtime.load(str(FOLDER), dtype="bfloat16").model.save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(FOLDER).save_pretrained(tmp_path)
    model = Runtime.load(str(tmp_path), device, dtype).model
    assert (model.device.type, str(model.dtype).removeprefix("torch.")) == made


async def test_options_reach_the_model() -> None:
    """A device that is none stops the start, and is named."""
    provider = HuggingFaceProvider(str(FOLDER), device="abacus")
    try:
        with pytest.raises(ModelNotLoaded, match="abacus"):
            await provider.start()
    finally:
        await provider.close()


OFFLINE = """
import socket, sys
def refuse(*_, **__):
    sys.exit("went to the network")
socket.socket.connect = socket.getaddrinfo = refuse
from llm.errors import ModelNotLoaded
from llm.huggingface import Runtime
assert Runtime.load("some-org/in-the-cache").generates
try:
    Runtime.load("some-org/not-there")
except ModelNotLoaded as error:
    assert "some-org/not-there" in str(error)
else:
    sys.exit("loaded what is not there")
"""


def test_offline_only_the_cache_is_looked_at(tmp_path: Path) -> None:
    """With HF_HUB_OFFLINE a model of the hub comes from the cache or not at all, and nothing is connected to."""
    repository = tmp_path / "hub" / "models--some-org--in-the-cache"
    shutil.copytree(FOLDER, repository / "snapshots" / ("0" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    environment.pop("HF_HUB_CACHE", None)
    made = subprocess.run(
        [sys.executable, "-c", OFFLINE], env=environment, check=False, timeout=120, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr


async def test_stop_strings_are_cut_and_end_it(provider: HuggingFaceProvider) -> None:
    """Neither the stop string nor anything behind it is seen, in no chunk; fewer tokens are made."""
    whole = await answered(provider)
    stop = whole.content[10:16]
    chunks = await chunks_of(provider, asked(stop=["never said", stop]))
    cut = ChatCompletion.of(chunks)
    assert cut.content == whole.content[: whole.content.index(stop)]
    assert cut.finish_reason == "stop"
    assert cut.usage is not None
    assert whole.usage is not None
    assert cut.usage.completion_tokens < whole.usage.completion_tokens


async def test_the_limit_is_length(provider: HuggingFaceProvider) -> None:
    """As many tokens as asked for, and OpenAI's word for it."""
    completion = await answered(provider, max_tokens=3)
    assert completion.finish_reason == "length"
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 3


async def test_seeds_are_the_requests_own(provider: HuggingFaceProvider) -> None:
    """The same seed says the same, alone and in a batch with others; torch's global generator is left as it was."""
    before = torch.get_rng_state()
    alone = (await answered(provider, temperature=1.5, seed=7, max_tokens=12)).content
    together = await asyncio.gather(
        *(answered(provider, text, temperature=1.5, seed=seed, max_tokens=12)
          for text, seed in ((TRIP, 7), ("Hello", 8), (TRIP, 9), (TRIP, 7))),
    )  # fmt: skip
    said = [completion.content for completion in together]
    assert said[0] == said[3] == alone
    assert len({*said}) == 3
    assert torch.equal(before, torch.get_rng_state())


async def test_more_requests_than_places_each_get_their_own_answer(provider: HuggingFaceProvider) -> None:
    """Two batches and a half, prompts of different lengths: every answer is the one that it would be alone."""
    texts = [
        f"Plan a trip to {city} on {day} May" for day, city in enumerate(["Lisbon", "Rome", "Oslo"] * 3 + ["X"], 1)
    ]
    together = await asyncio.gather(*(answered(provider, text, max_tokens=16) for text in texts))
    for text, completion in zip(texts, together, strict=True):
        assert completion.content == (await answered(provider, text, max_tokens=16)).content


async def test_requests_that_come_together_are_one_batch(tmp_path: Path) -> None:
    """Four requests with two places are two batches: the model reads prompts twice and makes each step for two."""
    from tests.llm.providers import reciting  # noqa: PLC0415 - imports torch

    reciting.save(tmp_path, [reciting.ids_of("Bye")] * 2)
    reciting.SAID.clear()
    provider = HuggingFaceProvider(str(tmp_path), max_batch=2)
    try:
        together = await asyncio.gather(*(answered(provider, text) for text in (TRIP, "Hi", ASKED, "Hello")))
    finally:
        await provider.close()
    assert {completion.content for completion in together} == {"Bye"}
    assert len(reciting.SAID) == 2 * (len(reciting.ids_of("Bye")) + 1)


async def test_leaving_ends_the_work_with_the_token_in_the_making(provider: HuggingFaceProvider) -> None:
    """The one who leaves makes no further tokens; who shares its batch is not disturbed."""
    staying = asyncio.create_task(answered(provider))
    async with aclosing(provider.stream("m", asked(temperature=2.0, seed=1))) as chunks:
        await anext(chunks)
    assert (await staying).content == (await answered(provider)).content


async def test_leaving_ends_it_within_one_token(tmp_path: Path) -> None:
    """A model that is in the middle of a token when its reader leaves makes that one and no more."""
    from tests.llm.providers import reciting  # noqa: PLC0415 - imports torch

    said, more = reciting.ids_of("Hello"), reciting.ids_of("and so on and on")
    reciting.save(tmp_path, [[*said, reciting.WAIT, *more], reciting.ids_of("Bye")])
    reciting.GATE.clear()
    reciting.SAID.clear()
    provider = HuggingFaceProvider(str(tmp_path))
    try:
        async with aclosing(provider.stream("m", asked())) as chunks:
            for _ in said:
                await anext(chunks)
        reciting.GATE.set()
        assert (await answered(provider)).content == "Bye"
    finally:
        await provider.close()
    assert reciting.SAID[: len(said) + 2] == [*said, more[0], reciting.ids_of("Bye")[0]]


def test_a_row_that_nobody_wants_ends_at_once() -> None:
    """The step in which it is left is its last, and with the last row the batch ends."""
    runtime, heard, finished = Runtime.load(str(FOLDER)), [], []
    prompt = runtime.prompt([{"role": "user", "content": TRIP}], [])

    def hear(token: int) -> bool:
        heard.append(token)
        return len(heard) < 3

    row = Row(prompt, 1000, Sampling(temperature=2.0, seed=1), hear, lambda _: finished.append(len(heard)))
    run(runtime, [row])
    assert (len(heard), finished, row.tokens) == (3, [3], 3)


async def test_labels_and_json_are_held_to(provider: HuggingFaceProvider) -> None:
    """What is asked for is what comes, whatever the model would like."""
    labelled = asked(temperature=2.0)
    labelled.labels = ("red", "blue")
    assert (await collect(provider.stream("m", labelled))).content in labelled.labels
    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"], "additionalProperties": False}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    said = (await answered(provider, response_format=wanted)).content
    assert said in ('{"n": 1}', '{"n": 2}')


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "rm"}}}, "tool_choice"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "no"}}}}, "response_format"),
    ],
)
async def test_what_cannot_be_kept_is_refused(
    provider: HuggingFaceProvider, parameters: dict[str, Any], param: str
) -> None:
    """By name, before anything is computed."""
    with pytest.raises(InvalidRequest) as raised:
        await answered(provider, **parameters)
    assert raised.value.param == param


async def test_what_does_not_fit_is_refused_alone(provider: HuggingFaceProvider) -> None:
    """A prompt that is too long, or an image, fails its own request and not its batch."""
    image = [{"type": "image_url", "image_url": {"url": "x"}}]
    long, seen, fine = await asyncio.gather(
        answered(provider, "weather " * 3000),
        collect(provider.stream("m", ChatRequest("m", [{"role": "user", "content": image}]))),
        answered(provider, max_tokens=3),
        return_exceptions=True,
    )
    assert isinstance(long, ContextLengthExceeded)
    assert isinstance(seen, InvalidRequest)
    assert isinstance(fine, ChatCompletion)


async def test_embeddings(provider: HuggingFaceProvider) -> None:
    """Unit vectors, equal for equal texts, with the tokens that they cost."""
    assert isinstance(provider, EmbeddingProvider)
    made = await provider.embed("m", EmbeddingRequest(["trip to Rome", "trip to Rome", "weather"]))
    first, same, other = made.vectors
    assert first == same != other
    assert sum(number * number for number in first) == pytest.approx(1)
    assert made.usage.prompt_tokens > 3
    assert made.usage.completion_tokens == 0
    with pytest.raises(InvalidRequest):
        await provider.embed("m", EmbeddingRequest(["a"], {"dimensions": 3}))


@pytest.mark.parametrize("wrong", [4096, 2**31 - 1])
async def test_ids_that_are_none_of_the_models_are_refused(provider: HuggingFaceProvider, wrong: int) -> None:
    """By their place, before the model sees them."""
    with pytest.raises(InvalidRequest, match=rf"'input\[1\]': {wrong} is no token") as raised:
        await provider.embed("m", EmbeddingRequest([[1], [4095, wrong]]))
    assert raised.value.param == "input[1]"


async def test_leaving_ends_embeddings(provider: HuggingFaceProvider) -> None:
    """Not before, but with the input that is read: the others are not read for nobody."""
    runtime, read = provider._load(), []
    runtime.model.register_forward_hook(lambda *_: read.append(1))
    runtime.model.base_model.register_forward_hook(lambda *_: read.append(1))
    leaving = asyncio.create_task(provider.embed("m", EmbeddingRequest(["weather " * 200] * 500)))
    while not read:
        await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await provider.embed("m", EmbeddingRequest(["a"]))
    assert len(read) < 100


async def test_rows_that_end_where_the_context_does_disturb_nobody(tmp_path: Path) -> None:
    """A model with as many positions as its context has: who shares a batch with a long prompt goes on behind it."""
    sizes = {"n_positions": 64, "n_embd": 8, "n_layer": 1, "n_head": 2, "eos_token_id": None, "bos_token_id": None}
    transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=4096, **sizes)).save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(FOLDER, model_max_length=64).save_pretrained(tmp_path)
    provider = HuggingFaceProvider(str(tmp_path), max_tokens=100)
    try:
        made = await asyncio.gather(*(answered(provider, "hi " * length, seed=1) for length in (1, 50, 2)))
    finally:
        await provider.close()
    assert [completion.usage.total_tokens for completion in made if completion.usage] == [64, 64, 64]


async def test_no_tokens_at_all(provider: HuggingFaceProvider) -> None:
    """A raw prompt may ask for none, also beside others."""
    none, some = await asyncio.gather(answered(provider, max_tokens=0), answered(provider, max_tokens=3))
    assert (none.content, none.finish_reason) == ("", "length")
    assert none.usage is not None
    assert (none.usage.prompt_tokens > 0, none.usage.completion_tokens) == (True, 0)
    assert some.content


async def test_closing_tells_those_who_wait(provider: HuggingFaceProvider) -> None:
    """Nobody waits for ever for a model that has gone."""
    async with aclosing(provider.stream("m", asked(temperature=2.0, seed=1, max_tokens=1000))) as chunks:
        await anext(chunks)
        await provider.close()
        with pytest.raises(UpstreamUnavailable):
            async for _ in chunks:
                pass


async def test_a_model_that_only_embeds(tmp_path: Path) -> None:
    """An encoder embeds, and says so when it is asked to chat."""
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    transformers.BertModel(transformers.BertConfig(vocab_size=4096, **small)).save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(FOLDER).save_pretrained(tmp_path)
    provider = HuggingFaceProvider(str(tmp_path))
    try:
        assert len((await provider.embed("m", EmbeddingRequest([[5, 6], [7]]))).vectors[1]) == 8
        with pytest.raises(InvalidRequest, match="only embeds"):
            await answered(provider)
    finally:
        await provider.close()


@pytest.mark.parametrize("path", ["./nowhere/model", "/nowhere", "~/nowhere", "../model"])
def test_a_folder_that_is_not_there(path: str) -> None:
    """It is not asked of the hub, and told before anything is loaded."""
    with pytest.raises(ValueError, match=f"there is no folder '{path}'"):
        HuggingFaceProvider(path)


async def test_a_folder_without_a_model(tmp_path: Path) -> None:
    """The start fails, and names the folder."""
    provider = HuggingFaceProvider(str(tmp_path))
    try:
        with pytest.raises(ModelNotLoaded, match=str(tmp_path)):
            await provider.start()
    finally:
        await provider.close()
