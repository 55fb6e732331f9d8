"""The automaton: the same matches as :mod:`re` finds, and exactly from where on one is still possible."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.automaton import Machine, Program, Scan
from guardrails.automaton.patterns import add_pattern
from guardrails.errors import PatternRefused

PATTERNS = (
    "ab",
    "a+b",
    "(?:a|ab)(?:b|ba)?",
    r"\bab\b",
    r"(?<!a)b{1,2}(?!b)",
    r"a(?=b)",
    r"(?<=a) ",
    "^a b",
    "b$",
    "(?m)^a$",
    r"\w+ \w",
    r"\Bb",
    "(?i)A B?",
    "[^a]a",
    "(?s:a.b)",
    "(?:ab?)+ ",
    r"a{2,3}",
    r"\Aab",
    r"(?:a\b)+ b",
)
ALPHABET = "ab \n"
TEXTS = st.text(ALPHABET, max_size=9)


def machine(*patterns: str) -> Machine:
    program = Program()
    for number, pattern in enumerate(patterns):
        add_pattern(program, pattern, number)
    return Machine(program)


def expected(pattern: str, text: str) -> set[tuple[int, int]]:
    """For each place where a match ends the longest one, by the backtracking of :mod:`re`."""
    found: dict[int, int] = {}
    dollar = pattern if "(?m)" in pattern else pattern.replace("$", r"\Z")
    flags = "(?m)" if "(?m)" in pattern else "(?i)" if "(?i)" in pattern else ""
    bare = dollar.removeprefix("(?m)").removeprefix("(?i)")
    for end in range(1, len(text) + 1):
        exact = re.compile(f"{flags}(?:{bare})(?s:(?<=\\A{'.' * end}))".replace("\\A", r"\A"))
        for start in range(end):
            if exact.match(text, start) is not None:
                found[end] = min(start, found.get(end, start))
    return {(start, end) for end, start in found.items()}


def found(scan: Scan, text: str) -> set[tuple[int, int]]:
    return {(match.start, match.end) for match in scan.feed(text) + scan.end()}


@pytest.mark.parametrize("pattern", PATTERNS)
@settings(max_examples=60, deadline=None)
@given(text=TEXTS)
def test_matches_are_those_of_re(pattern: str, text: str) -> None:
    """For each end the longest match, as a search with every way of backtracking finds it."""
    assert found(Scan(machine(pattern)), text) == expected(pattern, text)


@pytest.mark.parametrize("pattern", PATTERNS)
@settings(max_examples=12, deadline=None)
@given(text=st.text(ALPHABET, max_size=5))
def test_what_is_open_is_exactly_what_may_still_match(pattern: str, text: str) -> None:
    """Every text that may follow is tried: the open end begins where the longest match of them all does."""
    scan = Scan(machine(pattern))
    known = {(match.start, match.end) for match in scan.feed(text)}
    possible = {len(text)}
    for more in range(5):
        for rest in product(ALPHABET, repeat=more):
            fresh = expected(pattern, text + "".join(rest)) - known
            possible |= {start for start, end in fresh if end >= len(text)}
    assert scan.open_from == min(possible)


@settings(max_examples=100, deadline=None)
@given(text=TEXTS, patterns=st.lists(st.sampled_from(PATTERNS), min_size=2, max_size=5, unique=True))
def test_patterns_together_find_what_each_finds_alone(text: str, patterns: list[str]) -> None:
    """One machine for all of them, and nobody notices the others."""
    scan = Scan(machine(*patterns))
    matches = scan.feed(text) + scan.end()
    for number, pattern in enumerate(patterns):
        assert {(match.start, match.end) for match in matches if match.rule == number} == expected(pattern, text)


def test_terms_are_whole_words_in_any_case() -> None:
    """With any white space between their words, and beside signs that are no letters."""
    program = Program()
    program.add_term("Red team", 0)
    program.add_term("c++", 1)
    text = "RED\n  Team, red teams, c++! rered team xc++"
    assert found(Scan(Machine(program)), text) == {(0, 10), (23, 26)}


@pytest.mark.parametrize(
    ("term", "texts"),
    [
        ("λόγος", ["ΛΌΓΟΣ", "Λόγοσ"]),
        ("straße", ["STRASSE", "STRAẞE", "strasse"]),
        ("İstanbul", ["istanbul", "ISTANBUL"]),
        ("istanbul", ["İSTANBUL"]),
        ("secret", ["ſecret", "SECRET"]),
        ("café", ["cafe\u0301", "CAFE\u0301"]),
        ("cafe\u0301", ["café", "CAFÉ"]),
    ],
)
def test_a_term_is_found_in_any_case_of_any_script(term: str, texts: list[str]) -> None:
    """Also where a letter has more cases than two, or another case has more letters, or a mark stands by itself."""
    program = Program()
    program.add_term(term, 0)
    for text in (term, *texts):
        assert found(Scan(Machine(program)), f"<{text}>") == {(1, 1 + len(text))}
        assert found(Scan(Machine(program)), f"<{text}s>") == set()


@pytest.mark.parametrize("pattern", ["s", "S", "ſ", "i", "İ", "I", "ς", "Σ", "k", "\u212a", "[^s]", "[a-z]", "ß", "µ"])
def test_case_is_what_it_is_to_re(pattern: str) -> None:
    """Sign by sign."""
    scanned = machine(f"(?i){pattern}")
    for sign in "sSſiIıİςσΣkK\u212aßẞµμΜaZ":
        expected = re.fullmatch(pattern, sign, re.IGNORECASE) is not None
        assert (sign, bool(found(Scan(scanned), sign))) == (sign, expected)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(a)\\1", "groupref"),
        ("a*", "empty text"),
        ("(?=ab)a", "one character ahead"),
        ("(", "no regular expression"),
        ("a{5000}", "1000 times"),
        ("(?:a{900}){900}", "too large"),
        ("(?=a)(?<=b)a", "look behind first"),
        (r"(?a)\bfoo\b", "Unicode"),
        (r"(?a:\w)b", "Unicode"),
    ],
)
def test_what_a_stream_cannot_be_searched_for_is_refused(pattern: str, why: str) -> None:
    """At the start, with the reason."""
    with pytest.raises(PatternRefused, match=why):
        machine(pattern)


def test_a_machine_that_forgets_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its memory is bounded, and what it finds does not depend on that."""
    monkeypatch.setattr("guardrails.automaton.machine.MAX_STEPS_KEPT", 3)
    small, text = machine("a+b", r"\bab\b"), "ab aab \nb ab" * 5
    whole = found(Scan(machine("a+b")), text)
    scan = Scan(small)
    matches = scan.feed(text) + scan.end()
    assert {(match.start, match.end) for match in matches if match.rule == 0} == whole
    assert len(small._states) <= 4


@pytest.mark.parametrize("letter", ["a", "ab", "a ", "a@"])
def test_a_text_costs_a_step_a_character(letter: str) -> None:
    """However patterns are nested: what a machine has to make for a text does not grow with it."""
    nested = machine(r"(?:(?:a+)+)+b{3}", r"(?:a{1,5}){1,5}c", r"(?<![\w.])[\w.]{1,64}@\w{1,9}\.b")
    made = []
    for size in (20_000, 60_000):
        Scan(nested).feed(letter * (size // len(letter)))
        made.append(nested._steps)
    assert made[0] == made[1] < 1000
