"""Names that people mistype: which known one they meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

CLOSE = 0.82
"""How alike two names are that are one and the same, mistyped: ``temprature`` is, ``top_k`` and ``top_p`` are two."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant, if there is one."""
    return next(iter(get_close_matches(name, sorted(known), n=1, cutoff=CLOSE)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?``, or nothing."""
    meant = nearest(name, known)
    return f"; did you mean '{meant}'?" if meant else ""
