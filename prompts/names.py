"""Names that people mistype: which known one they meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice
from typing import Final

CLOSE: Final = 0.82
"""How alike two names are that are one and the same, mistyped: ``temprature`` is, ``top_k`` and ``top_p`` are two."""
LIKELY: Final = 0.65
"""How alike they are where the first is certainly none: then what comes nearest helps, and cannot mislead."""
LONGEST: Final = 200
"""Names of more characters are nobody's slip, and comparing them would take long."""
MOST: Final = 1000
"""So many known names are compared: a body can have any number of fields."""


def nearest(name: str, known: Iterable[str], alike: float = CLOSE) -> str | None:
    """The known name that was probably meant, if there is one."""
    if len(name) > LONGEST:
        return None
    few = [each for each in islice(known, MOST) if len(each) <= LONGEST]
    return next(iter(get_close_matches(name, sorted(few), n=1, cutoff=alike)), None)


def did_you_mean(name: str, known: Iterable[str], alike: float = CLOSE) -> str:
    """``; did you mean 'x'?``, or nothing."""
    meant = nearest(name, known, alike)
    return f"; did you mean '{meant}'?" if meant else ""
