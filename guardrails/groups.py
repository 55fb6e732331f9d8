"""Groups: matches that overlap, which are decided together, in the order in which they stand in the text."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, TypeAlias

from guardrails.automaton import Match
from guardrails.rule import Rule
from guardrails.verdict import Span

Found: TypeAlias = tuple[Span, Rule]


@dataclass(slots=True)
class Group:
    """Matches that overlap, and the part of the text that they cover."""

    start: int
    end: int
    matches: list[Match] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    """What was found in the text as it is read, with its rule."""
    is_read: bool = False
    """Whether what is in it may be read as something else than is written."""


class Groups:
    """The groups of a text that have not been decided."""

    __slots__ = ("_groups",)

    def __init__(self) -> None:
        self._groups: deque[Group] = deque()

    def __bool__(self) -> bool:
        return bool(self._groups)

    @property
    def start(self) -> int:
        """Where the first one begins."""
        return self._groups[0].start

    def take(self, written: Sequence[Match], read: Sequence[Match] = ()) -> None:
        """Takes matches in the text as it is written, and places where others may be read in it."""
        groups = [Group(match.start, match.end, [match]) for match in written]
        if read:
            groups += [Group(match.start, match.end, is_read=True) for match in read]
            groups.sort(key=attrgetter("end"))
        for group in groups:
            self._join(group)

    def take_found(self, found: Iterable[Found]) -> None:
        """Takes what has been found otherwise, anywhere in the text."""
        groups = [Group(each[0].start, each[0].end, found=[each]) for each in found]
        groups = sorted((*self._groups, *groups), key=attrgetter("end"))
        self.clear()
        for group in groups:
            self._join(group)

    def decided(self, until: int) -> Group | None:
        """The next group that no match from there on can join, which is taken out; None when there is none."""
        return self._groups.popleft() if self._groups and self._groups[0].end <= until else None

    def clear(self) -> None:
        """Forgets all of them."""
        self._groups.clear()

    def _join(self, group: Group) -> None:
        """Puts a group to those that it overlaps, whatever order they come in."""
        after = []
        while self._groups and self._groups[-1].end > group.start:
            last = self._groups.pop()
            if last.start >= group.end:
                after.append(last)
                continue
            start, end, is_read = min(last.start, group.start), max(last.end, group.end), last.is_read or group.is_read
            matches, found = _both(last.matches, group.matches), _both(last.found, group.found)
            group = Group(start, end, matches, found, is_read)
        self._groups.append(group)
        self._groups.extend(reversed(after))


def _both(one: list[Any], other: list[Any]) -> list[Any]:
    """Two lists as one, in any order. The shorter goes into the longer, so that all that is ever moved is little."""
    shorter, longer = sorted((one, other), key=len)
    longer += shorter
    return longer
