"""Machine: a program, walked over a text character by character, and told exactly from where on a match is possible.

States are made when a text first needs them and kept, up to a bound. A state is the threads that are under way, the
oldest first; a thread is the set of nodes that it stands at. Where two threads stand at the same node, what comes is
the same for both, and only the older is kept: so there are never more threads than nodes, and a text costs time in
proportion to its length, whatever it and the patterns are. Where a thread began is no part of the state; a scan keeps
that beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple, TypeAlias

from guardrails.automaton.program import Accept, Behind, Branch, Program, Split, Take, folded

MAX_STEPS_KEPT = 60_000
"""How many steps from state to state a machine keeps; then it forgets all of them and goes on."""
Threads: TypeAlias = tuple[frozenset[int], ...]
Move: TypeAlias = tuple[list[int], list[int], frozenset[int]]


class Match(NamedTuple):
    """A match of a rule; of several that end at one place, the longest."""

    rule: int
    start: int
    end: int


class Ended(NamedTuple):
    """A match that a step brings: of which rule, by which thread, and whether it ended before the step."""

    rule: int
    thread: int
    back: int


class Work(NamedTuple):
    """What a step does beside reaching a state: the threads that go on, and the matches that end."""

    kept: tuple[int, ...]
    ended: tuple[Ended, ...]


Step: TypeAlias = "tuple[State, Work | None]"


class State(dict[str, Step]):
    """The steps that lead on from here, by character. The last thread is the one that would begin here."""

    __slots__ = ("machine", "threads")

    def __init__(self, machine: Machine, threads: Threads) -> None:
        super().__init__()
        self.machine = machine
        self.threads = threads

    def __missing__(self, sign: str) -> Step:
        step = self[sign] = self.machine.step(self.threads, sign)
        return step


class Machine:
    """The states of a program, shared by all scans, also by those of other threads of the interpreter."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._states: dict[Threads, State] = {}
        self._moves: dict[tuple[frozenset[int], str], Move] = {}
        self._fresh_after: dict[str, frozenset[int]] = {}
        self._steps = 0

    @property
    def start(self) -> State:
        """The state before the first character of a text."""
        return self._state((self._fresh(""),))

    def step(self, threads: Threads, sign: str) -> Step:
        """The state after one more character, and the work on the way."""
        self._steps += 1
        if self._steps > MAX_STEPS_KEPT:
            self._forget()
        moved: list[frozenset[int]] = []
        kept: list[int] = []
        ended: list[Ended] = []
        seen: set[int] = set()
        for thread, nodes in enumerate(threads):
            late, rules, reached = self._moved(nodes, sign)
            ended += [Ended(rule, thread, 0) for rule in late]
            ended += [Ended(rule, thread, 1) for rule in rules]
            if fresh := reached - seen:
                moved.append(fresh)
                kept.append(thread)
                seen |= fresh
        state = self._state((*moved, self._fresh(sign)))
        as_before = kept == list(range(len(threads) - 1))
        return state, None if as_before and not ended else Work(tuple(kept), tuple(_longest(ended)))

    def at_end(self, threads: Threads) -> list[Ended]:
        """The matches that end with the text."""
        ended = [Ended(rule, number, 0) for number, nodes in enumerate(threads) for rule in self._taken(nodes, "")[0]]
        return list(_longest(ended))

    def _forget(self) -> None:
        """Begins anew; scans that are under way go on from the states that they hold."""
        self._states.clear()
        self._moves.clear()
        self._fresh_after.clear()
        self._steps = 0

    def _moved(self, nodes: frozenset[int], sign: str) -> Move:
        """What becomes of a thread: the rules whose match ended before the character, with it, and where it stands."""
        move = self._moves.get((nodes, sign))
        if move is None:
            late, targets = self._taken(nodes, sign)
            ended, reached = self._closed(targets, sign)
            move = self._moves[nodes, sign] = (sorted(late), sorted(ended), frozenset(reached))
        return move

    def _state(self, threads: Threads) -> State:
        state = self._states.get(threads)
        if state is None:
            state = self._states[threads] = State(self, threads)
        return state

    def _fresh(self, before: str) -> frozenset[int]:
        """The thread that begins after a character, or at the beginning of the text."""
        fresh = self._fresh_after.get(before)
        if fresh is None:
            fresh = self._fresh_after[before] = frozenset(self._closed(self._program.begins, before)[1])
        return fresh

    def _taken(self, nodes: Iterable[int], sign: str) -> tuple[set[int], list[int]]:
        """Where a thread gets by taking a character (none at the end of the text), and what it found to have ended."""
        ended, targets = set(), []
        todo, seen = list(nodes), set(nodes)
        while todo:
            node = self._program.nodes[todo.pop()]
            if isinstance(node, Take):
                if sign and sign in node.of:
                    targets.append(node.then)
            elif isinstance(node, Branch):
                if (way := node.ways.get(folded(sign)) if sign else None) is not None:
                    targets.append(way)
            elif isinstance(node, Accept):
                ended.add(node.rule)
            else:
                ways = node.ways if isinstance(node, Split) else [node.then] if sign in node.of else []
                todo += [way for way in ways if way not in seen]
                seen.update(ways)
        return ended, targets

    def _closed(self, targets: Iterable[int], before: str) -> tuple[set[int], set[int]]:
        """What has ended at these nodes, and those from which it goes on, the character before being known."""
        ended, waiting = set(), set()
        todo = list(targets)
        seen = set(todo)
        while todo:
            number = todo.pop()
            node = self._program.nodes[number]
            if isinstance(node, Accept):
                ended.add(node.rule)
            elif isinstance(node, (Split, Behind)):
                ways = node.ways if isinstance(node, Split) else [node.then] if before in node.of else []
                todo += [way for way in ways if way not in seen]
                seen.update(ways)
            elif not isinstance(node, Branch) or node.ways:
                waiting.add(number)
        return ended, waiting


