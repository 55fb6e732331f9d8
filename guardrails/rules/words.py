"""Rules of one's own: patterns, and lists of terms."""

from __future__ import annotations

from guardrails.rule import Kind, SpanRule
from guardrails.verdict import Action


def patterns(
    *expressions: str,
    name: str = "patterns",
    action: Action = "refuse",
    message: str = "The text holds something that is not allowed here.",
    ignore_case: bool = False,
) -> SpanRule:
    """What regular expressions match; which can be, :mod:`guardrails.automaton.patterns` says."""
    return SpanRule(name, message, action, kinds=(Kind(name, tuple(expressions), ignore_case=ignore_case),))


def terms(
    *words: str,
    name: str = "terms",
    action: Action = "refuse",
    message: str = "The text holds a term that is not allowed here.",
) -> SpanRule:
    """Words and phrases, whole, in any case, and with any white space between them."""
    return SpanRule(name, message, action, kinds=(Kind(name, terms=tuple(words)),))
