"""The tokenizer: lossless, safe, and the same ids as the library's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from llm.embedded import FOLDER, ModelFolderError, PromptTooLong
from llm.embedded.tokenizer import Tokenizer, words

TOKENIZER = Tokenizer.load(FOLDER / "tokenizer.json")
RECORDED: dict[str, list[int]] = json.loads((Path(__file__).parent / "recorded_ids.json").read_text("utf-8"))


@given(some.text())
def test_decoding_what_was_encoded_gives_the_text_back(text: str) -> None:
    """No text is lost, whatever it is made of."""
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


@given(some.text())
def test_words_are_the_text(text: str) -> None:
    """The words of a text, joined, are the text."""
    assert "".join(words(text)) == text


@pytest.mark.parametrize("text", RECORDED)
def test_ids_are_those_of_the_library(text: str) -> None:
    """Odd spaces, scripts, accents and signs get the ids that the `tokenizers` library gave them."""
    assert TOKENIZER.encode(text) == RECORDED[text]


@pytest.mark.parametrize("name", TOKENIZER.special)
def test_text_never_becomes_a_special_token(name: str) -> None:
    """A text that spells a special token is encoded as plain text."""
    ids = TOKENIZER.encode(f"a{name}b {name}")
    assert not set(ids) & set(TOKENIZER.special.values())
    assert TOKENIZER.decode(ids) == f"a{name}b {name}"


def test_a_name_is_cut_alike_after_a_space_and_after_a_quotation_mark() -> None:
    """What the model must copy has the same ids in a sentence and in JSON."""
    assert TOKENIZER.encode(" Reykjavik")[1:] == TOKENIZER.encode('"Reykjavik')[1:]


def test_half_a_surrogate_pair_is_no_error() -> None:
    """JSON can hold half a surrogate pair, which is no UTF-8; it becomes a question mark."""
    assert TOKENIZER.decode(TOKENIZER.encode("a\ud800b")) == "a?b"


@pytest.mark.parametrize("text", ["word " * 100, "x" * 100_000, "ab" * 50_000, "é" * 10_000_000])
def test_a_text_above_the_limit_is_refused_early(text: str) -> None:
    """Long texts, and long words that would take long to merge, are refused without being worked through."""
    with pytest.raises(PromptTooLong) as refused:
        TOKENIZER.encode(text, limit=50)
    assert refused.value.limit == 50
    assert refused.value.tokens > 50


def test_another_pre_tokenizer_is_refused(folder: Path) -> None:
    """A tokenizer.json whose pattern is not ours would give other ids, so it is not loaded."""
    path = folder / "tokenizer.json"
    data = json.loads(path.read_text("utf-8"))
    data["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "x"
    path.write_text(json.dumps(data), "utf-8")
    with pytest.raises(ModelFolderError, match="pre-tokenizer"):
        Tokenizer.load(path)
