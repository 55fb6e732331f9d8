"""Text in, verdict out. Guardrails know no graph and no HTTP."""

from guardrails.errors import ContentRefused, GuardrailError, GuardrailUnavailable, PatternRefused
from guardrails.guardrail import Checked, Guardrail
from guardrails.policy import Policy
from guardrails.rule import Kind, LengthRule, Rule, SpanRule, TextRule
from guardrails.verdict import Action, Span, Verdict
from guardrails.window import Window

__all__ = [
    "Action",
    "Checked",
    "ContentRefused",
    "Guardrail",
    "GuardrailError",
    "GuardrailUnavailable",
    "Kind",
    "LengthRule",
    "PatternRefused",
    "Policy",
    "Rule",
    "Span",
    "SpanRule",
    "TextRule",
    "Verdict",
    "Window",
]
