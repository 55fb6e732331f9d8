"""Text in, verdict out. Guardrails know no graph and no HTTP."""

from guardrails.verdict import Verdict

__all__ = ["Verdict"]
