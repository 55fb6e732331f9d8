"""What a guardrail or a judge says about a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

Action: TypeAlias = Literal["allow", "flag", "redact", "refuse"]
"""What becomes of a text, from the mildest to the strictest."""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a text that a rule is about, in characters from its beginning."""

    start: int
    end: int
    kind: str
    """What it is, of what the rule knows: ``email``."""
    rule: str
    action: Action = "refuse"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a text may pass, why not, and how good it is where the one who judged can say."""

    allowed: bool
    reason: str = ""
    score: float | None = None
    """From 0 (useless) to 1 (nothing left to wish for); None when nobody scored it."""
    rule: str = ""
    """Which rule refused it."""
    spans: tuple[Span, ...] = ()
    """What was found, in order. Rules that look at a text as a whole find no spans."""
    flags: tuple[str, ...] = ()
    """Rules that have something to say about the text and let it pass."""

    @classmethod
    def of(cls, verdicts: Sequence[Verdict]) -> Verdict:
        """Several as one: all that was found, and why the first that refuses does."""
        spans = tuple(span for verdict in verdicts for span in verdict.spans)
        flags = tuple(dict.fromkeys(flag for verdict in verdicts for flag in verdict.flags))
        refused = next((verdict for verdict in verdicts if not verdict.allowed), ALLOWED)
        return replace(refused, spans=spans, flags=flags)

    @property
    def action(self) -> Action:
        """What becomes of the text: the strictest of what its rules ask for."""
        if not self.allowed:
            return "refuse"
        if any(span.action == "redact" for span in self.spans):
            return "redact"
        return "flag" if self.spans or self.flags else "allow"


ALLOWED = Verdict(allowed=True)
