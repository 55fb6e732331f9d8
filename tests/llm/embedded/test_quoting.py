"""Names that an answer quotes: whatever the model would rather say, what it has begun it says to the end."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from llm.embedded import Engine
from llm.embedded.quoting import Quoting
from llm.embedded.tokenizer import Tokenizer

NAMES = ["Trevi Fountain", "Roman Forum", "Rome", "Özbek Tower", "Plaza de España", "the Old Bridge", "Colosseum"]


@pytest.fixture
def tokenizer(engine: Engine) -> Tokenizer:
    return engine.tokenizer


def everything(tokenizer: Tokenizer) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.array([bool(piece) for piece in tokenizer.bytes])


def said(quoting: Quoting, tokenizer: Tokenizer, text: str) -> Quoting:
    for token in tokenizer.encode(text):
        quoting.advance(token)
    return quoting


@pytest.mark.parametrize("begun", ["Tr", "Ro", "Rome", "Roman", "Ö", "Plaza de", "Col"])
@pytest.mark.parametrize("seed", range(5))
def test_what_is_begun_is_said_to_the_end(tokenizer: Tokenizer, begun: str, seed: int) -> None:
    """Random choices among what is allowed end in one of the names, whole, and with the word."""
    random, free = Random(seed), everything(tokenizer)
    quoting = said(Quoting(NAMES, tokenizer), tokenizer, f"I recommend {begun}")
    text = f"I recommend {begun}".encode()
    while not (allowed := quoting.narrow(free))[tokenizer.encode("y")[0]]:
        token = random.choice([int(token) for token in np.flatnonzero(allowed)])
        quoting.advance(token)
        text += tokenizer.bytes[token]
    told = text.decode("utf-8", "replace").removeprefix("I recommend ")
    whole = [name for name in NAMES if told.startswith(name)]
    assert whole
    assert not told[len(max(whole, key=len)) :][:1].isalnum()


@pytest.mark.parametrize(
    "text",
    [
        "",  # nothing has been said
        "R",  # a sentence begins
        "It rains. R",  # another one
        "about 21°C",  # no space before it
        "then I",  # the word, not the beginning of a name
        "see Berlin",  # no name begins so
        "the old",  # small letters are free
        "in Rome, which",  # the name is over
    ],
)
def test_all_else_is_free(tokenizer: Tokenizer, text: str) -> None:
    """What begins no name may go on as it likes."""
    free = everything(tokenizer)
    quoting = said(Quoting([*NAMES, "Islamic Centre"], tokenizer), tokenizer, text)
    assert (quoting.narrow(free) == free).all()


def test_a_name_ends_with_its_word(tokenizer: Tokenizer) -> None:
    """After a whole name no letter follows, unless a longer name goes on so."""
    free = everything(tokenizer)
    quoting = said(Quoting(NAMES, tokenizer), tokenizer, "see Rome")
    allowed = quoting.narrow(free)
    assert not allowed[tokenizer.encode("s")[0]]
    assert allowed[tokenizer.encode(",")[0]]
