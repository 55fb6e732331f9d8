"""Tail: where the stream of a node goes, chunk by chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graph.compiled.node import Node


class Tail:
    """Where the stream of a node goes: through ``nodes``, chunk by chunk, to ``end``.

    The end is the responder, a Collector, or, with neither on the way, the node itself, which then gathers its own
    stream. ``refused_by`` is the node on the way that cannot take chunks, if there is one. ``sides`` are the tails of
    branches that read the same stream beside this one.
    """

    __slots__ = ("end", "nodes", "passed", "refused_by", "sides")

    def __init__(self, start: Node) -> None:
        self.nodes: tuple[Node, ...] = ()
        self.passed: tuple[Node, ...] = ()
        self.end = start
        self.refused_by: Node | None = None
        self.sides: tuple[Tail, ...] = ()


def tail_of(start: Node) -> Tail:
    """The tail of a node; of one with several followers and nothing to choose, the one that leads to the responder."""
    if start.responding or start.select is not None or len(start.outlets) < 2:
        return _tail(start, start.next)
    tails = [_tail(start, follower) for follower in start.outlets.values()]
    speaking = [tail for tail in tails if tail.end.responding]
    if len(speaking) == 1:
        speaking[0].sides = tuple(tail for tail in tails if tail is not speaking[0])
        return speaking[0]
    whole = Tail(start)
    whole.refused_by = next(iter(start.outlets.values()))
    return whole


def _tail(start: Node, follower: Node | None) -> Tail:
    tail = Tail(start)
    passed: list[Node] = []
    while follower is not None and not tail.end.responding and not tail.end.collects:
        if not _takes_chunks(follower) or follower in (start, *passed):
            tail.refused_by = follower
            break
        passed.append(follower)
        tail.end, follower = follower, follower.next
    if not tail.end.responding and not tail.end.collects:
        tail.end = passed[-1] if passed and follower is None else start
    tail.passed = tuple(passed)
    tail.nodes = tail.passed[:-1] if tail.end.collects else tail.passed
    return tail


def _takes_chunks(node: Node) -> bool:
    if node.collects:
        return True
    forks = len(node.outlets) > 1 and not node.responding
    return not (forks or node.needs_whole) and (node.expands or not node.streams)


def refusal(source: Node, tail: Tail) -> str:
    """Why the stream of ``source`` cannot go where the graph sends it."""
    node = tail.refused_by
    assert node is not None  # noqa: S101 - asked only for streams that are refused
    if len(source.outlets) > 1 and node.name in source.outlets and source.select is None:
        return (
            f"Step '{source.name}' streams to several followers, of which exactly one may lead to the responder "
            "chunk by chunk. Put a Collector after it."
        )
    reason = f"Step '{node.name}' needs a whole event, but '{source.name}' streams."
    if node.streams:
        reason = stream_on_stream(node.name, source.name)
    return f"{reason} Put a Collector between them."


def stream_on_stream(receiver: str, source: str) -> str:
    """The sentence that users of serving graphs search for."""
    return (
        f"Streaming on top of streaming is not allowed. Step '{receiver}' received a streaming event from '{source}'."
    )
