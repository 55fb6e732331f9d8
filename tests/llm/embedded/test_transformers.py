"""The folder is a Hugging Face model: transformers loads it and agrees with us; and the recipe trains."""

from __future__ import annotations

import importlib
import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from llm.embedded import FOLDER, Engine
from llm.embedded.template import Special, encode, render
from llm.embedded.tokenizer import Tokenizer
from llm.embedded.training.corpus.mixture import conversation
from tests.llm.embedded.conftest import ATTRACTIONS, WEATHER, options, text

pytestmark = [pytest.mark.huggingface, pytest.mark.filterwarnings("default"), pytest.mark.timeout(600)]

PROMPTS = [
    "Who are you?",
    "hello",
    "Write a haiku about the sea",
    "What is inflation?",
    "Plan a trip to Łódź on 3 May, please!",
    "Thanks, bye",
]


@pytest.fixture(scope="module")
def transformers() -> Any:
    """The library; tests with this marker fail where it is missing."""
    return importlib.import_module("transformers")


def test_embeddings(transformers: Any) -> None:
    """The mean of the last hidden states, at length 1, is what feature extraction by transformers gives."""
    torch = importlib.import_module("torch")
    engine, model = Engine.load(), transformers.AutoModel.from_pretrained(FOLDER, dtype=torch.float32)
    for prompt in [*PROMPTS, "weather " * 300]:
        ids = engine.tokenizer.encode(prompt)
        with torch.inference_mode():
            mean = model(torch.tensor([ids])).last_hidden_state[0].mean(0)
        expected = torch.nn.functional.normalize(mean, dim=0).tolist()
        assert engine.embed(ids) == pytest.approx(expected, abs=1e-5)


def corpus(number: int) -> Iterator[Any]:
    """Conversations of the training corpus."""
    random = Random("tests")
    for _ in range(number):
        yield conversation(random)


def test_template_and_ids_are_equal(transformers: Any) -> None:
    """Their Jinja and our Python render the same text and the same ids, tools and calls included."""
    theirs = transformers.AutoTokenizer.from_pretrained(FOLDER)
    ours = Tokenizer.load(FOLDER / "tokenizer.json")
    for drawn in corpus(300):
        rendered = theirs.apply_chat_template(
            drawn.messages, tools=drawn.tools, add_generation_prompt=True, tokenize=False
        )
        assert rendered == render(drawn.messages, drawn.tools)
        ids = theirs(rendered, add_special_tokens=False)["input_ids"]
        assert ids == encode(ours, drawn.messages, drawn.tools, 100_000)


def test_lists_of_parts_and_null_render_the_same(transformers: Any) -> None:
    """Contents that are no string: text parts, null; the role developer; a tool without parameters."""
    messages: list[dict[str, Any]] = [
        {"role": "developer", "content": [{"type": "text", "text": "Be"}, {"type": "text", "text": "brief. "}]},
        {"role": "user", "content": " two  spaces\n"},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "now", "arguments": "{}"}}]},
        {"role": "tool", "content": "<&>'é"},
        {"role": "assistant", "content": None},
    ]
    tools = [
        {"type": "function", "function": {"name": "now", "description": "x", "parameters": {}}},
        WEATHER,
        ATTRACTIONS,
    ]
    theirs = transformers.AutoTokenizer.from_pretrained(FOLDER)
    rendered = theirs.apply_chat_template(messages, tools=tools, add_generation_prompt=True, tokenize=False)
    assert rendered == render(messages, tools)


def test_every_character_is_cut_alike() -> None:
    """Every code point that Python's Unicode knows, between letters, gets their ids."""
    library = importlib.import_module("tokenizers")
    theirs = library.Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    ours = Tokenizer.load(FOLDER / "tokenizer.json")
    known = [chr(c) for c in range(0x11_0000) if unicodedata.category(chr(c)) not in {"Cs", "Cn", "Co"}]
    texts = ["".join(f"a{c}b {c} C{c}{c}" for c in known[i : i + 50]) for i in range(0, len(known), 50)]
    assert len(texts) > 2000
    wrong = [t for t in texts if theirs.encode(t, add_special_tokens=False).ids != ours.encode(t)]
    assert wrong == []


@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_answers_are_equal(engine: Engine, transformers: Any, prompt: str) -> None:
    """Their generate() and our loop choose the same tokens."""
    torch = importlib.import_module("torch")
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    model = transformers.AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32)
    ids = engine.prompt([{"role": "user", "content": prompt}], None)
    produced = model.generate(torch.tensor([ids]), max_new_tokens=80, do_sample=False)[0, len(ids) :]
    assert tokenizer.decode(produced, skip_special_tokens=True) == text(
        engine.generate([{"role": "user", "content": prompt}], None, options(max_tokens=80))
    )


def test_tool_calls_stay_visible(transformers: Any) -> None:
    """transformers leaves `<|tool_call|>` in the text where it skips special tokens."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    ids = tokenizer(f"{Special.TOOL_CALL}{{}}{Special.END}", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == f"{Special.TOOL_CALL}{{}}"


def test_the_recipe_trains_the_smallest_model(tmp_path: Path) -> None:
    """From scratch to a folder that the engine loads; the loss falls."""
    training = importlib.import_module("llm.embedded.training.train")
    export = importlib.import_module("llm.embedded.training.export").export
    recipe = training.Recipe(shape="smallest", tokens=400_000, batch=4096)
    checkpoint = training.train(recipe, FOLDER / "tokenizer.json", tmp_path, training.Machine(threads=1))
    losses = [
        json.loads(line)["loss"] for line in (tmp_path / "training_log.jsonl").read_text("utf-8").splitlines()[1:]
    ]
    assert losses[-1] < 6.5
    export(checkpoint, FOLDER / "tokenizer.json", tmp_path / "folder")
    engine = Engine.load(tmp_path / "folder")
    assert engine.parameters < 500_000
    assert text(engine.generate([{"role": "user", "content": "hello"}])) is not None
