"""Branches: parallel paths of one event, each a walk of its own, and where they meet again."""

from __future__ import annotations

from asyncio import TaskGroup
from collections.abc import Sequence
from typing import TYPE_CHECKING

from graph.compiled.node import Node
from graph.compiled.reach import fork_of
from graph.compiled.results import settled
from graph.errors import InvalidOutlet
from graph.running.state import merge_states
from graph.running.stream import DROPPED

if TYPE_CHECKING:
    from graph.running.walk import Walk


MOST_FORKS = 64
"""How many selections a node remembers; what a request selects, and in which order, is not ours to bound."""


class FromBranch(Exception):
    """An error of a branch on its way out of the run. Its step has been blamed for it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class _Left(Exception):
    """Inside a join: a branch left the graph with an answer, and the others are of no use any more."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk


async def split(walk: Walk, node: Node, followers: tuple[Node, ...]) -> Node | None:
    """Sends copies of the event down several paths. Those that lead to the answer are waited for where they meet; the
    others go on by themselves, and the run ends when they have. What follows is where those meet."""
    fork = node.forks.get(followers)
    if fork is None:
        fork = fork_of(node, followers)
        if len(node.forks) < MOST_FORKS:
            node.forks[followers] = fork
    if fork.meet is not None:
        raise InvalidOutlet(f"the paths from '{node.name}' meet in '{fork.meet.name}'; put a Merge before it")
    if fork.aside:
        walk.run.spawn(_aside(walk.branch(node), node, fork.aside))
    if len(fork.awaited) < 2:
        return fork.awaited[0] if fork.awaited else None
    return await _join(walk, node, fork.awaited)


async def _aside(walk: Walk, node: Node, followers: Sequence[Node]) -> None:
    """A branch that does not lead to the answer: down these paths, to their ends."""
    walk.aside = True
    follower = followers[0] if len(followers) == 1 else await _join(walk, node, followers)
    await walk.carry(follower)


async def _join(walk: Walk, node: Node, followers: Sequence[Node]) -> Node | None:
    """Walks branches side by side until all that arrive have met in one Merge, and goes on from there."""
    going = [(walk.branch(node), follower) for follower in followers]
    arrived: dict[Node, list[Walk]] = {}
    while going:
        for branch, merge_node in await _carried(walk, going):
            if merge_node is not None:
                arrived.setdefault(merge_node, []).append(branch)
        going = []
        for merge_node in _earlier(arrived):
            branch = walk.branch(node)
            try:
                await merge(branch, merge_node, arrived.pop(merge_node))
                follower = await branch.next()
            except Exception:
                walk.event.at = branch.event.at
                raise
            going += [(branch, follower)] if follower is not None else []
    if walk.left:
        return None
    if not arrived:
        if walk.run.plan.responder is not None:
            walk.event.body = DROPPED
        return None
    ((merge_node, branches),) = arrived.items()
    await merge(walk, merge_node, branches)
    return await walk.next()


async def _carried(walk: Walk, going: Sequence[tuple[Walk, Node]]) -> list[tuple[Walk, Node | None]]:
    """The branches, each with the Merge that it has come to. When one fails or leaves, the others are cancelled."""

    async def one(branch: Walk, node: Node) -> tuple[Walk, Node | None]:
        reached = await branch.carry(node, to_merge=True)
        if branch.left:
            raise _Left(branch)
        return branch, reached

    try:
        async with TaskGroup() as group:
            tasks = [group.create_task(one(branch, node)) for branch, node in going]
    except BaseExceptionGroup as failed:
        error = failed.exceptions[0]
        if isinstance(error, _Left):
            walk.event.become(error.walk.event)
            walk.left = True
            return []
        if isinstance(error, Exception) and not isinstance(error, FromBranch):
            raise FromBranch(error) from None
        raise error from None
    return [task.result() for task in tasks]


def _earlier(arrived: dict[Node, list[Walk]]) -> list[Node]:
    """Of several Merges those that must go on first: from which another one can be reached, or else all of them."""
    if len(arrived) < 2:
        return []
    return [node for node in arrived if any(other in node.reaches for other in arrived if other is not node)] or list(
        arrived
    )


async def merge(walk: Walk, node: Node, walks: Sequence[Walk]) -> None:
    """One event of those that arrived: the body by the Merge, the state by its reducers, the latest notes."""
    walk.enter(node)
    merge_states(walk.event.state, [branch.event.state for branch in walks], walk.run.plan.reducers)
    for branch in walks:
        walk.event.notes |= branch.event.notes
    bodies = {branch.node.name if branch.node else "": branch.event.body for branch in walks}
    walk.take(node, await settled(node.call(bodies)))
    if node.responding is not None and walk.event.body is not DROPPED:
        walk.run.hold(walk.event, [walk.event.body])
    walk.leave(node)
