"""What must agree word for word in two questions, however alike they are: all that is not an ordinary word.

Numbers with their units, dates and times, and all other words that are not in ``ordinary_words.txt`` (names,
quotations, identifiers, negations, directions, words of other languages), each in the order in which they are said. So
what is not known counts, and only what is known to make no difference may differ: those words, and phrases that ask.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Final
from unicodedata import normalize

from gateway.exchanges.quantities import (
    MAGNITUDES,
    MONEY,
    MONTHS,
    MONTHS_ALONE,
    ORDINALS,
    SPOKEN,
    UNITS,
    WEEKDAYS,
    spoken,
    written,
)

_MONTH: Final = "|".join(sorted(MONTHS, key=len, reverse=True))
_DAY: Final = r"\d{1,2}(?:st|nd|rd|th)?"
_SIGN: Final = r"(?:(?<![\w)])[-−](?=[$€£¥₹]?\d))?"
_DIGITS: Final = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,])|\d+(?:\.\d+)?)"
TOKEN: Final = re.compile(
    rf"""
    (?P<said> "[^"]{{0,300}}" | “[^”]{{0,300}}” | «[^»]{{0,300}}» | `[^`]{{0,300}}` | (?<!\w)'[^'\n]{{0,300}}'(?!\w) )
  | (?P<address> \b[a-z][a-z+.-]{{0,20}}://[^\s"<>]+ | [^\s@"<>]{{1,64}}@[^\s@"<>]+ )
  | (?P<date> (?a: \b{_DAY}(?:\s+of)?\s+(?:{_MONTH})\b(?:\.?,?\s+\d{{4}}\b)?
            | \b(?:{_MONTH})\b\.?\s+(?:the\s+)?{_DAY}(?![:.]\d)\b(?:,?\s+\d{{4}}\b)? | \b\d{{4}}-\d\d-\d\d\b ))
  | (?P<time> \b\d{{1,2}}(?::\d\d){{0,2}}\s?[ap]\.?m\b\.? | \b\d{{1,2}}(?::\d\d){{1,2}}\b )
  | (?P<compound> \d+(?:[./:-]\d+){{2,}} | \d+[/:–-]\d+ )
  | (?P<number> {_SIGN}[$€£¥₹]?{_DIGITS}(?:(?:st|nd|rd|th)\b)? )
  | (?P<spoken> (?a: \b{SPOKEN} ) )
  | (?P<word> [^\W\d]\w*(?:'\w+)* )
  | (?P<mark> \S ) | (?P<line> \n )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_DEGREES: Final = re.compile(r"(?:\bdegrees?\s+|°\s?)(c|f)(?:elsius|ahrenheit)?\b", re.IGNORECASE)
_SHORT: Final = re.compile(r"(.+?)(n't|'(?:s|m|re|ve|ll|d))", re.IGNORECASE)
_BASES: Final = {"ca": "can", "wo": "will", "sha": "shall"}
_TELL: Final = "tell|show|give|explain|help|describe|define|summarize|list|write|recommend|suggest|translate|find|say"
_ASKS: Final = re.compile(
    rf"""\A(?:\W{{0,3}}(?: please | kindly | hello | hi | hey
    | (?:can|could|would|will)\s+you\s+(?:please\s+)?(?=(?:{_TELL})\b) | do\s+you\s+know
    | i(?:\s+would|'d)\s+like\s+to\s+(?:know|learn|understand) | i\s+want\s+to\s+(?:know|learn|understand)
    | (?:tell|show|give)\s+me(?:\s+about)? | explain(?:\s+to\s+me)?
    | let\s+me\s+know )\b)+ | \W{{1,3}}please\W{{0,3}}\Z""",
    re.VERBOSE | re.IGNORECASE,
)
_HOW: Final = re.compile(
    r"\bhow\s+(?:(?:can|could|do|would|should)\s+)?(?:i|we|one)\b|\b(?:the|a)(?:\s+(?:best|right|good))?\s+way\s+to\b",
    re.IGNORECASE,
)
_OVER_TEXT: Final = re.compile(
    r"\n|[:：](?!\S)|\b(?:translat|correct|fix|gramma|spell|proofread|edit|re(?:write|phrase|word)|paraphrase|summar)"
    r"|\b(?:shorten|repeat|say)",
    re.IGNORECASE,
)
"""Of a request to do something with a text, each word of which counts."""
ENDS: Final = frozenset(".!?:…")
PAUSES: Final = ENDS | frozenset(",;'")
CLOSING: Final = frozenset(".,;:!?…\"')]}”»")


@dataclass(slots=True)
class _Token:
    kind: str
    text: str
    begins: bool
    """Whether it is the first of a sentence."""


@dataclass(slots=True)
class _Told:
    """What must agree, in order."""

    ordinary: frozenset[str]
    """The words that may differ."""
    numbers: list[str] = field(default_factory=list)
    dates: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)


def agreement(text: str) -> list[list[str]]:
    """What must agree in this text: its numbers, its dates, its words."""
    tokens = list(_tokens(_plain(text)))
    told, at = _Told(frozenset() if _OVER_TEXT.search(text) else ordinary()), 0
    while at < len(tokens):
        at = _tell(told, tokens, at)
    return [told.numbers, told.dates, told.words]


def _plain(text: str) -> str:
    """The text without phrases that only ask, and one phrase for those that ask how."""
    text = normalize("NFC", text).replace("’", "'")
    text = _DEGREES.sub(lambda found: " celsius" if found[1] in "cC" else " fahrenheit", text)
    return _HOW.sub("how", _ASKS.sub("", text))


@cache
def ordinary() -> frozenset[str]:
    """The words that may differ in a question."""
    return frozenset((files("gateway.exchanges") / "ordinary_words.txt").read_text(encoding="utf-8").split())


def _tokens(text: str) -> Iterator[_Token]:
    begins = True
    for match in TOKEN.finditer(text):
        kind, said = match.lastgroup or "", match.group()
        pauses = kind == "line" or (kind == "mark" and _is_pause(text, match.start()))
        if not pauses:
            yield _Token(kind, said, begins)
        begins = pauses and (begins or kind == "line" or said in ENDS)


def _is_pause(text: str, at: int) -> bool:
    """Whether a mark only parts sentences and words."""
    mark, before, after = text[at], text[max(0, at - 1) : at], text[at + 1 : at + 2]
    if mark in "-–":
        return before.isalnum() and after.isalnum() and (before.isalpha() or after.isalpha())
    return mark == "—" or (mark in PAUSES and (not after or after.isspace() or after in CLOSING))


def _tell(told: _Told, tokens: Sequence[_Token], at: int) -> int:
    """Tells what must agree of a token; where it goes on."""
    token = tokens[at]
    match token.kind:
        case "spoken" if token.text[0].isupper() and not token.begins:
            told.words.append(token.text)
        case "number" | "spoken":
            return _number(told, tokens, at)
        case "date":
            told.dates.append(_date(token.text))
        case "time":
            told.dates.append(_time(token.text))
        case "said":
            told.words.append(f'"{token.text[1:-1]}')
        case "word":
            _word(told, token)
        case _:
            told.words.append(token.text)
    return at + 1


def _number(told: _Told, tokens: Sequence[_Token], at: int) -> int:
    """A number, its magnitude, and its unit: the word after it, if that is no ordinary one."""
    text = tokens[at].text
    sign, unit = "-" if text[0] in "-−" else "", ""
    digits, times, at = text.lstrip("-−"), 1, at + 1
    if tokens[at - 1].kind == "spoken":
        digits = str(spoken(digits))
    elif digits[0] in MONEY:
        unit, digits = MONEY[digits[0]], digits[1:]
    elif digits[-1].isalpha():
        unit, digits = "th", digits[:-2]
    if at < len(tokens) and tokens[at].text.lower() in MAGNITUDES:
        times, at = MAGNITUDES[tokens[at].text.lower()], at + 1
    if not unit and at < len(tokens) and not tokens[at].begins and (named := _unit(told, tokens[at])):
        unit, at = named, at + 1
    told.numbers.append(f"{sign}{written(digits, times)} {unit}".rstrip())
    return at


def _unit(told: _Told, token: _Token) -> str:
    if token.text == "%":
        return "%"
    folded = token.text.lower()
    if token.kind != "word" or folded in WEEKDAYS or folded in MONTHS_ALONE or folded in ORDINALS:
        return ""
    found = _Told(told.ordinary)
    _word(found, token)
    return found.words[0] if len(found.words) == 1 else ""


def _word(told: _Told, token: _Token) -> None:
    short = _SHORT.fullmatch(token.text)
    base = short[1] if short else token.text
    negates = short is not None and short[2].lower() == "n't"
    if base.lower() == "cannot":
        base, negates = "can", True
    base = _BASES.get(base.lower(), base) if negates else base
    if negates:
        told.words.append("not")
    folded = base.casefold()
    if folded in WEEKDAYS or folded in MONTHS_ALONE:
        told.dates.append(folded if folded in WEEKDAYS else f"month {MONTHS[folded]}")
    elif folded in ORDINALS:
        told.numbers.append(f"{ORDINALS[folded]} th")
    elif not (folded in told.ordinary and (base.islower() or (token.begins and base.istitle()))):
        told.words.append(_name(base))


def _name(word: str) -> str:
    """A word in the form that is compared: as it is written, if that has a meaning of its own."""
    if len(word) == 1 or not (word.islower() or word.istitle()):
        return UNITS.get(word, word) if word.islower() else word
    return UNITS.get(word.casefold(), word.casefold())


def _date(text: str) -> str:
    """A date, as far as it is said: year, month, day."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        year, month, day = map(int, text.split("-"))
    else:
        month = next(MONTHS[word] for word in re.findall(r"[a-z]+", text.lower()) if word in MONTHS)
        day, year = [*map(int, re.findall(r"\d+", text)), 0][:2]
    return f"{year}-{month}-{day}"


def _time(text: str) -> str:
    """A time of the day, by 24 hours."""
    hour, minute, *rest = [*map(int, re.findall(r"\d+", text)), 0][: max(2, len(re.findall(r"\d+", text)))]
    half = re.search(r"[ap]", text.lower())
    if half is not None:
        hour = hour % 12 + (12 if half[0] == "p" else 0)
    return ":".join(f"{part:02}" for part in (hour, minute, *rest))
