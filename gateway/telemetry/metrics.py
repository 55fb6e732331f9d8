"""Metrics: what a worker counts on its board."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from gateway.telemetry.board import Boards
from gateway.telemetry.families import BREAKER, FAMILIES, QUEUE, WORKERS, Family


@dataclass(frozen=True, slots=True)
class Cell:
    """A counter or a gauge. The hot path adds to ``cells[at]`` by itself."""

    cells: memoryview[int]
    at: int

    def add(self, amount: int = 1) -> None:
        """More of it, or with a negative number less."""
        self.cells[self.at] += amount

    def set(self, value: int) -> None:
        """So much of it."""
        self.cells[self.at] = value


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often something had which size."""

    cells: memoryview[int]
    at: int
    buckets: tuple[int, ...]

    def observe(self, size: int) -> None:
        """Counts one of this size."""
        self.cells[self.at + bisect_left(self.buckets, size)] += 1
        self.cells[self.at + len(self.buckets) + 1] += size


class Metrics:
    """What one worker counts. A series is bound once; what is bound is counted at the price of an addition.

    Args:
        boards: those of all workers.
        number: which worker this is.
    """

    def __init__(self, boards: Boards | None = None, number: int = 0) -> None:
        self._boards = boards or Boards()
        self._board = self._boards.board(number)
        self._board.clear(family.name for family in FAMILIES if family.kind == "gauge")
        self.cells = self._board.cells
        self.cell(WORKERS).set(1)

    def at(self, family: Family, *labels: str) -> int:
        """Where the first cell of a series is."""
        return self._board.bind(family.name, labels, family.width)

    def cell(self, family: Family, *labels: str) -> Cell:
        """A counter or a gauge."""
        return Cell(self.cells, self.at(family, *labels))

    def histogram(self, family: Family, *labels: str) -> Histogram:
        """A histogram."""
        return Histogram(self.cells, self.at(family, *labels), family.buckets)

    def breaker(self, name: str) -> Cell:
        """The state of a breaker, for who has one: 1 while it is open, 0 else."""
        return self.cell(BREAKER, name)

    def queue(self, name: str) -> Cell:
        """How many wait in a queue, for who has one: to be added to, and subtracted from."""
        return self.cell(QUEUE, name)

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics of all workers in the form that a scraper accepts, and the type of that."""
        from gateway.telemetry.exposition import told  # noqa: PLC0415 - only for who is asked

        return told(self._boards, accept)
