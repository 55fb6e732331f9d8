"""Program: what is looked for, as the nodes of an automaton. Patterns are put in by :mod:`.patterns`, terms here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from unicodedata import normalize

from guardrails.automaton.charset import NO_WORD, Charset, is_word
from guardrails.errors import PatternRefused

MAX_NODES = 200_000
"""How many nodes everything that one machine looks for may have together."""


@dataclass(slots=True)
class Take:
    """Takes one character of a set."""

    of: Charset
    then: int = -1


@dataclass(slots=True)
class Branch:
    """Takes one of many characters, each with a way of its own: a node of the tree of terms."""

    ways: dict[str, int]


@dataclass(slots=True)
class Split:
    """Goes all of its ways at once."""

    ways: list[int]


@dataclass(slots=True)
class Behind:
    """Goes on where the character before is in a set."""

    of: Charset
    then: int = -1


@dataclass(slots=True)
class Ahead:
    """Goes on where the next character is in a set; until there is one, that is open."""

    of: Charset
    then: int = -1


@dataclass(slots=True)
class Accept:
    """A match of a rule, by its number, ends here."""

    rule: int


Node: TypeAlias = Take | Branch | Split | Behind | Ahead | Accept


@dataclass(slots=True)
class Program:
    """The nodes, and those of them that everything begins with."""

    nodes: list[Node] = field(default_factory=list)
    begins: list[int] = field(default_factory=list)
    _trees: dict[bool, int] = field(default_factory=dict)

    def add(self, node: Node) -> int:
        """Puts a node in and says its number.

        Raises:
            PatternRefused: when there are too many.
        """
        if len(self.nodes) >= MAX_NODES:
            raise PatternRefused("all patterns and terms together are too large; write smaller repetitions")
        self.nodes.append(node)
        return len(self.nodes) - 1

    def add_term(self, term: str, rule: int) -> None:
        """Looks for a term in any case and as whole words, also with its marks as signs of their own; a blank in it is
        any run of white space.

        Raises:
            PatternRefused: when it is empty.
        """
        bare = normalize("NFC", " ".join(term.split()))
        if not bare:
            raise PatternRefused("a term must have a character that is no blank")
        whole = is_word(bare[0]), is_word(bare[-1])
        cases = {bare, bare.casefold()}
        for form in sorted({"".join(map(folded, normalize(name, case))) for case in cases for name in ("NFC", "NFD")}):
            node = self._tree(whole=whole[0])
            for sign in form:
                node = self._way(node, sign)
                if sign == " ":
                    self._branch(node)[" "] = node
            self._end(node, rule, whole=whole[1])

    def _tree(self, *, whole: bool) -> int:
        """The root of the terms that begin with a word, or of the others."""
        if whole not in self._trees:
            root = self.add(Split([self.add(Branch({}))]))
            self._trees[whole] = root
            self.begins.append(self.add(Behind(NO_WORD, root)) if whole else root)
        return self._trees[whole]

    def _branch(self, place: int) -> dict[str, int]:
        """The ways on from a place in the tree. A place is a split of these ways and of the terms that end in it."""
        split = self.nodes[place]
        assert isinstance(split, Split)  # noqa: S101
        branch = self.nodes[split.ways[0]]
        assert isinstance(branch, Branch)  # noqa: S101
        return branch.ways

    def _way(self, place: int, sign: str) -> int:
        ways = self._branch(place)
        if sign not in ways:
            ways[sign] = self.add(Split([self.add(Branch({}))]))
        return ways[sign]

    def _end(self, place: int, rule: int, *, whole: bool) -> None:
        split = self.nodes[place]
        assert isinstance(split, Split)  # noqa: S101
        accept = self.add(Accept(rule))
        split.ways.append(self.add(Ahead(NO_WORD, accept)) if whole else accept)

    def successors(self, number: int) -> Sequence[int]:
        """The nodes that one leads to without taking a character, whatever stands before and after."""
        node = self.nodes[number]
        if isinstance(node, Split):
            return node.ways
        return [node.then] if isinstance(node, (Behind, Ahead)) else []

    def reached(self, begins: Sequence[int]) -> Iterator[int]:
        """Every node that is reached without taking a character, once."""
        seen, todo = set(begins), list(begins)
        while todo:
            number = todo.pop()
            yield number
            fresh = [way for way in self.successors(number) if way not in seen]
            seen.update(fresh)
            todo += fresh


def folded(sign: str) -> str:
    """A character without its case; all white space is a blank."""
    if sign.isspace():
        return " "
    small = sign.casefold()
    return small if len(small) == 1 else sign.lower()[0]
