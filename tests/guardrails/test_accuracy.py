"""How right the rules are, on the set that the documentation speaks of."""

from __future__ import annotations

from pathlib import Path

from benchmarks.guardrails_accuracy import HELD_BACK, KINDS, disguised, labelled, scores, table

PAGE = Path(__file__).parent.parent.parent / "docs" / "guardrails" / "measured.md"


def test_the_documentation_says_what_is_measured() -> None:
    """The tables on the page are those that the set gives today."""
    page = PAGE.read_text(encoding="utf-8")
    assert table() in page
    assert disguised() in page


def test_the_set_is_large_enough_to_speak_of() -> None:
    """At least 600 texts, each rule with some, and many that only look as if."""
    texts = list(labelled())
    assert len(texts) >= 600
    assert sum(not labels for labels, _, _ in texts) >= 200
    assert all(score.right + len(score.missed) >= 20 for score in scores().values())


def test_rules_are_as_right_as_they_are_said_to_be() -> None:
    """What has a check is nearly never wrong; what is guessed from words is seldom wrong, and misses some."""
    made = scores()
    assert all(made[kind].precision >= 0.97 and made[kind].recall >= 0.95 for kind in KINDS[:-1])
    assert made[KINDS[-1]].precision >= 0.95
    assert made[HELD_BACK].precision >= 0.9
