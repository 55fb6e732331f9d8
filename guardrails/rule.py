"""Rules: what is looked for in a text, and what becomes of a text in which it is found."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from guardrails.verdict import Action

Parts: TypeAlias = Iterable[tuple[int, int]]
"""Parts of a text, by their beginnings and ends."""
Mode: TypeAlias = Literal["enforce", "shadow"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of thing that is looked for: by patterns and terms, and by a check of what they match."""

    name: str
    patterns: tuple[str, ...] = ()
    """Regular expressions without references back and long looks around, see :mod:`guardrails.automaton.patterns`."""
    terms: tuple[str, ...] = ()
    """Words and phrases, in any case."""
    check: Callable[[str], Parts] | None = None
    """Says which parts of a matched piece really are one; without it all of it is."""
    ignore_case: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """What rules have in common.

    Attributes:
        name: its name in verdicts, metrics and logs.
        message: what a caller whose text it refuses is told.
        action: what becomes of a text in which it finds something.
        mode: ``shadow`` records what it would have done and does nothing.
        sample: the share of texts that it looks at, from 0 to 1.
    """

    name: str
    message: str
    action: Action = "refuse"
    mode: Mode = "enforce"
    sample: float = 1.0

    @property
    def does(self) -> Action:
        """What becomes of a text, its mode being what it is."""
        return self.action if self.mode == "enforce" else "flag"

    def looks(self, draw: Callable[[], float] = random.random) -> bool:
        """Whether a text is in its sample, drawn anew each time."""
        return self.sample >= 1 or draw() < self.sample


@dataclass(frozen=True, slots=True)
class SpanRule(Rule):
    """A rule that finds parts of a text, wherever in it they are."""

    kinds: tuple[Kind, ...] = ()


@dataclass(frozen=True, slots=True)
class TextRule(Rule):
    """A rule about a text as a whole; of a stream it needs all before anything of it is released."""

    look: Callable[[str], str] = str
    """Why a text is refused; empty when it is not."""
    of_form: bool = False
    """Whether it says in what form an answer is: that says nothing of thoughts and whatever else stands beside it."""


@dataclass(frozen=True, slots=True)
class LengthRule(Rule):
    """A rule about how long a text is, in characters; of a stream nothing beyond it is released."""

    most: int = 1
