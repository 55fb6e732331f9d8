"""Timing: how long rules took over texts of one place.

Patterns and terms are looked for by one machine, so they have one time together; rules about whole texts each have
their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guardrails.guardrail import Guardrail

COMPILED = "compiled"
"""What the rules are called that one machine looks for."""


class Timing:
    """Nanoseconds.

    Attributes:
        total: of all rules.
        rules: of those about whole texts, by name.
    """

    __slots__ = ("rules", "total")

    def __init__(self) -> None:
        self.total = 0
        self.rules: dict[str, int] = {}

    def add(self, rule: str, nanoseconds: int) -> None:
        """A rule about a whole text took so long."""
        self.rules[rule] = self.rules.get(rule, 0) + nanoseconds

    def told(self, guardrail: Guardrail) -> Iterator[tuple[str, int]]:
        """Each rule and its time; that of the machine is what the others leave of the whole."""
        if guardrail.sought:
            yield COMPILED, self.total - sum(self.rules.values())
        yield from self.rules.items()
