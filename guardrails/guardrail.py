"""Guardrail: rules that hold together for one kind of text, compiled once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as moved
from typing import NamedTuple

from guardrails.automaton import Machine, Match, Program, Scan
from guardrails.automaton.patterns import add_pattern
from guardrails.groups import Found
from guardrails.lookalikes import plain
from guardrails.rule import Kind, LengthRule, Parts, Rule, SpanRule, TextRule
from guardrails.timing import Timing
from guardrails.verdict import Span, Verdict
from guardrails.window import Replace, Window, placeholder

MAX_HELD = 16_384
"""How many characters a stream may be held back for by default."""


class Checked(NamedTuple):
    """A text that has been looked at: as it may go on, and what was said of it."""

    text: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Sought:
    """A kind, and the rule that looks for it."""

    rule: SpanRule
    kind: Kind


class Guardrail:
    """Rules over texts, whole or in pieces: the same is found, however a text is cut.

    Args:
        name: what it is called in verdicts and logs.
        rules: in the order in which rules about whole texts are asked.
        max_held: how many characters of a stream may be held back; one that would need more is refused.
        lookalikes: whether texts are looked at as they are read, too.

    Raises:
        PatternRefused: when a pattern cannot be looked for in a stream.
    """

    def __init__(self, name: str, rules: Sequence[Rule], *, max_held: int = MAX_HELD, lookalikes: bool = True) -> None:
        self.name = name
        self.rules = tuple(rules)
        self.max_held = max_held
        self.lookalikes = lookalikes
        self.whole = tuple(rule for rule in rules if isinstance(rule, TextRule))
        self.lengths = tuple(rule for rule in rules if isinstance(rule, LengthRule))
        self.sought = tuple(Sought(rule, kind) for rule in rules if isinstance(rule, SpanRule) for kind in rule.kinds)
        self.machine = Machine(_program(self.sought))

    @property
    def enforces(self) -> bool:
        """Whether any rule does more than record."""
        return any(rule.does != "flag" for rule in self.rules)

    def window(self, replace: Replace = placeholder, timing: Timing | None = None, *, beside: bool = False) -> Window:
        """What a stream goes through; ``replace`` says what stands in place of a part that is redacted. To ``timing``
        is added how long rules about the whole take. ``beside`` is a text that stands beside an answer."""
        passed_over = self._passed_over(beside)
        nothing = bool(passed_over) and all(id(rule) in passed_over for rule in self.rules)
        return Window(
            Guardrail(self.name, ()) if nothing else self,
            replace,
            passed_over,
            self.max_held,
            timing or Timing(),
            reads=self.lookalikes and bool(self.sought) and not nothing,
        )

    def check(
        self, text: str, replace: Replace = placeholder, timing: Timing | None = None, *, beside: bool = False
    ) -> Checked:
        """Looks at a whole text, of any length, as it is written and (with ``lookalikes``) as it is read. Of a refused
        one, what stands before the refused part is given."""
        window = Window(self, replace, self._passed_over(beside), len(text), timing or Timing())
        if self.lookalikes and self.sought:
            window.add(self.read(text))
        released = window.feed(text) + window.end()
        return Checked(released, window.verdict)

    def spans(self, text: str, matches: Sequence[Match], offset: int, others: Sequence[Found] = ()) -> list[Found]:
        """What is found in a piece of a text that these matches make up, and by which rule, beside ``others`` that have
        been found in it; the piece begins at ``offset``."""
        found = list(others)
        for number in sorted({match.rule for match in matches}):
            rule, kind = self.sought[number].rule, self.sought[number].kind
            for start, end in _merged([match for match in matches if match.rule == number]):
                piece = text[start - offset : end - offset]
                parts: Parts = [(0, len(piece))] if kind.check is None else kind.check(piece)
                found += [
                    (Span(start + first, start + last, kind.name, rule.name, rule.does), rule) for first, last in parts
                ]
        return _outermost(found)

    def read(self, text: str, offset: int = 0) -> list[Found]:
        """What is found in a text as it is read, where it stands as it is written, the text beginning at ``offset``."""
        if (read := plain(text)) is None:
            return []
        scan = Scan(self.machine)
        found = self.spans(read.text, [*scan.feed(read.text), *scan.end()], 0)
        places = [read.written(span.start, span.end) for span, _ in found]
        return [
            (moved(span, start=offset + start, end=offset + end), rule)
            for (span, rule), (start, end) in zip(found, places, strict=True)
        ]

    def _passed_over(self, beside: bool) -> frozenset[int]:
        """The ids of rules whose sample this text is not in, or that say nothing of what stands ``beside`` an answer.
        Rules of different policies may have one name."""
        others = [id(rule) for rule in self.whole if rule.of_form] if beside else []
        return frozenset([*others, *(id(rule) for rule in self.rules if not rule.looks())])


def _program(sought: Sequence[Sought]) -> Program:
    program = Program()
    for number, each in enumerate(sought):
        for pattern in each.kind.patterns:
            add_pattern(program, pattern, number, re.IGNORECASE if each.kind.ignore_case else 0)
        for term in each.kind.terms:
            program.add_term(term, number)
    return program


def _outermost(found: list[Found]) -> list[Found]:
    """What is found, by its beginning; of what a rule finds within something else that it found only the latter."""
    outer: dict[int, int] = {}
    kept = []
    for span, rule in sorted(found, key=lambda pair: (pair[0].start, -pair[0].end)):
        if span.end > outer.get(id(rule), -1):
            outer[id(rule)] = span.end
            kept.append((span, rule))
    return kept


def _merged(matches: Sequence[Match]) -> list[tuple[int, int]]:
    """The parts that matches cover, those that overlap as one."""
    parts: list[tuple[int, int]] = []
    for match in sorted(matches, key=lambda match: match.start):
        if parts and match.start < parts[-1][1]:
            parts[-1] = (parts[-1][0], max(parts[-1][1], match.end))
        else:
            parts.append((match.start, match.end))
    return parts
