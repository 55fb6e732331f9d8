"""Text in, verdict out. Guardrails know no graph and no HTTP."""

from guardrails.verdict import Guardrail, Verdict

__all__ = ["Guardrail", "Verdict"]
