"""Secrets: keys by the forms that their makers give them, and what ``password=`` names if it is random."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence

from guardrails.rule import Kind, Parts, SpanRule
from guardrails.verdict import Action

MESSAGE = "The text holds a key or a password."
LEAST_ENTROPY = 3.0
"""Bits a character; words of a language have less, keys that are drawn at random more."""
BEFORE = r"(?<![\w-])"
FORMS = {
    "anthropic_key": r"sk-ant-[\w-]{24,200}",
    "aws_key": r"(?:AKIA|ASIA)[A-Z2-7]{16}",
    "github_key": r"(?:gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_\w{22,255})",
    "gitlab_key": r"glpat-[\w-]{20,64}",
    "google_key": r"AIza[\w-]{35}",
    "huggingface_key": r"hf_[A-Za-z0-9]{30,40}",
    "jwt": r"eyJ[\w-]{8,1000}\.eyJ[\w-]{8,1000}\.[\w-]{16,1000}",
    "npm_key": r"npm_[A-Za-z0-9]{36}",
    "openai_key": r"sk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,200}",
    "pypi_key": r"pypi-[\w-]{50,200}",
    "sendgrid_key": r"SG\.[\w-]{22}\.[\w-]{43}",
    "slack_key": r"xox[abeoprs]-[A-Za-z0-9-]{10,200}",
    "stripe_key": r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,200}",
}
LINE_END = r"(?:\s|\\[nr]){1,4}"
PRIVATE_KEY = (
    r"-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    rf"(?:{LINE_END}[A-Za-z0-9+/=]{{16,76}}){{0,60}}"
    rf"(?:(?:{LINE_END}[A-Za-z0-9+/=]{{1,76}})?{LINE_END}-----END [A-Z0-9 ]{{1,40}}-----)?"
)
"""With line ends as they are, or as JSON writes them."""
ASSIGNED = (
    r"(?<![a-z0-9])(?:api|access|auth|client|private|secret)?[_ -]?(?:key|secret|token|passw(?:or)?d|passphrase|pwd)"
    r"['\"]?\s{0,3}(?:[:=]|=>|is)\s{0,3}['\"]?[^\s'\",;]{8,200}"
)
VALUE = re.compile(r"(?:[:=>]|is\s)\s*['\"]?([^\s'\",;]+)$", re.IGNORECASE)


def secrets(
    *,
    least_entropy: float = LEAST_ENTROPY,
    name: str = "secrets",
    action: Action = "redact",
    message: str = MESSAGE,
) -> SpanRule:
    """The rule about keys and passwords; those with fewer bits a character are none."""
    random = _random_enough(least_entropy)
    kinds = [Kind(kind, (f"{BEFORE}{form}(?![A-Za-z0-9])",), check=random) for kind, form in FORMS.items()]
    kinds.append(Kind("private_key", (PRIVATE_KEY,)))
    kinds.append(Kind("password", (ASSIGNED,), check=_assigned(least_entropy), ignore_case=True))
    return SpanRule(name, message, action, kinds=tuple(kinds))


def entropy(text: str) -> float:
    """How random a text is, in bits a character (Shannon's, over the characters in it)."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def _random_enough(least: float) -> Callable[[str], Parts]:
    return lambda text: [(0, len(text))] if entropy(text) >= least else []


def _assigned(least: float) -> Callable[[str], Parts]:
    """The value behind the name of a secret: not the name, and only if it is no word."""

    def check(text: str) -> Parts:
        found = VALUE.search(text)
        if found is None:
            return
        value = found[1].rstrip(".)")
        classes: Sequence[bool] = (
            any(sign.isdigit() for sign in value),
            any(sign.islower() for sign in value) and any(sign.isupper() for sign in value),
            any(not sign.isalnum() for sign in value.strip("{}<>$[]()")),
        )
        if (
            sum(classes) >= 2 - (len(value) >= 16 and classes[0])
            and entropy(value) >= least - 0.5
            and value[0] not in "$<{["
        ):
            yield found.start(1), found.start(1) + len(value)

    return check
