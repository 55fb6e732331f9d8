"""Prompt injection: words by which a text tries to become the one who gives the orders.

These are heuristics: each sign has a weight, and a text whose signs weigh enough together is one. How many they find,
and how often they are wrong, stands in ``docs/guardrails/measured.md``; they are one layer of several.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

from guardrails.automaton import Machine, Program, Scan
from guardrails.automaton.patterns import add_pattern
from guardrails.lookalikes import plain
from guardrails.rule import TextRule
from guardrails.verdict import Action

THRESHOLD = 1.0
SEPARATED = re.compile(r"\b(?:\w[ .*_-]){4,}\w\b")


def prompt_injection(
    *,
    threshold: float = THRESHOLD,
    name: str = "prompt_injection",
    action: Action = "refuse",
    message: str = "The text tries to change the instructions.",
) -> TextRule:
    """The rule about prompt injection; a lower ``threshold`` finds more and is wrong more often."""

    def look(text: str) -> str:
        return "" if weight(text) < threshold else "It looks like a prompt injection."

    return TextRule(name, message, action, look=look)


def weight(text: str) -> float:
    """How much the signs in a text weigh together; each counts once."""
    weights, machine = _signs()
    scan = Scan(machine)
    seen = bare(text)
    return sum(weights[number] for number in {match.rule for match in (*scan.feed(seen), *scan.end())})


def bare(text: str) -> str:
    """A text without what hides words: invisible signs, other forms of letters, blanks between letters, case."""
    read = plain(text)
    visible = (text if read is None else read.text).replace("’", "'")
    joined = SEPARATED.sub(lambda found: re.sub(r"[ .*_-]", "", found[0]), visible)
    return re.sub(r"[ \t]+", " ", joined).casefold()


@cache
def _signs() -> tuple[list[float], Machine]:
    """The weights of all signs, and what looks for them; made when the first text is looked at."""
    signs = tomllib.loads((Path(__file__).parent / "injection.toml").read_text(encoding="utf-8"))["signs"]
    program = Program()
    for number, sign in enumerate(signs):
        add_pattern(program, sign["pattern"], number)
    return [sign["weight"] for sign in signs], Machine(program)
