"""Readings: a stream as it may be read beside what is written, as long as what is under way differs."""

from __future__ import annotations

from guardrails.automaton import Match, Reading, Scan
from guardrails.lookalikes import loosely


class Readings:
    """The ways in which a text may be read: in its own script, and as the letters of ASCII that others look like.

    There are none where it is read as it is written, and no second one where that reads the same.

    Attributes:
        differ: whether anything that is under way is read as something else than is written.
    """

    __slots__ = ("_alike", "_own", "differ")

    def __init__(self) -> None:
        self._own: Reading | None = None
        self._alike: Reading | None = None
        self.differ = False

    def open_from(self, scan: Scan) -> int:
        """Where the oldest match that is under way began, in the text as it is written or as it may be read."""
        return min(each.open_from for each in (scan, self._own, self._alike) if each is not None)

    def feed(self, scan: Scan, text: str) -> tuple[list[Match], list[Match]]:
        """What is found in the text as it is written, by its scan; and where something may be read."""
        forms = loosely(text)
        if forms is None and not self.differ:
            return scan.feed(text), []
        own, alike = forms or (text, text)
        if self._own is None and own is not text:
            self._own = scan.reading()
        if self._alike is None and alike is not own:
            self._alike = scan.reading() if self._own is None else self._own.reading()
        read = [] if self._own is None else self._own.feed(text, own)
        read += [] if self._alike is None else self._alike.feed(text, alike)
        written = scan.feed(text)
        self._join(scan)
        return written, read

    def end(self) -> list[Match]:
        """What may be read at the end of the text."""
        return [match for reading in (self._own, self._alike) if reading is not None for match in reading.end()]

    def _join(self, scan: Scan) -> None:
        """Lets go of what goes on as another does."""
        if self._alike is not None and (
            self._alike.is_at(scan) if self._own is None else self._own.takes_over(self._alike)
        ):
            self._alike = None
        if self._own is not None and self._own.is_at(scan):
            self._own = None
        self.differ = self._own is not None or self._alike is not None
