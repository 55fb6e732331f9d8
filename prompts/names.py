"""Names that people mistype: which known one they meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

CLOSE: Final = 0.82
"""How alike two names are that are one and the same, mistyped: ``temprature`` is, ``top_k`` and ``top_p`` are two."""
LIKELY: Final = 0.65
"""How alike they are where the first is certainly none: then what comes nearest helps, and cannot mislead."""
LONGEST: Final = 200
"""Names of more characters are nobody's slip, and comparing them would take long."""


def nearest(name: str, known: Iterable[str], alike: float = CLOSE) -> str | None:
    """The known name that was probably meant, if there is one."""
    if len(name) > LONGEST:
        return None
    return next(iter(get_close_matches(name, sorted(known), n=1, cutoff=alike)), None)


def did_you_mean(name: str, known: Iterable[str], alike: float = CLOSE) -> str:
    """``; did you mean 'x'?``, or nothing."""
    meant = nearest(name, known, alike)
    return f"; did you mean '{meant}'?" if meant else ""
