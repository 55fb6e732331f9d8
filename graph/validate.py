"""The checks that a flow passes once, when it is built; and the proof whether its answer streams live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from graph.errors import (
    CyclesNotAllowed,
    InvalidStep,
    LoopDetected,
    StreamNotCollected,
    TooManyResponders,
    UnreachableStep,
    UnsupportedSplit,
)
from graph.plan import Plan, refusal

if TYPE_CHECKING:
    from graph.flow import Flow


@dataclass(frozen=True, slots=True)
class StreamVerdict:
    """Whether the answer of a flow reaches the client while it is made.

    ``live``: chunks leave as they come; ``accepted``: they leave from the moment a cycle accepts the draft;
    ``collected``: a Collector makes one answer of them; ``whole``: no step streams.
    """

    kind: Literal["live", "accepted", "collected", "whole"]
    because: str


def check(flow: Flow, plan: Plan) -> StreamVerdict:
    """Checks everything that can be known before the first run.

    Raises:
        GraphDefinitionError: for the first fault found; the message says what to write instead.
    """
    _check_start(flow, plan)
    _check_cycles(flow, plan)
    _check_responders(plan)
    _check_reachable(flow, plan)
    _check_splits(plan)
    _check_streams(plan)
    return _verdict(plan)


def _check_start(flow: Flow, plan: Plan) -> None:
    if plan.first is None:
        raise InvalidStep(f"flow '{flow.name}' has no first step; add one with flow.to(...)")
    starts = [target for source, target in flow.edges if not source]
    if len(starts) > 1:
        raise UnsupportedSplit(f"flow '{flow.name}' starts with several steps ({', '.join(starts)}); start with one")
    for name in (node.name for node in plan.nodes.values() if node.limit < 1):
        raise InvalidStep(f"step '{name}': max_iterations is below 1, so it could never run")


def _check_cycles(flow: Flow, plan: Plan) -> None:
    if flow.cycles and not flow.allow_cyclic:
        source, target = min(flow.cycles)
        raise CyclesNotAllowed(
            f"step '{source}' cycles to '{target}', but cyclic graphs are not allowed, enable allow_cyclic"
        )
    forward = {
        node: [follower for follower in node.outlets.values() if (node.name, follower.name) not in flow.cycles]
        for node in plan.nodes.values()
    }
    entered = dict.fromkeys(forward, 0)
    for followers in forward.values():
        for follower in followers:
            entered[follower] += 1
    free = [node for node, count in entered.items() if count == 0]
    for node in free:
        for follower in forward[node]:
            entered[follower] -= 1
            if entered[follower] == 0:
                free.append(follower)
    for node in entered:
        if node not in free:
            raise LoopDetected(
                f"loop detected in step {node.name}, graph must be acyclic (DAG); declare the way back with cycle_to"
            )


def _check_responders(plan: Plan) -> None:
    responders = [node for node in plan.nodes.values() if node.responding]
    if len(responders) > 1:
        names = ",".join(node.name for node in responders)
        raise TooManyResponders(f"there are more than one responder steps in the graph ({names})")
    for node in responders:
        if node.responding and node.responding.drafts == "reasoning" and not hasattr(node.instance, "as_reasoning"):
            raise InvalidStep(
                f"step '{node.name}' cannot show drafts as reasoning; give its class a method as_reasoning(chunk), "
                "or write drafts='hide'"
            )


def _check_reachable(flow: Flow, plan: Plan) -> None:
    starts = [plan.nodes[name] for name in flow.handlers]
    reached = [*([plan.first] if plan.first else []), *starts]
    for node in reached:
        reached.extend(follower for follower in node.outlets.values() if follower not in reached)
    for node in plan.nodes.values():
        if node not in reached:
            raise UnreachableStep(f"no path leads to step '{node.name}'; put it after another step with after=")


def _check_splits(plan: Plan) -> None:
    for node in plan.nodes.values():
        if len(node.outlets) > 1 and node.select is None:
            raise UnsupportedSplit(
                f"step '{node.name}' has several followers ({', '.join(node.outlets)}) and does not choose among them; "
                "give its class a method select_outlets(body) that returns the name of one"
            )


def _check_streams(plan: Plan) -> None:
    for node in plan.nodes.values():
        if node.streams and node.tail.refused_by is not None:
            raise StreamNotCollected(refusal(node))


def _verdict(plan: Plan) -> StreamVerdict:
    """The verdict on the one responder, from every node whose stream can come to it."""
    responder = plan.responder
    if responder is None:
        return StreamVerdict("whole", "no step responds")
    streaming = [node for node in plan.nodes.values() if node.streams]
    sources = [node for node in streaming if node.tail.end is responder]
    if sources:
        way = " and ".join(" → ".join(node.name for node in (source, *source.tail.passed)) for source in sources)
        if responder.live and responder.show is None:
            return StreamVerdict("live", f"{way} streams, and nothing on the way needs a whole event")
        return StreamVerdict("accepted", f"{way} streams drafts; one is sent as the answer once it is accepted")
    collected = [node for node in streaming if node.reaches_responder]
    if collected:
        pairs = ", ".join(f"'{node.name}' by '{node.tail.end.name}'" for node in collected)
        return StreamVerdict("collected", f"streams are collected: {pairs}")
    return StreamVerdict("whole", f"no step before '{responder.name}' streams")
