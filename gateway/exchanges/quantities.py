"""How quantities and dates are written in English: the words for them, and one form for those that mean the same."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final


def _numbered(words: str, first: int = 1, step: int = 1) -> dict[str, int]:
    return {word: first + at * step for at, word in enumerate(words.split())}


def _forms(rows: str) -> dict[str, str]:
    """Each word of a row, by which the first one stands for all of them."""
    return {word: row.split()[0] for row in rows.strip().splitlines() for word in row.split()}


MONTHS: Final = (
    _numbered("january february march april may june july august september october november december")
    | _numbered("jan feb mar apr may jun jul aug sep oct nov dec")
    | {"sept": 9}
)
MONTHS_ALONE: Final = MONTHS.keys() - {"mar", "dec", "jan"}
"""Those that are months also where no day stands beside them."""
WEEKDAYS: Final = frozenset(["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"])
ORDINALS: Final = {"first": 1} | _numbered("third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth", 3)
"""Without ``second``, which is a time too."""
DIGITS: Final = _numbered("one two three four five six seven eight nine")
TEENS: Final = _numbered("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen", 10) | {
    "zero": 0
}
TENS: Final = _numbered("twenty thirty forty fifty sixty seventy eighty ninety", 20, 10)
MAGNITUDES: Final = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
SMALL: Final = DIGITS | TEENS | TENS
MONEY: Final = {"$": "dollar", "€": "euro", "£": "gbp", "¥": "¥", "₹": "inr"}
UNITS: Final = _forms(
    """
    km kilometer kilometers kilometre kilometres
    m meter meters metre metres
    cm centimeter centimeters centimetre centimetres
    mm millimeter millimeters millimetre millimetres
    mile miles mi
    foot feet ft
    inch inches
    yard yards yd
    kg kilogram kilograms kilo kilos
    g gram grams
    lb lbs
    oz ounce ounces
    liter liters litre litres
    second seconds sec secs s
    minute minutes min mins
    hour hours hr hrs h
    day days
    week weeks
    month months
    year years yr yrs
    dollar dollars usd
    euro euros eur
    yen jpy
    % percent
    """
)
_SMALL: Final = rf"(?:(?:{'|'.join(TENS)})(?:[\s-](?:{'|'.join(DIGITS)})\b)?|(?:{'|'.join((*TEENS, *DIGITS))}))"
_HUNDREDS: Final = rf"(?:(?:{_SMALL}[\s-])?hundred\b(?:\s(?:and\s)?{_SMALL}\b)?|{_SMALL}\b)"
SPOKEN: Final = rf"{_HUNDREDS}(?:\s(?:{'|'.join(MAGNITUDES)})\b(?:\s(?:and\s)?{_HUNDREDS})?)*"
"""A number in words."""
VERBATIM: Final = re.compile(r"0\d+.*|\d{1,3}\.\d{3}")
"""Codes; and what is thousands to some, thousandths to others."""


def spoken(words: str) -> int:
    """The number that :data:`SPOKEN` has found."""
    total = current = 0
    for word in re.split(r"[\s-]", words.lower()):
        if word == "hundred":
            current = (current or 1) * 100
        elif word in MAGNITUDES:
            total, current = total + current * MAGNITUDES[word], 0
        else:
            current += SMALL.get(word, 0)
    return total + current


def written(digits: str, times: int = 1) -> str:
    """The one form of a number in digits, with separators or not."""
    if VERBATIM.fullmatch(digits):
        return f"{digits}*{times}"
    plain = digits.replace(",", "")
    return plain if times == 1 else format((Decimal(plain) * times).normalize(), "f")
