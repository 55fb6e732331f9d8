"""The month that a date in words falls into."""

from __future__ import annotations

import re
from calendar import day_name, month_name
from datetime import date, timedelta

MONTHS = tuple(month_name)[1:]
_BY_PREFIX = {name[:3].casefold(): number for number, name in enumerate(MONTHS, 1)}
MAY = 5
_MAYBE = re.compile(r"(?<!\d )(?<!\d(?:st|nd|rd|th) )(?<!\b(?:in|of) )(?<!early )(?<!late )(?<!mid )\bmay\b(?! \d)")
_DAYS = tuple(name.casefold() for name in day_name)
_ISO = re.compile(r"\b\d{4}[-/](\d{1,2})(?:[-/]\d{1,2})?\b")
_NUMERIC = re.compile(r"\b(\d{1,2})[./](\d{1,2})(?:[./]\d{2,4})?\b")
_IN = re.compile(r"\bin (?:an? |one |two |three |(\d{1,3}) )?(day|week|month)s?\b")
_NUMBERS = {"two": 2, "three": 3}
_OFFSETS = {
    "today": 0,
    "tonight": 0,
    "now": 0,
    "day after tomorrow": 2,
    "tomorrow": 1,
    "weekend": 4,
    "this week": 2,
    "next week": 7,
    "this month": 0,
}
_LENGTHS = {"day": 1, "week": 7, "month": 30}


def month_of(words: str, today: date) -> int | None:
    """The month, 1 to 12, of a date such as ``14 May``, ``2027-04-02``, ``early July`` or ``next Friday``.

    Of a range it is the month of the beginning. None when there is no month in it.
    """
    text = words.casefold()
    return _numeric(text) or _named(text) or _relative(text, today)


def _numeric(text: str) -> int | None:
    if found := _ISO.search(text):
        return _valid(int(found[1]))
    if found := _NUMERIC.search(text):
        day, month = int(found[1]), int(found[2])
        return _valid(month) or _valid(day)  # 5/23 can only be the 23rd of May
    return None


def _valid(month: int) -> int | None:
    return month if 1 <= month <= 12 else None


def _named(text: str) -> int | None:
    """The first month that is named. ``may`` is a verb too, so beside another month it needs a day or an ``in``."""
    sure = _MAYBE.sub(" ", text)
    named = [_BY_PREFIX[word[:3]] for word in re.findall(r"[a-z]+", sure) if _is_month(word)]
    return named[0] if named else MAY if re.search(r"\bmay\b", text) else None


def _is_month(word: str) -> bool:
    month = _BY_PREFIX.get(word[:3])
    return month is not None and MONTHS[month - 1].casefold().startswith("sep" if word == "sept" else word)


def _relative(text: str, today: date) -> int | None:
    if "next month" in text:
        return today.month % 12 + 1
    if found := _IN.search(text):
        number = next((_NUMBERS[word] for word in _NUMBERS if f" {word} " in found[0]), int(found[1] or 1))
        return (today + timedelta(days=number * _LENGTHS[found[2]])).month
    for words, days in _OFFSETS.items():
        if words in text:
            return (today + timedelta(days=days)).month
    for index, name in enumerate(_DAYS):
        if name in text or re.search(rf"\b{name[:3]}\b", text):
            days = (index - today.weekday()) % 7
            return (today + timedelta(days=days or 7)).month
    return None
