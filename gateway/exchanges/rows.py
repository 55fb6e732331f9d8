"""ExchangeRows: where workers share the answers that are kept, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeAlias

State: TypeAlias = Literal["open", "whole", "long"]
"""Of an answer: it is being made, it is there, or it was longer than what is kept."""


class Place(NamedTuple):
    """Where an exchange is kept. Those of one space share a bound."""

    space: str
    id: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of an exchange: the digest of what was asked, and the frames of the answer from some number on."""

    asked: bytes
    state: State
    frames: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """What is written of an answer: how far it is now, and frames, the first of which has this number."""

    state: State
    number: int = 0
    frames: Sequence[bytes] = ()


class ExchangeRows(Protocol):
    """Each operation is atomic, and raises StoreUnavailable when the store does not do it."""

    async def begin(self, place: Place, mark: str, asked: bytes, seconds: float) -> Kept | None:
        """Takes a place for so many seconds, if nobody has it; else what is there, without its frames.

        Args:
            mark: that of whoever makes the answer, who alone may write here.
        """
        ...

    async def write(self, place: Place, mark: str, part: Part, seconds: float, most: int) -> bool:
        """Adds frames, but for those that are there, and keeps the place for so many seconds from now on; False where
        it is no longer the writer's.

        In the state "long" all frames go. When a space takes more than ``most`` bytes, what was begun first in it goes.
        """
        ...

    async def read(self, place: Place, number: int) -> Kept | None:
        """What is there, with the frames from this number on."""
        ...

    async def drop(self, place: Place, mark: str) -> None:
        """Gives a place back, if it is still the writer's; without a mark, whoever's it is."""
        ...

    async def follow(self, place: Place, seconds: float) -> None:
        """Says that somebody reads along for so many seconds."""
        ...

    async def followed(self, place: Place) -> bool:
        """Whether somebody does."""
        ...
