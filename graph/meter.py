"""Meter: what a run has spent on model calls, and what it may spend."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from graph.errors import MoneyExceeded, TokensExceeded
from llm.usage import CHARACTERS_PER_TOKEN, Usage


@dataclass(frozen=True, slots=True)
class StepUsage:
    """What one model call in a run cost, and in which step."""

    step: str
    model: str
    usage: Usage
    usd: float = 0.0


@dataclass(slots=True)
class Meter:
    """The calls of a run, in the order in which they ended, under its caps on tokens and money.

    A flow inside another has a meter of its own, which tells the outer one what it books.
    """

    calls: list[StepUsage] = field(default_factory=list)
    max_tokens: int | None = None
    max_usd: float | None = None
    outer: Meter | None = None
    place: str = ""
    """The step of the outer flow that this one is."""
    tokens: int = 0
    usd: float = 0.0

    @property
    def usage(self) -> Usage:
        """The sum of all calls."""
        return sum((call.usage for call in self.calls), start=Usage())

    def book(self, call: StepUsage) -> None:
        """Adds what a call has cost. It never raises, as calls are booked on every way out; :meth:`check` may."""
        self.calls.append(call)
        self.tokens += call.usage.total_tokens
        self.usd += call.usd
        if self.outer is not None:
            self.outer.book(replace(call, step=f"{self.place}/{call.step}"))

    def check(self, step: str, characters: int = 0) -> None:
        """Looks whether the caps still hold, with so many characters of an answer that is still being made.

        Raises:
            TokensExceeded, MoneyExceeded: when one does not.
        """
        tokens = self.tokens + characters // CHARACTERS_PER_TOKEN
        if self.max_tokens is not None and tokens > self.max_tokens:
            raise TokensExceeded(
                f"the run used {tokens} tokens, {self.max_tokens} are allowed; it was in step '{step}'"
            )
        if self.max_usd is not None and self.usd > self.max_usd:
            raise MoneyExceeded(f"the run cost ${self.usd:.6f}, ${self.max_usd} are allowed; it was in step '{step}'")
        if self.outer is not None:
            self.outer.check(step, characters)
