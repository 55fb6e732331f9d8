"""The theorem: however a stream is cut, nothing of a match is released, and without a match the text is unchanged."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.automaton import Match
from guardrails.groups import Group, Groups
from guardrails.guardrail import Guardrail
from guardrails.rule import LengthRule, Rule
from guardrails.rules.text import form, json_schema, length
from guardrails.rules.words import patterns, terms
from guardrails.verdict import Verdict
from tests.guardrails.samples import REDACTING, REFUSING, SAMPLES

SIGNS = 'abN @.-:+/4915=_\n"é漢'
BEFORE, AFTER = "Ask <", "> now"


def streamed(guardrail: Guardrail, text: str, cuts: list[int]) -> tuple[str, Verdict]:
    """What is released of a text that comes in these pieces, and what is said of it."""
    window = guardrail.window()
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    said = "".join(window.feed(text[start:end]) for start, end in pairwise(edges)) + window.end()
    return said, window.verdict


def test_there_is_a_sample_of_every_kind() -> None:
    """No rule is without its theorem."""
    assert {sought.kind.name for sought in REDACTING.sought} == set(SAMPLES)


@pytest.mark.parametrize("kind", SAMPLES)
def test_nothing_leaks_at_any_cut(kind: str) -> None:
    """Cut anywhere, cut anywhere twice around each place, and sign by sign: always the same, and never a leak."""
    text = BEFORE + SAMPLES[kind] + AFTER
    whole, verdict = streamed(REDACTING, text, [])
    assert SAMPLES[kind].rpartition("=")[2] not in whole
    assert kind in {span.kind for span in verdict.spans}
    for cut in range(len(text)):
        for width in (0, 1, 4, 11):
            assert streamed(REDACTING, text, [cut, min(cut + width, len(text))]) == (whole, verdict)
    assert streamed(REDACTING, text, list(range(len(text)))) == (whole, verdict)


@pytest.mark.parametrize("kind", SAMPLES)
@settings(max_examples=15, deadline=None)
@given(before=st.text(SIGNS, max_size=30), after=st.text(SIGNS, max_size=30), cuts=st.lists(st.integers(0, 500)))
def test_redacting_does_not_depend_on_cuts(kind: str, before: str, after: str, cuts: list[int]) -> None:
    """At every position, with anything around it: a stream is what the whole text is."""
    text = before + SAMPLES[kind] + after
    assert streamed(REDACTING, text, cuts) == streamed(REDACTING, text, [])


@pytest.mark.parametrize("kind", SAMPLES)
@settings(max_examples=15, deadline=None)
@given(before=st.text("abc \n", max_size=20), cuts=st.lists(st.integers(0, 500)))
def test_refusing_releases_exactly_what_stands_before(kind: str, before: str, cuts: list[int]) -> None:
    """Of the match no character is sent, and everything before it is."""
    text = f"{before} <{SAMPLES[kind]}>"
    said, verdict = streamed(REFUSING, text, cuts)
    refused = next(span for span in verdict.spans if span.action == "refuse")
    assert not verdict.allowed
    assert said == text[: refused.start]
    assert refused.start <= text.rindex(SAMPLES[kind][-4:])


@settings(max_examples=300, deadline=None)
@given(text=st.text(SIGNS, max_size=80), cuts=st.lists(st.integers(0, 500)))
def test_without_a_match_the_text_is_unchanged(text: str, cuts: list[int]) -> None:
    """And with one, exactly its spans are replaced."""
    said, verdict = streamed(REDACTING, text, cuts)
    expected, at = "", 0
    for span in verdict.spans:
        if span.end > at:
            expected += text[at : max(at, span.start)] + f"[{span.kind.upper()}]"
            at = span.end
    assert said == expected + text[at:]


def test_the_rest_is_released_at_once() -> None:
    """What cannot become part of a match does not wait for anything."""
    window = Guardrail("one", [terms("nightjar")]).window()
    assert window.feed("The night") == "The "
    assert window.feed("ingale") == "nightingale"
    assert window.feed(" and") == " and"
    assert window.feed(" nightjar") == " "
    assert window.feed(",") == ""
    assert (window.verdict.rule, window.feed(" and more"), window.end()) == ("terms", "", "")


def test_a_word_that_goes_on_is_released() -> None:
    """A term that turns out to be part of a longer word is no match."""
    window = Guardrail("one", [terms("nightjar")]).window()
    assert [window.feed("nightjar"), window.feed("s "), window.end()] == ["", "nightjars ", ""]
    assert window.verdict.action == "allow"


def test_a_window_that_would_grow_without_end_refuses() -> None:
    """It holds so much and no more, and then it is safe rather than right."""
    window = Guardrail("one", [patterns("(a+)+b")], max_held=100).window()
    assert "".join(window.feed("a") for _ in range(1000)) == ""
    assert (window.verdict.allowed, window.verdict.rule) == (False, "window")


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (json_schema({"type": "object", "required": ["a"]}), '{"a": 1}', '{"b": 1}'),
        (json_schema({"type": "object"}), "{}", "Here: {}"),
        (form(r"(?:yes|no)\.?"), "yes.", "yes, but"),
    ],
)
def test_rules_about_the_whole_hold_all_of_it(rule: Rule, good: str, bad: str) -> None:
    """Nothing is released before they have seen the end."""
    for text, allowed in ((good, True), (bad, False)):
        window = Guardrail("one", [rule]).window()
        assert "".join(window.feed(sign) for sign in text) == ""
        assert window.end() == (text if allowed else "")
        assert window.verdict.allowed is allowed


@pytest.mark.parametrize("text", ["one two nightingale", "one two nightjar", "one two nightjar."])
@given(cuts=st.lists(st.integers(0, 100)))
def test_of_a_text_that_is_too_long_its_beginning_is_released(text: str, cuts: list[int]) -> None:
    """Up to the last character that is allowed, and not where a match may have begun, whose end nobody will see."""
    guardrail = Guardrail("one", [length(10), terms("nightjar")])
    said, verdict = streamed(guardrail, text, cuts)
    assert (said, verdict.allowed, verdict.rule) == ("one two ", False, "length")
    assert isinstance(guardrail.rules[0], LengthRule)


def test_shadow_records_and_does_nothing() -> None:
    """What a rule would have done is seen before it does it."""
    from dataclasses import replace  # noqa: PLC0415

    shadowed = Guardrail("one", [replace(terms("nightjar"), mode="shadow")])
    text, verdict = shadowed.check("A nightjar.")
    assert (text, verdict.action) == ("A nightjar.", "flag")
    unseen = Guardrail("one", [replace(terms("nightjar"), sample=0.0)])
    assert unseen.check("A nightjar.").verdict.action == "allow"


OVERLAPPING = Guardrail("overlapping", [patterns("ab", "bcd", "d+a", "ca", name="each", action="redact")])


@settings(max_examples=300, deadline=None)
@given(text=st.text("abcd", max_size=14), cuts=st.lists(st.integers(0, 14)))
def test_matches_that_overlap_are_decided_together(text: str, cuts: list[int]) -> None:
    """Where one ends another may have begun in it: none is decided before the other is."""
    assert streamed(OVERLAPPING, text, cuts) == streamed(OVERLAPPING, text, [])
    assert streamed(OVERLAPPING, text, list(range(len(text)))) == streamed(OVERLAPPING, text, [])


def test_matches_that_overlap_by_the_thousand_are_one() -> None:
    """One that covers all that were found before it."""
    guardrail = Guardrail("one", [patterns(r"\bx\b", "b[x ]*e", name="each", action="redact")])
    assert guardrail.check("b" + " x" * 2000 + " e").text == "[EACH]"


def test_matches_that_overlap_by_the_thousand_are_moved_seldom() -> None:
    """One that covers all that were found before it costs no more than these did."""
    moved: list[int] = []

    class Counted(list[Match]):
        def __iadd__(self, others: Iterable[Match]) -> Self:  # type: ignore[misc, override]
            added = list(others)
            moved.append(len(added))
            return super().__iadd__(added)

    groups = Groups()
    for start in range(1, 4001, 2):
        groups._join(Group(start, start + 1, Counted([Match(0, start, start + 1)])))
    groups._join(Group(0, 4002, Counted([Match(1, 0, 4002)])))
    whole = groups.decided(4002)
    assert whole is not None
    assert (whole.start, whole.end, len(whole.matches), len(moved)) == (0, 4002, 2001, 2000)
    assert sum(moved) <= 2 * 2000
