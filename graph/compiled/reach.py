"""What can be reached from where in a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from graph.compiled.node import Node


class Fork(NamedTuple):
    """Several paths from one node: those that lead to the answer, the others, and where two meet without a Merge."""

    awaited: tuple[Node, ...]
    aside: tuple[Node, ...]
    meet: Node | None


def followers(node: Node) -> Iterable[Node]:
    """Where a run may go from a node when nothing fails."""
    return node.outlets.values()


def followers_and_recoveries(node: Node) -> Iterable[Node]:
    """Where a run may go from a node by its outlets, and by what its own author said of its errors.

    A handler of the whole flow does not count: it is for what nobody foresaw.
    """
    own = (node.own_handler,) if node.own_handler else ()
    return (*node.outlets.values(), *node.recoveries.values(), *own)


def reachable(node: Node, after: Callable[[Node], Iterable[Node]] = followers) -> dict[Node, None]:
    """``node`` and every node that a run can come to from it."""
    found, waiting = {node: None}, [node]
    while waiting:
        for follower in after(waiting.pop()):
            if follower not in found:
                found[follower] = None
                waiting.append(follower)
    return found


def in_cycle(node: Node) -> bool:
    """Whether a run in which nothing fails can come back to ``node``."""
    return any(node in follower.reaches for follower in node.outlets.values())


def meeting_point(split: Node, starts: tuple[Node, ...]) -> Node | None:
    """The first node, other than a Merge, in which two of the paths from a split meet before they come back to it; None
    when they do not."""
    seen: set[Node] = set()
    for start in starts:
        path = reachable(start, partial(_but_merges, split)) if not start.merges else {}
        met = next((node for node in path if node in seen), None)
        if met is not None:
            return met
        seen.update(path)
    return None


def _but_merges(split: Node, node: Node) -> Iterable[Node]:
    return () if node is split else (follower for follower in node.outlets.values() if not follower.merges)


def fork_of(split: Node, starts: tuple[Node, ...]) -> Fork:
    """The paths from a split that begin in these nodes."""
    awaited = tuple(start for start in starts if start.leads_to_answer)
    return Fork(awaited, tuple(start for start in starts if not start.leads_to_answer), meeting_point(split, starts))
