"""Drafts: what a responder said before anybody accepted it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Draft:
    """The chunks of one draft, and how good a judge found it."""

    chunks: list[Any]
    score: float | None = None


@dataclass(slots=True)
class Drafts:
    """The draft that waits for its verdict, and the best of those that were refused."""

    current: Draft | None = None
    _best: Draft | None = None

    def __bool__(self) -> bool:
        return self.current is not None or self._best is not None

    def hold(self, chunks: list[Any]) -> None:
        """A new draft; the one before it, if there is one, has been refused."""
        self.refuse()
        self.current = Draft(chunks)

    def refuse(self) -> None:
        """Puts the current draft aside, in place of the best one if that has no higher score."""
        draft, self.current = self.current, None
        if draft is not None and (self._best is None or (draft.score or 0.0) >= (self._best.score or 0.0)):
            self._best = draft

    def rate(self, score: float | None) -> None:
        """What a judge found of the current draft."""
        if self.current is not None:
            self.current.score = score

    def take(self) -> list[Any]:
        """The chunks of the current draft, which is accepted now; none when there is no draft."""
        draft, self.current = self.current, None
        return draft.chunks if draft else []

    def best(self) -> list[Any] | None:
        """The chunks of the draft with the highest score, the latest of equals; None without any draft."""
        self.refuse()
        return self._best.chunks if self._best else None
