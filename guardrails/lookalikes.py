"""Lookalikes: a text as it is read, where its signs are others than they seem.

Full-width and other forms of letters become the letters (NFKC), signs that nobody sees and marks that no letter has go,
and what looks like a letter of ASCII becomes that, in words that are of both or that are wholly of such. Every place
in it is one in the text, so that what is found can be taken out there. The time is linear in the text.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path

INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
BEYOND_ASCII = re.compile(r".?[^\t-\r -~]+", re.DOTALL)
"""What is not seen as it is written, and the sign before it, to which marks may belong."""
WORD = re.compile(r"\w+")
LETTER = re.compile("[A-Za-z]")
MOST_MARKS = 30
"""How many marks are put in order with a letter, which takes time with the square of their number; Unicode's bound for
streams. Further ones belong to no letter."""
MOST_OF_ONE = 4
"""How many signs one may become; one that would become more, as a whole blessing in Arabic does, stays as it is."""
MARKS = frozenset({"Mn", "Me"})


@dataclass(frozen=True, slots=True)
class Plain:
    """A text as it is read, in pieces, each of which stands somewhere in the text as it is written."""

    text: str
    _starts: array[int] = field(repr=False)
    _begins: array[int] = field(repr=False)
    _ends: array[int] = field(repr=False)

    def written(self, start: int, end: int) -> tuple[int, int]:
        """The part of the text as it is written that a part of this one, of a character at least, stands for."""
        first, last = bisect_right(self._starts, start) - 1, bisect_right(self._starts, end - 1) - 1
        begins = self._begins[first] + (start - self._starts[first] if self._is_even(first) else 0)
        ends = self._begins[last] + end - self._starts[last] if self._is_even(last) else self._ends[last]
        return begins, ends

    def _is_even(self, piece: int) -> bool:
        """Whether each character of a piece stands for one."""
        then = self._starts[piece + 1] if piece + 1 < len(self._starts) else len(self.text)
        return then - self._starts[piece] == self._ends[piece] - self._begins[piece]


def plain(text: str) -> Plain | None:
    """A text as it is read; None where it is read as it is written."""
    if _is_plain(text):
        return None
    said: list[str] = []
    starts, begins, ends = array("q"), array("q"), array("q")
    at = length = 0
    for begin, end, form in (*_uneven(text), (len(text), len(text), "")):
        for start, stop, piece in ((at, begin, _even(text[at:begin])), (begin, end, form)):
            if piece:
                starts.append(length)
                begins.append(start)
                ends.append(stop)
                said.append(piece)
                length += len(piece)
        at = end
    read = WORD.sub(_word, "".join(said)).translate(_table()[2])
    return None if read == text else Plain(read, starts, begins, ends)


def loosely(text: str) -> tuple[Sequence[str], Sequence[str]] | None:
    """What each sign of a text may be read as, whatever stands beside it, where :func:`plain` is worth asking: in its
    own script, and as what it looks like. What reads the same is the same object, and what is read as it is written
    the text; None where both are."""
    if _is_plain(text):
        return None
    usual = unicodedata.is_normalized("NFKC", text) and INVISIBLE.search(text) is None
    own = text if usual else list(map(_own, text))
    alike = list(map(_alike, text))
    if "".join(alike) == "".join(own):
        return None if usual else (own, own)
    return own, alike


@lru_cache(maxsize=4096)
def _own(sign: str) -> str:
    """A sign in its usual form, where it is seen. Marks, which may belong to a letter, are read by themselves."""
    if _is_plain(sign):
        return sign
    return sign if unicodedata.category(sign) in MARKS and not INVISIBLE.match(sign) else _form(sign)


@lru_cache(maxsize=4096)
def _alike(sign: str) -> str:
    """What a sign looks like. Marks, which may belong to no letter, are not read."""
    _, beside, others = _table()
    return "" if unicodedata.category(sign) in MARKS else _own(sign).translate(beside).translate(others)


def _is_plain(text: str) -> bool:
    """Whether a text is ASCII all of which is seen: then it is read as it is written."""
    return text.isascii() and CONTROL.search(text) is None


def _uneven(text: str) -> Iterator[tuple[int, int, str]]:
    """The parts of a text that become more or fewer characters, or none, and what they become."""
    for found in BEYOND_ASCII.finditer(text):
        at = found.start()
        while at < found.end():
            end = at + 1
            while end < min(found.end(), at + MOST_MARKS) and unicodedata.category(text[end]) in MARKS:
                end += 1
            form = _form(text[at]) if end - at == 1 else _composed(text[at:end])
            if end - at > 1 or len(form) != 1:
                yield at, end, form
            at = end


def _even(text: str) -> str:
    """A part each sign of which becomes one."""
    return text if text.isascii() else "".join(map(_form, text))


@lru_cache(maxsize=4096)
def _form(sign: str) -> str:
    return sign if sign.isascii() and sign.isprintable() else _composed(sign)


def _composed(written: str) -> str:
    form = unicodedata.normalize("NFKC", written)
    return written if len(form) > MOST_OF_ONE * len(written) else _without_marks(form)


def _without_marks(text: str) -> str:
    """A sign and its marks without what nobody sees, and without marks where it is of ASCII or looks so, as those that
    languages use have letters of their own, or where it is nothing."""
    seen = INVISIBLE.sub("", text)
    if len(seen) < 2 and seen.isascii():
        return seen
    if not seen[0].isascii() and unicodedata.category(seen[0]) not in MARKS and ord(seen[0]) not in _table()[1]:
        return seen
    return "".join(sign for sign in seen if unicodedata.category(sign) not in MARKS)


def _word(found: re.Match[str]) -> str:
    """A word in letters of ASCII, where it has some beside others, or only such as look like them."""
    word = found[0]
    if word.isascii():
        return word
    wholly, beside, _ = _table()
    if LETTER.search(word):
        return word.translate(beside)
    read = word.translate(wholly)
    return read if read.isascii() else word


@cache
def _table() -> tuple[Mapping[int, str], Mapping[int, str], Mapping[int, str]]:
    """What signs look like: those of a word in one script; of one beside letters of ASCII, where small letters count as
    well whose capitals look alike; and signs that are no letters."""
    alike: dict[str, str] = {}
    for line in (Path(__file__).parent / "lookalikes.txt").read_text(encoding="utf-8").splitlines():
        letter, _, signs = line.partition(" ")
        if len(letter) == 1 and letter != "#":
            alike |= dict.fromkeys(signs, letter)
    letters = {sign: letter for sign, letter in alike.items() if letter.isalpha()}
    small = {sign.lower(): letter.lower() for sign, letter in letters.items() if len(sign.lower()) == 1}
    return (
        str.maketrans(letters),
        str.maketrans({**small, **letters}),
        str.maketrans({sign: other for sign, other in alike.items() if not other.isalpha()}),
    )
