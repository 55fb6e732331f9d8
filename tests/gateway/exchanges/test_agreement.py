"""What must agree in two questions for one answer: over labelled pairs, and form by form."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.exchanges.agreement import agreement

PAIRS = [line.split("\t") for line in (Path(__file__).parent / "pairs.tsv").read_text(encoding="utf-8").splitlines()]
SAME = [(first, second) for kind, first, second in PAIRS if kind == "same"]
LOOK_ALIKES = [(kind, first, second) for kind, first, second in PAIRS if kind != "same"]


def agree(first: str, second: str) -> bool:
    return agreement(first) == agreement(second)


@pytest.mark.parametrize(("kind", "first", "second"), LOOK_ALIKES)
def test_no_look_alike_agrees(kind: str, first: str, second: str) -> None:
    """Whatever it differs in: a number, a date, a name, a negation, a unit, a direction."""
    assert not agree(first, second)


def test_as_many_of_the_same_agree_as_the_document_says() -> None:
    """About half: what is in doubt is a miss."""
    found = sum(agree(first, second) for first, second in SAME)
    told = (Path(__file__).parents[3] / "docs/gateway/caching.md").read_text(encoding="utf-8")
    assert f"{found} of the {len(SAME)}" in told
    assert f"none of the {len(LOOK_ALIKES)}" in told


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("1,234,567 people", "1234567 people"),
        ("3.5 million people", "3,500,000 people"),
        ("three hundred and five", "305"),
        ("twenty-one days", "21 day"),
        ("two thousand twenty four", "2024"),
        ("-5 kilometres", "−5 km"),
        ("$20", "20 dollars"),
        ("20 percent", "20%"),
        ("the 3rd floor", "the third floor"),
        ("5 May 2024", "May 5th, 2024"),
        ("the 5th of May", "may 5"),
        ("2024-05-05", "May 5, 2024"),
        ("at 7 pm", "at 19:00"),
        ("at 12 a.m.", "at 00:00"),
        ("20°C", "20 degrees celsius"),
        ("don’t", "do not"),
        ("can't", "cannot"),
        ("“Dune”", '"Dune"'),
        ("Rome", "rome"),
    ],
)
def test_what_means_the_same_agrees(first: str, second: str) -> None:
    """In whichever form it is written."""
    assert agree(first, second)
    assert any(agreement(first))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("3.10", "3.1"),
        ("1.000", "1,000"),
        ("01234", "1234"),
        ("1,5", "15"),
        ("10-20", "1020"),
        ("Anna's 5", "Anna's 6"),
        ("a.b", "a b"),
        ("f(x)", "f[x]"),
        ("C#", "C++"),
        ("'red'", "'blue'"),
        ("Will he come", "he will come, will he"),
        ("the letter A", "the letter a"),
        ("Translate: the dog", "Translate: a dog"),
        ("5 first", "first 5"),
    ],
)
def test_what_may_mean_something_else_does_not(first: str, second: str) -> None:
    """Where it is in doubt too."""
    assert not agree(first, second)


@pytest.mark.parametrize("unit", ["“", "'", "a@", "1,", "x.y ", "hello ", "twenty ", "5 may ", "http://"])
def test_a_text_of_the_greatest_length_is_read_to_its_end(unit: str) -> None:
    """Whatever it is made of."""
    assert len(agreement((unit * 1000)[:1000])) == 3


PIECES = [
    "5",
    "٣",
    "may",
    "aprİl",
    "ſix",
    "ſeptember",
    "1st",
    "-",
    "$",
    ":",
    "30",
    "pm",
    ",",
    "000",
    ".",
    "'",
    " ",
    "\n",
    "K",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.characters(codec="utf-8"), max_size=30).map("".join))
def test_any_text_is_read(text: str) -> None:
    """Letters that others take for those of English included."""
    assert len(agreement(text)) == 3
