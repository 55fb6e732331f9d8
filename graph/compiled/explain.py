"""``flow.explain()``: every path from the start to an end, and why it streams live or not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from graph.compiled.node import Node
from graph.compiled.plan import Plan

if TYPE_CHECKING:
    from graph.flow import Flow

MOST_PATHS = 50


def explain(flow: Flow) -> str:
    """The paths of a flow, one a line, with what becomes of streams on it, and the verdict on the whole."""
    plan = flow.plan
    paths = list(islice(_paths(plan), MOST_PATHS + 1))
    lines = [f"{flow.name}: {flow.streaming.kind} - {flow.streaming.because}"]
    lines += [f"  {_drawn(path)}: {_fate(path)}" for path in paths[:MOST_PATHS]]
    if len(paths) > MOST_PATHS:
        lines.append(f"  … and more than {MOST_PATHS} paths in all")
    return "\n".join(lines)


def _paths(plan: Plan) -> Iterator[list[Node]]:
    """Every way from the first step to an end or back to a step that it has passed; a way back ends with that step."""
    stack = [[plan.first]] if plan.first is not None else []
    while stack:
        path = stack.pop()
        node = path[-1]
        ended = node in path[:-1] or not node.outlets
        if ended or (node.responding and node.select is not None):
            yield path
        if not ended:
            stack += [[*path, follower] for follower in reversed(node.outlets.values())]


def _drawn(path: list[Node]) -> str:
    way = " → ".join(node.name for node in path)
    return f"{way} (again)" if path[-1] in path[:-1] else way


def _fate(path: list[Node]) -> str:
    """What becomes of the streams on a path, the last of them last."""
    fates = [_fate_of(node) for node in dict.fromkeys(path) if node.streams]
    if fates:
        return "; ".join(fates)
    answered = any(node.responding for node in path)
    return "no step streams, the answer is whole" if answered else "no step streams, and none of them responds"


def _fate_of(node: Node) -> str:
    end, tail = node.tail.end, node.tail
    passed = ", ".join(passed.name for passed in tail.nodes if passed is not end)
    through = f" through {passed}" if passed else ""
    if end.responding is None:
        how = f"is collected by '{end.name}'" if end.collects else "is gathered, as nobody reads it chunk by chunk"
    elif end.live and end.show is None:
        how = "reaches the client live"
    elif end.show is not None:
        how = "is shown as reasoning, and again as the answer once it is accepted"
    else:
        how = "is held until it is accepted"
    beside = f", and beside it {', '.join(side.end.name for side in tail.sides)}" if tail.sides else ""
    return f"the stream of '{node.name}'{through} {how}{beside}"
