"""Feed: what the runs of all workers are doing, for whoever follows it live.

Each worker writes to a ring of its own, in memory that all of them share; a reader goes round them. What is not read in
time is overwritten, and the reader is told how much. Nothing is written unless somebody listens, or did so of late, so
that one whose connection broke finds what it missed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap
from secrets import token_hex
from typing import Any

import orjson

SLOT = 512
"""How many bytes an event has at most, with what stands before it."""
SLOTS = 4096
"""How many events of a worker are kept."""
HEAD = 64
SIZE = HEAD + SLOT * SLOTS
BEFORE = 24
"""What stands before an event in its slot: its number, its time in nanoseconds, its length; 8 bytes each."""
LISTENED = 120.0
"""How many seconds events are still written after somebody has listened."""
MOST = 256
"""How many events of a worker are read at a time."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An event as it was read."""

    worker: int
    number: int
    at: int
    body: bytes
    """JSON."""


class Ring:
    """The events of one worker. Numbers begin with 0 and go on when the worker is started again."""

    def __init__(self, memory: memoryview) -> None:
        self._bytes = memory
        self._words = memory.cast("q")

    @property
    def next(self) -> int:
        """The number of the event that will be written next."""
        return self._words[0]

    def write(self, body: bytes) -> None:
        """Writes an event; one that is too long is left out."""
        if len(body) > SLOT - BEFORE:
            return
        number = self._words[0]
        slot = HEAD + number % SLOTS * SLOT
        word = slot // 8
        self._words[word] = -1
        self._words[word + 1] = time.time_ns()
        self._words[word + 2] = len(body)
        self._bytes[slot + BEFORE : slot + BEFORE + len(body)] = body
        self._words[word] = number
        self._words[0] = number + 1

    def read(self, number: int) -> tuple[int, int, bytes] | None:
        """Number, time and body of an event; None if it has been overwritten."""
        slot = HEAD + number % SLOTS * SLOT
        word = slot // 8
        at, length = self._words[word + 1], self._words[word + 2]
        body = bytes(self._bytes[slot + BEFORE : slot + BEFORE + length])
        return (number, at, body) if self._words[word] == number else None


class Feed:
    """The rings of so many workers. To be made before they are forked."""

    def __init__(self, workers: int = 1) -> None:
        memory = memoryview(mmap(-1, HEAD + SIZE * workers))
        self.until = memory[:8].cast("q")
        """Until when events are written, in seconds of the monotonic clock; 0 while nobody has ever listened."""
        parts = (memory[HEAD + number * SIZE : HEAD + (number + 1) * SIZE] for number in range(workers))
        self.rings = [Ring(part) for part in parts]
        self.epoch = token_hex(4)
        """By which a reader sees that this is another gateway than the one that it followed."""

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens, or did of late."""
        until = self.until[0]
        return until != 0 and time.monotonic() < until

    def listen(self) -> None:
        """Somebody does."""
        self.until[0] = int(time.monotonic() + LISTENED)

    def write(self, worker: int, event: dict[str, Any]) -> None:
        """Writes an event of a worker."""
        self.rings[worker].write(orjson.dumps(event))


class Listener:
    """One who follows, from now on, or from where it left off.

    Args:
        last: the id of the last event that it has had; one of another gateway is worth nothing.
    """

    def __init__(self, feed: Feed, last: str = "") -> None:
        self._feed = feed
        self._next = _places(feed, last) or [ring.next for ring in feed.rings]

    @property
    def id(self) -> str:
        """The id of what has been read so far."""
        return f"{self._feed.epoch}:{'.'.join(map(str, self._next))}"

    def read(self) -> Iterator[tuple[str, bytes]]:
        """Ids and bodies of what has come, at most some of it, in the order of time; what was missed as a number."""
        self._feed.listen()
        missed = sum(map(self._skip, range(len(self._next))))
        if missed:
            yield self.id, orjson.dumps({"type": "missed", "events": missed})
        entries = [entry for worker in range(len(self._next)) for entry in self._entries(worker)]
        for entry in sorted(entries, key=lambda entry: entry.at):
            self._next[entry.worker] = max(self._next[entry.worker], entry.number + 1)
            yield self.id, entry.body

    def _skip(self, worker: int) -> int:
        """Goes to the oldest event that there is still; half a ring ahead, so that it is not overwritten meanwhile."""
        oldest = self._feed.rings[worker].next - SLOTS
        if self._next[worker] >= max(oldest, 0):
            return 0
        missed = oldest + SLOTS // 2 - self._next[worker]
        self._next[worker] += missed
        return missed

    def _entries(self, worker: int) -> Iterator[Entry]:
        ring = self._feed.rings[worker]
        begin = self._next[worker]
        for number in range(begin, min(ring.next, begin + MOST)):
            found = ring.read(number)
            if found is not None:
                yield Entry(worker, *found)


def _places(feed: Feed, last: str) -> list[int] | None:
    """The places that an id stands for; None where it is none of this gateway's."""
    epoch, _, written = last.partition(":")
    numbers = written.split(".")
    if epoch != feed.epoch or len(numbers) != len(feed.rings):
        return None
    if not all(number.isascii() and number.isdigit() and len(number) < 19 for number in numbers):
        return None
    return [min(int(number), ring.next) for number, ring in zip(numbers, feed.rings, strict=True)]
