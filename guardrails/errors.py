"""What can be wrong with guardrails.

::

    GuardrailError
    ├── ContentRefused        a text is not allowed, and nothing has been said yet
    ├── PatternRefused        a pattern that cannot be looked for in a stream (at the start)
    └── GuardrailUnavailable  one that is asked over the network, or a model, did not answer
"""

from __future__ import annotations

from dataclasses import replace

from guardrails.verdict import ALLOWED, Verdict


class GuardrailError(Exception):
    """A guardrail that cannot do its work."""


class ContentRefused(GuardrailError):
    """A text that is not allowed, before anything was done with it; the message is the rule's, for the caller.

    Attributes:
        rule: which one refused it.
        before: what had been found by then, there and in texts before it.
    """

    def __init__(self, reason: str, rule: str, before: Verdict = ALLOWED) -> None:
        super().__init__(reason)
        self.rule = rule
        self.before = before

    @property
    def verdict(self) -> Verdict:
        """The refusal, with what had been found by then."""
        return replace(self.before, allowed=False, reason=str(self), rule=self.rule)


class PatternRefused(GuardrailError, ValueError):
    """A pattern that cannot be looked for while a text streams; the message says what in it, and the remedy."""


class GuardrailUnavailable(GuardrailError):
    """A guardrail that is asked elsewhere did not answer in time, or not in its form."""
