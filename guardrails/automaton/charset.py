"""Charset: a set of characters as regular expressions write it, or of the edges of a text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from re._casefix import _EXTRA_CASES as EXTRA_CASES  # type: ignore[import-not-found]  # what `re` folds beside `lower`
from typing import Any

Test = Callable[[str], bool]


class Charset:
    """Whether it has a character; the empty text stands for the edge of a text."""

    __slots__ = ("_folds", "_has_edge", "_known", "_negated", "_tests")

    def __init__(
        self, tests: Iterable[Test], *, negated: bool = False, has_edge: bool = False, ignore_case: bool = False
    ) -> None:
        self._tests = tuple(tests)
        self._negated = negated
        self._has_edge = has_edge
        self._folds = ignore_case
        self._known: dict[str, bool] = {}

    def __contains__(self, sign: str) -> bool:
        known = self._known.get(sign)
        if known is None:
            known = self._has(sign)
            if sign < "\x80":
                self._known[sign] = known
        return known

    def _has(self, sign: str) -> bool:
        if not sign:
            return self._has_edge
        forms = _cases(sign) if self._folds else {sign}
        return any(test(form) for form in forms if len(form) == 1 for test in self._tests) is not self._negated


def _cases(sign: str) -> set[str]:
    """A character in all cases that :mod:`re` takes for the same; of what becomes several, the first."""
    small = sign.lower()[0]
    return {sign, small, small.upper(), sign.upper(), *map(chr, EXTRA_CASES.get(ord(small), ()))}


def is_word(sign: str) -> bool:
    """Whether ``\\w`` has it."""
    return sign.isalnum() or sign == "_"


def one(code: int, *, ignore_case: bool = False) -> Test:
    """The test for one character."""
    wanted = (chr(code), chr(code).lower()[0]) if ignore_case else (chr(code),)
    return lambda sign: sign in wanted


def between(low: int, high: int) -> Test:
    """The test for a range, both ends in it."""
    first, last = chr(low), chr(high)
    return lambda sign: first <= sign <= last


def other(test: Test) -> Test:
    """The opposite."""
    return lambda sign: not test(sign)


CATEGORIES: dict[str, Test] = {
    "CATEGORY_DIGIT": str.isdecimal,
    "CATEGORY_NOT_DIGIT": other(str.isdecimal),
    "CATEGORY_SPACE": str.isspace,
    "CATEGORY_NOT_SPACE": other(str.isspace),
    "CATEGORY_WORD": is_word,
    "CATEGORY_NOT_WORD": other(is_word),
}
WORD = Charset([is_word])
NO_WORD = Charset([is_word], negated=True, has_edge=True)
EDGE = Charset([], has_edge=True)
LINE_EDGE = Charset([one(ord("\n"))], has_edge=True)
ANY = Charset([], negated=True)
NO_NEWLINE = Charset([one(ord("\n"))], negated=True)


def of_items(items: Iterable[tuple[Any, Any]], *, ignore_case: bool, edge: bool = False) -> Charset:
    """The set between brackets, as the parser of :mod:`re` gives it; ``edge`` says whether an edge is in it."""
    tests: list[Test] = []
    negated = False
    for kind, value in items:
        name = str(kind)
        if name == "NEGATE":
            negated = True
        elif name == "LITERAL":
            tests.append(one(value, ignore_case=ignore_case))
        elif name == "RANGE":
            tests.append(between(*value))
        else:
            tests.append(CATEGORIES[str(value)])
    return Charset(tests, negated=negated, has_edge=edge, ignore_case=ignore_case)
