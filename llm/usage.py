"""Usage: what a model call cost in tokens, as the provider said it, or as we counted it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

MOST = 2**53 - 1
"""The highest count that is told: the highest whole number that every reader of JSON knows."""
COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens in and out, and everything else that the provider reported, kept as it was sent.

    Adding two usages adds every number in them, nested ones too, so the sum over a run is again a usage.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)
    """All other members of the provider's object: ``prompt_tokens_details`` (cached, audio), …"""
    estimated: bool = False
    """True when any part of it was counted by us because the provider reported nothing."""

    @classmethod
    def of(cls, prompt_tokens: int, completion_tokens: int, *, estimated: bool = False) -> Self:
        """A usage of so many tokens in and out."""
        return cls(prompt_tokens, completion_tokens, prompt_tokens + completion_tokens, estimated=estimated)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """The ``usage`` object of an OpenAI answer. Missing or null counts are 0; a missing total is the sum.

        ``"estimated": true`` says that an upstream, such as another Penstock, has counted by itself.
        """
        others = dict(wire)
        prompt, completion = count_of(others.pop("prompt_tokens", 0)), count_of(others.pop("completion_tokens", 0))
        total = count_of(others.pop("total_tokens", 0)) or prompt + completion
        estimated = others.get("estimated") is True
        if estimated:
            del others["estimated"]
        return cls(prompt, completion, total, others, estimated)

    def to_wire(self) -> dict[str, Any]:
        """The ``usage`` object of an OpenAI answer; with ``"estimated": true`` where any of it was counted by us."""
        wire = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.total_tokens,
            **self.details,
        }
        return {**wire, "estimated": True} if self.estimated else wire

    @property
    def cached_tokens(self) -> int:
        """Tokens of the prompt that the provider had in its cache; 0 where it says nothing."""
        return self._of("prompt_tokens_details", "cached_tokens")

    @property
    def cache_write_tokens(self) -> int:
        """Tokens of the prompt that the provider wrote into its cache; 0 where it says nothing."""
        return self._of("prompt_tokens_details", "cache_write_tokens")

    @property
    def reasoning_tokens(self) -> int:
        """Tokens of the answer that are thoughts; 0 where the provider says nothing."""
        return self._of("completion_tokens_details", "reasoning_tokens")

    def _of(self, part: str, name: str) -> int:
        details = self.details.get(part)
        return count_of(details.get(name)) if details and isinstance(details, Mapping) else 0

    @property
    def source(self) -> str:
        """``real`` or ``estimated``."""
        return "estimated" if self.estimated else "real"

    def shares(self, number: int) -> list[Usage]:
        """So many usages that add up to this one; what cannot be divided is in the first."""
        rest = self.total_tokens - self.prompt_tokens - self.completion_tokens
        counts = (self.prompt_tokens, self.completion_tokens, rest)
        shares = []
        for index in range(number):
            asked, answered, more = ((count + number - 1 - index) // number for count in counts)
            shares.append(Usage(asked, answered, asked + answered + more, estimated=self.estimated))
        return [replace(shares[0], details=self.details), *shares[1:]]

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            min(self.prompt_tokens + other.prompt_tokens, MOST),
            min(self.completion_tokens + other.completion_tokens, MOST),
            min(self.total_tokens + other.total_tokens, MOST),
            _sum(self.details, other.details),
            self.estimated or other.estimated,
        )


CHARACTERS_PER_TOKEN = 4
"""The usual rule of thumb for English text."""


def count_of(value: object) -> int:
    """A count that a provider tells; 0 for whatever is none, and no more than :data:`MOST`."""
    return min(value, MOST) if type(value) is int and value > 0 else 0


def _sum(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    total = dict(one)
    for name, value in other.items():
        total[name] = _add(total[name], value) if name in total else value
    return total


def _add(one: Any, other: Any) -> Any:
    """Numbers add, objects add member by member; of anything else the newer one stands."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return _sum(one, other)
    if _is_number(one) and _is_number(other):
        return max(-MOST, min(one + other, MOST))
    return one if other is None else other


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
