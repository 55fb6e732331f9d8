"""Sampling: the choice of one token, by a generator of the request's own and never by torch's global one."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen. ``temperature`` 0 takes the likeliest; ``top_k`` 0 takes all; ``seed`` None is any."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None

    def chooser(self) -> Chooser:
        """What chooses the tokens of one answer."""
        return Chooser(self)


class Chooser:
    """Chooses token after token of one answer; the same seed makes the same choices."""

    def __init__(self, sampling: Sampling) -> None:
        torch = import_module("torch")
        self._torch = torch
        self._sampling = sampling
        self._generator = torch.Generator()
        if sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(sampling.seed % 2**63)

    def choose(self, logits: Any) -> int:
        """An id by its logits, of shape (vocabulary,)."""
        given = self._sampling
        if given.temperature == 0 or given.top_p == 0:
            return int(logits.argmax())
        ordered, ids = (logits.float().cpu() / given.temperature).sort(descending=True, stable=True)
        if given.top_k:
            ordered, ids = ordered[: given.top_k], ids[: given.top_k]
        likely = ordered.softmax(0)
        before = likely.cumsum(0) - likely
        likely = likely.where(before < given.top_p, self._torch.zeros(()))
        return int(ids[self._torch.multinomial(likely, 1, generator=self._generator)])
