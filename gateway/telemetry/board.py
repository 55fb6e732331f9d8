"""Boards: the figures of all workers, in memory that they share, so that whichever is asked knows those of all.

Each worker writes to a board of its own, so nothing is locked and nothing is lost: counting is adding to an integer.
The memory belongs to the process that started the workers, so a board survives its worker; the one that is started in
its place goes on with it. ``mmap`` gives pages to those parts only that are written to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from mmap import mmap
from typing import TypeAlias

import orjson

CELLS = 1 << 16
"""How many integers a board holds."""
NAMES = 1 << 21
"""How many bytes the names of its series may have."""
USED_CELLS, USED_NAMES, LEFT_OUT, SPARE = range(4)
"""The first cells of a board: what is taken of both, how many series found no place, and where these count to."""
LARGEST = 128
"""How many cells a series has at most; so many are spare."""
FIRST = SPARE + LARGEST
SIZE = CELLS * 8 + NAMES

Labels: TypeAlias = tuple[str, ...]
Figures: TypeAlias = Mapping[str, Mapping[Labels, list[int]]]
"""By family and by the values of its labels: the cells of a series."""


@dataclass(frozen=True, slots=True)
class Series:
    """Where the cells of a series begin."""

    family: str
    labels: Labels
    at: int
    width: int


class Board:
    """The series of one worker. ``cells[at] += 1`` counts."""

    def __init__(self, memory: memoryview) -> None:
        self.cells = memoryview(memory)[: CELLS * 8].cast("q")
        self._names = memoryview(memory)[CELLS * 8 : SIZE]
        self._bound = {(series.family, series.labels): series.at for series in self.series()}
        if not self.cells[USED_CELLS]:
            self.cells[USED_CELLS] = FIRST

    def bind(self, family: str, labels: Labels, width: int = 1) -> int:
        """Where the first cell of a series is, which is made if there is none. Without a place for more, what is
        counted is not told, and that it is not is."""
        known = self._bound.get((family, labels))
        if known is not None:
            return known
        at, end = self.cells[USED_CELLS], self.cells[USED_NAMES]
        name = orjson.dumps((family, labels, at, width)) + b"\n"
        if at + width > CELLS or end + len(name) > NAMES:
            self.cells[LEFT_OUT] += 1
            at = SPARE
        else:
            self._names[end : end + len(name)] = name
            self.cells[USED_CELLS] += width
            self.cells[USED_NAMES] += len(name)
        self._bound[family, labels] = at
        return at

    def series(self) -> Iterator[Series]:
        """All series that have a place."""
        for line in bytes(self._names[: self.cells[USED_NAMES]]).splitlines():
            family, labels, at, width = orjson.loads(line)
            yield Series(family, tuple(labels), at, width)

    def clear(self, families: Iterable[str]) -> None:
        """Sets the series of some families to 0: what was true of a worker that is gone."""
        gone = set(families)
        for series in self.series():
            if series.family in gone:
                for at in range(series.at, series.at + series.width):
                    self.cells[at] = 0


class Boards:
    """One board for each of so many workers. To be made before they are forked."""

    def __init__(self, workers: int = 1) -> None:
        memory = memoryview(mmap(-1, SIZE * workers))
        self._all = [memory[number * SIZE : (number + 1) * SIZE] for number in range(workers)]

    def board(self, number: int) -> Board:
        """That of a worker, for the worker itself."""
        return Board(self._all[number])

    def figures(self) -> Figures:
        """The sums over all workers."""
        sums: defaultdict[str, dict[Labels, list[int]]] = defaultdict(dict)
        for memory in self._all:
            board = Board(memory)
            for series in board.series():
                cells = board.cells[series.at : series.at + series.width].tolist()
                before = sums[series.family].get(series.labels)
                sums[series.family][series.labels] = (
                    cells if before is None else [one + other for one, other in zip(before, cells, strict=True)]
                )
        return sums

    @property
    def left_out(self) -> int:
        """How many series found no place."""
        return sum(Board(memory).cells[LEFT_OUT] for memory in self._all)
