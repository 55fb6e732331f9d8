"""Trail: whom a model that is several asks for one answer, who gives it, and what the others cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llm.usage import Usage

if TYPE_CHECKING:
    from llm.model import Model


@dataclass(frozen=True, slots=True)
class FailedCall:
    """A call that gave no answer: it failed before it began, it was filtered, or another one was faster."""

    deployment: str
    error: str
    """The name of the exception, ``cancelled`` or ``content_filter``."""
    usage: Usage = field(default_factory=Usage)
    """What it cost all the same."""
    usd: float | None = 0.0
    """US dollars; None when nobody knows."""


@dataclass(slots=True)
class Trail:
    """What whoever asks hands along, and reads when the answer has ended.

    Attributes:
        caller: who asks, by the name of the key that was shown; those who belong to a deployment do so by it.
        failed: the calls that gave no answer.
        answered: the name of the deployment that answers; empty as long as none does.
        model: its model, by whose price and counter the answer is booked.
    """

    caller: str = ""
    failed: list[FailedCall] = field(default_factory=list)
    answered: str = ""
    model: Model | None = None
