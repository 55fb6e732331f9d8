"""Meter: what a run has spent on model calls, and what it may spend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from graph.errors import MoneyExceeded, PriceUnknown, TokensExceeded
from llm import Model, Price, Trail
from llm.usage import CHARACTERS_PER_TOKEN, Usage


@dataclass(frozen=True, slots=True)
class StepUsage:
    """What one model call in a run cost, and in which step."""

    step: str
    model: str
    usage: Usage
    usd: float | None = None
    """US dollars; None when nobody has said what the model costs."""
    deployment: str = ""
    """Which of the deployments behind the model, where it is several."""
    error: str = ""
    """Why that gave no answer, where another one did."""

    @classmethod
    def of(cls, step: str, model: Model, usage: Usage) -> StepUsage:
        """What a call of a model cost, by its price."""
        return cls(step, model.name, usage, model.usd(usage))

    @classmethod
    def on(cls, step: str, model: Model, trail: Trail, usage: Usage | None) -> list[StepUsage]:
        """What the calls of a model that is several cost: those that gave no answer, and then ``usage`` of the one that
        did, where one did, by the price of that deployment."""
        calls = [cls(step, model.name, call.usage, call.usd, call.deployment, call.error) for call in trail.failed]
        if usage is not None and trail.model is not None:
            calls.append(cls(step, model.name, usage, trail.model.usd(usage), trail.answered))
        return calls

    def to_wire(self) -> dict[str, Any]:
        """All but the step and the model, as JSON, for recordings."""
        return {"usage": self.usage.to_wire(), "usd": self.usd, "deployment": self.deployment, "error": self.error}

    @classmethod
    def from_wire(cls, step: str, model: Model, wire: Mapping[str, Any]) -> StepUsage:
        """The call that :meth:`to_wire` told of."""
        return cls(step, model.name, Usage.from_wire(wire["usage"]), wire["usd"], wire["deployment"], wire["error"])


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
    known_usd: float = 0.0
    """US dollars of those calls whose price is known."""
    unpriced: str = ""
    """The first model that was called and whose price is not known."""

    @property
    def usage(self) -> Usage:
        """The sum of all calls."""
        if len(self.calls) == 1:
            return self.calls[0].usage
        return sum((call.usage for call in self.calls), start=Usage())

    @property
    def usd(self) -> float | None:
        """What all calls cost in US dollars; None when one of them cost nobody knows what."""
        return None if self.unpriced else self.known_usd

    def book(self, call: StepUsage) -> None:
        """Adds what a call has cost. It never raises, as calls are booked on every way out; :meth:`check` may."""
        self.calls.append(call)
        self.tokens += call.usage.total_tokens
        if call.usd is None:
            self.unpriced = self.unpriced or call.model
        else:
            self.known_usd += call.usd
        if self.outer is not None:
            self.outer.book(replace(call, step=f"{self.place}/{call.step}"))

    def admit(self, step: str, model: Model) -> None:
        """Looks whether a model may be called: under a cap on money only one whose price is known.

        Raises:
            PriceUnknown: when it may not.
        """
        if model.price is None and self.max_usd is not None:
            raise _unknown(step, model.name, self.max_usd)
        if self.outer is not None:
            self.outer.admit(step, model)

    def check(self, step: str, characters: int = 0, price: Price | None = None) -> None:
        """Looks whether the caps still hold, with so many characters of an answer that is still being made.

        Args:
            price: that of the model which is making it.

        Raises:
            TokensExceeded, MoneyExceeded: when one does not.
            PriceUnknown: when that on money cannot be told, as a call cost nobody knows what.
        """
        tokens = self.tokens + characters // CHARACTERS_PER_TOKEN
        if self.max_tokens is not None and tokens > self.max_tokens:
            raise TokensExceeded(
                f"the run used {tokens} tokens, {self.max_tokens} are allowed; it was in step '{step}'"
            )
        if self.max_usd is not None:
            if self.unpriced:
                raise _unknown(step, self.unpriced, self.max_usd)
            usd = self.known_usd + (price.usd_of_text(characters) if price is not None else 0.0)
            if usd > self.max_usd:
                raise MoneyExceeded(f"the run cost ${usd:.6f}, ${self.max_usd} are allowed; it was in step '{step}'")
        if self.outer is not None:
            self.outer.check(step, characters, price)


def _unknown(step: str, model: str, max_usd: float) -> PriceUnknown:
    return PriceUnknown(
        f"the run may cost ${max_usd}, and what model '{model}' costs nobody has said; it was in step '{step}'; "
        "give the model a price, of 0 if it is free"
    )
