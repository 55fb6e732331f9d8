"""What a guardrail or a judge says about a text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a text may pass, why not, and how good it is where the one who judged can say."""

    allowed: bool
    reason: str = ""
    score: float | None = None
    """From 0 (useless) to 1 (nothing left to wish for); None when nobody scored it."""
