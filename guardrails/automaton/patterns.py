"""Patterns of :mod:`re` as nodes of a program.

What an automaton cannot do is refused with its remedy: references back to groups, and looking further ahead or behind
than one character. ``$`` is the end of the text, with ``(?m)`` of a line; greedy or not is the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from guardrails.automaton.charset import ANY, EDGE, LINE_EDGE, NO_NEWLINE, NO_WORD, WORD, Charset, of_items, one
from guardrails.automaton.program import Accept, Ahead, Behind, Program, Split, Take
from guardrails.errors import PatternRefused

_parser: Any = import_module("re._parser")
"""The only parser of exactly the patterns that ``re`` takes; type checkers do not agree that it is there."""
MAX_REPEATS = 1000
"""How often a pattern may ask for something to be repeated, where it says how often."""
CHARACTERS = ("LITERAL", "NOT_LITERAL", "IN", "ANY")


def add_pattern(program: Program, pattern: str, rule: int, flags: int = 0) -> None:
    """Looks for a pattern, whose matches are those of a rule.

    Raises:
        PatternRefused: when it is none, matches the empty text, or asks for what streams cannot give.
    """
    try:
        tree = _parser.parse(pattern, flags)
    except re.error as error:
        raise PatternRefused(f"'{pattern}' is no regular expression: {error}") from error
    if tree.state.flags & re.ASCII or "(?a" in pattern:
        raise PatternRefused(f"pattern '{pattern}': it is for texts in Unicode; write [A-Za-z0-9_] instead of (?a)")
    maker = _Maker(program, pattern, tree.state.flags)
    begin = maker.sequence(tree, program.add(Accept(rule)))
    maker.check(begin)
    program.begins.append(begin)


class _Maker:
    """Makes nodes from back to front: each part is told the node that comes after it."""

    def __init__(self, program: Program, pattern: str, flags: int) -> None:
        self._program = program
        self._pattern = pattern
        self._flags = flags

    def sequence(self, parts: Sequence[tuple[Any, Any]], then: int) -> int:
        """Parts one after the other."""
        for kind, value in reversed(parts):
            then = self._part(str(kind), value, then)
        return then

    def check(self, begin: int) -> None:
        """Refuses what matches nothing at all, and a look behind right after a look ahead, which nobody can decide."""
        reached = list(self._program.reached([begin]))
        if any(isinstance(self._program.nodes[number], Accept) for number in reached):
            raise self._refused("it matches the empty text; ask for at least one character")
        for number in range(begin + 1):
            node = self._program.nodes[number]
            if isinstance(node, Ahead) and any(
                isinstance(self._program.nodes[way], Behind) for way in self._program.reached([node.then])
            ):
                raise self._refused("it looks back right after looking ahead; put the look behind first")

    def _part(self, kind: str, value: Any, then: int) -> int:
        if kind in CHARACTERS:
            return self._program.add(Take(self._charset(kind, value), then))
        makers: dict[str, Callable[[Any, int], int]] = {
            "SUBPATTERN": self._group,
            "BRANCH": lambda value, then: self._program.add(Split([self.sequence(way, then) for way in value[1]])),
            "MAX_REPEAT": self._repeat,
            "MIN_REPEAT": self._repeat,
            "AT": self._at,
            "ASSERT": lambda value, then: self._look(value, then, negated=False),
            "ASSERT_NOT": lambda value, then: self._look(value, then, negated=True),
        }
        if kind not in makers:
            raise self._refused(f"a stream cannot be searched for {kind.lower().replace('_', ' ')}; leave it out")
        return makers[kind](value, then)

    def _charset(self, kind: str, value: Any) -> Charset:
        folds = bool(self._flags & re.IGNORECASE)
        if kind == "ANY":
            return ANY if self._flags & re.DOTALL else NO_NEWLINE
        if kind == "IN":
            return of_items(value, ignore_case=folds)
        test = one(value, ignore_case=folds)
        return Charset([test], negated=kind == "NOT_LITERAL", ignore_case=folds)

    def _group(self, value: Any, then: int) -> int:
        _, added, taken, parts = value
        before = self._flags
        self._flags = (before | added) & ~taken
        begin = self.sequence(parts, then)
        self._flags = before
        return begin

    def _repeat(self, value: Any, then: int) -> int:
        least, most, parts = value
        endless = most is _parser.MAXREPEAT
        if max(least, 0 if endless else most) > MAX_REPEATS:
            raise self._refused(f"it repeats more than {MAX_REPEATS} times; leave the upper bound away")
        if endless:
            loop = Split([])
            then_loop = self._program.add(loop)
            loop.ways += [self.sequence(parts, then_loop), then]
            then = then_loop
        else:
            end = then
            for _ in range(most - least):
                then = self._program.add(Split([self.sequence(parts, then), end]))
        for _ in range(least):
            then = self.sequence(parts, then)
        return then

    def _at(self, value: Any, then: int) -> int:
        name = str(value)
        line = LINE_EDGE if self._flags & re.MULTILINE else EDGE
        if name in ("AT_BEGINNING", "AT_BEGINNING_STRING"):
            return self._program.add(Behind(line if name == "AT_BEGINNING" else EDGE, then))
        if name in ("AT_END", "AT_END_STRING"):
            return self._program.add(Ahead(line if name == "AT_END" else EDGE, then))
        before, after = ((WORD, NO_WORD), (NO_WORD, WORD)), ((WORD, WORD), (NO_WORD, NO_WORD))
        pairs = before if name == "AT_BOUNDARY" else after
        ways = [self._program.add(Behind(left, self._program.add(Ahead(right, then)))) for left, right in pairs]
        return self._program.add(Split(ways))

    def _look(self, value: Any, then: int, *, negated: bool) -> int:
        direction, parts = value
        if len(parts) != 1 or str(parts[0][0]) not in CHARACTERS:
            raise self._refused("it may look one character ahead or behind, not further")
        inner = self._charset(str(parts[0][0]), parts[0][1])
        looked = Charset([lambda sign: sign in inner], negated=negated, has_edge=negated)
        return self._program.add(Ahead(looked, then) if direction > 0 else Behind(looked, then))

    def _refused(self, why: str) -> PatternRefused:
        return PatternRefused(f"pattern '{self._pattern}': {why}")