def _longest(ended: Iterable[Ended]) -> Iterator[Ended]:
    """In the order of their ends; of the matches of a rule that end at one place the one that began first."""
    seen = set()
    for match in sorted(ended, key=attrgetter("back")):
        if (match.rule, match.back) not in seen:
            seen.add((match.rule, match.back))
            yield match


class Scan:
    """One text on its way through a machine.

    Attributes:
        position: how many characters have been read.
    """

    __slots__ = ("_starts", "_state", "position")

    def __init__(self, machine: Machine) -> None:
        self._state = machine.start
        self._starts: list[int] = []
        self.position = 0

    @property
    def open_from(self) -> int:
        """Where the longest end of the text begins with which a match may begin; the position when there is none."""
        return self._starts[0] if self._starts else self.position

    def feed(self, text: str) -> list[Match]:
        """Reads on; the matches that are known now, by their end."""
        state, starts, position = self._state, self._starts, self.position
        found: list[Match] = []
        for sign in text:
            state, work = state[sign]
            if work is not None:
                kept, ended = work
                starts.append(position)
                for rule, thread, back in ended:
                    if starts[thread] < position + back:
                        found.append(Match(rule, starts[thread], position + back))
                starts = [starts[thread] for thread in kept]
            position += 1
        self._state, self._starts, self.position = state, starts, position
        return found

    def reading(self) -> Reading:
        """A scan that goes on from here, and is told what each character is read as."""
        return Reading(self._state, self._starts, self.position)

    def end(self) -> list[Match]:
        """The matches that end with the text."""
        starts = [*self._starts, self.position]
        ended = self._state.machine.at_end(self._state.threads)
        self._starts = []
        return [
            Match(rule, starts[number], self.position) for rule, number, _ in ended if starts[number] < self.position
        ]


class Reading:
    """One text on its way through a machine, each character of which is read as some others, or none.

    Its matches, too, are places in the text as it is written.
    """

    __slots__ = ("_end", "_same_from", "_starts", "_state", "position")

    def __init__(self, state: State, starts: Sequence[int], position: int) -> None:
        self._state = state
        self._starts = [*starts]
        self._end = self._same_from = self.position = position

    @property
    def open_from(self) -> int:
        """As that of :class:`Scan`."""
        return self._starts[0] if self._starts else self.position

    def is_at(self, scan: Scan) -> bool:
        """Whether a scan of the text as it is written is where this one is, and so goes on as it does: nothing that is
        under way is read as something else."""
        same = self.open_from >= self._same_from and self._end == self.position
        return same and self._state is scan._state and self._starts == scan._starts

    def reading(self) -> Reading:
        """Another one that goes on from here."""
        other = Reading(self._state, self._starts, self.position)
        other._end, other._same_from = self._end, self._same_from
        return other

    def takes_over(self, other: Reading) -> bool:
        """Whether another reading is where this one is, which then goes on for both."""
        same = self._state is other._state and self._starts == other._starts and self._end == other._end
        if same:
            self._same_from = max(self._same_from, other._same_from)
        return same

    def feed(self, text: str, forms: Iterable[str]) -> list[Match]:
        """Reads on, with what each character is read as; the matches that are known now, by their end."""
        state, starts, position, before = self._state, self._starts, self.position, self._end
        found: list[Match] = []
        for written, form in zip(text, forms, strict=True):
            after = position + 1
            if form != written:
                self._same_from = after
            for sign in form:
                state, work = state[sign]
                if work is not None:
                    kept, ended = work
                    starts.append(position)
                    for rule, thread, back in ended:
                        if starts[thread] < (end := after if back else before):
                            found.append(Match(rule, starts[thread], end))
                    starts = [starts[thread] for thread in kept]
                before = after
            position = after
        self._state, self._starts, self.position, self._end = state, starts, position, before
        return found

    def end(self) -> list[Match]:
        """The matches that end with the text."""
        starts = [*self._starts, self.position]
        ended = self._state.machine.at_end(self._state.threads)
        self._starts = []
        return [Match(rule, starts[number], self._end) for rule, number, _ in ended if starts[number] < self._end]
