"""The checks that a flow passes once, when it is built; and the proof whether its answer streams live."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from graph.compiled.node import Node
from graph.compiled.plan import Plan
from graph.compiled.reach import in_cycle, meeting_point
from graph.compiled.tail import refusal
from graph.errors import (
    CyclesNotAllowed,
    EndlessCycle,
    InvalidStep,
    LoopDetected,
    PathsMeet,
    StreamNotCollected,
    TooManyResponders,
    UnknownStep,
    UnreachableStep,
)
from graph.step import Complete, Responding, Step

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
    _check_numbers(flow)
    _check_start(flow, plan)
    _check_cycles(flow, plan)
    _check_reachable(flow, plan)
    _check_outlets(plan)
    _check_responders(plan)
    _check_splits(flow, plan)
    _check_streams(flow, plan)
    _check_ways_out(plan)
    return _verdict(plan)


def _check_start(flow: Flow, plan: Plan) -> None:
    if plan.first is None:
        raise InvalidStep(f"flow '{flow.name}' has no first step; add one with flow.to(...)")
    starts = [target for source, target in flow.edges if not source]
    if len(starts) > 1:
        raise InvalidStep(
            f"flow '{flow.name}' starts with several steps ({', '.join(starts)}); start with one, and split after it"
        )


def _check_numbers(flow: Flow) -> None:
    """Caps and options that would stop every run, or no run."""
    _check_at_least_1(flow, f"flow '{flow.name}'", ("max_iterations", "max_steps", "max_tokens"))
    _check_above_0(flow, f"flow '{flow.name}'", ("max_seconds", "max_usd"))
    for step in flow.steps.values():
        _check_at_least_1(step.options, f"step '{step.name}'", ("max_iterations", "max_in_flight"))
        _check_above_0(step.options, f"step '{step.name}'", ("timeout", "backoff"))
        if step.options.retries < 0:
            raise InvalidStep(f"step '{step.name}': retries={step.options.retries}; write 0 or more")


def _check_at_least_1(owner: object, place: str, names: tuple[str, ...]) -> None:
    for name in names:
        value = getattr(owner, name)
        if value is not None and value < 1:
            raise InvalidStep(f"{place}: {name}={value}; write 1 or more")


def _check_above_0(owner: object, place: str, names: tuple[str, ...]) -> None:
    for name in names:
        value = getattr(owner, name)
        if value is not None and not value > 0:
            raise InvalidStep(f"{place}: {name}={value}; write a number above 0")


def _check_cycles(flow: Flow, plan: Plan) -> None:
    if flow.cycles and not flow.allow_cyclic:
        source, target = min(flow.cycles)
        raise CyclesNotAllowed(
            f"step '{source}' cycles to '{target}', but cyclic graphs are not allowed, enable allow_cyclic"
        )
    for node in _in_loops(flow, plan):
        raise LoopDetected(
            f"loop detected in step {node.name}, graph must be acyclic (DAG); declare the way back with cycle_to"
        )


def _in_loops(flow: Flow, plan: Plan) -> Iterator[Node]:
    """The nodes that come after themselves by edges that are no ``cycle_to``."""
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
    return (node for node in entered if node not in free)


def _check_ways_out(plan: Plan) -> None:
    for node in plan.nodes.values():
        if in_cycle(node) and not any(_can_leave(other, node) for other in node.reaches):
            raise EndlessCycle(
                f"no way leads out of the cycle that step '{node.name}' is in; give one of its steps a follower "
                "outside and a method select_outlets(body) that chooses"
            )


def _can_leave(other: Node, node: Node) -> bool:
    """Whether a run that is in ``other`` may leave the cycle of ``node``: it chooses, or it is outside already."""
    return other.select is not None or node not in other.reaches


def _check_reachable(flow: Flow, plan: Plan) -> None:
    handlers = [plan.nodes[name] for name in flow.handlers]
    recoveries = [target for node in plan.nodes.values() for target in node.recoveries.values()]
    starts = [*([plan.first] if plan.first else []), *handlers, *recoveries]
    reached = frozenset[Node]().union(*(start.reaches for start in starts))
    for node in plan.nodes.values():
        if node not in reached:
            raise UnreachableStep(f"no path leads to step '{node.name}'; put it after another step with after=")


def _check_outlets(plan: Plan) -> None:
    """What ``select_outlets`` promises by a ``Literal`` return type must be there."""
    for node in plan.nodes.values():
        if node.select is None:
            continue
        if not node.outlets and not node.responding:
            raise InvalidStep(f"step '{node.name}' selects its outlets, but nothing follows it")
        for name in _promised(node.select):
            if name != Complete and name not in node.outlets:
                allowed = ", ".join(sorted((Complete, *node.outlets)))
                raise UnknownStep(
                    f"step '{node.name}' may select '{name}', which does not follow it. Allowed outlets are: {allowed}."
                )


def _promised(select: Any) -> list[str]:
    try:
        returned = typing.get_type_hints(select).get("return")
    except (NameError, TypeError, AttributeError):
        return []
    hints, names = [returned], []
    for hint in hints:
        if typing.get_origin(hint) is Literal:
            names += [name for name in typing.get_args(hint) if isinstance(name, str)]
        else:
            hints.extend(part for part in typing.get_args(hint))
    return names


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
        if node.responding and node.shows_drafts:
            _check_shown(node, node.responding)
        if node.responding and node.responding.judge_every is not None:
            _check_judge(node, node.responding.judge_every)


def _check_shown(responder: Node, said: Responding) -> None:
    """What cannot be shown while it is made, or would be shown again."""
    if responder.collects or responder.merges or responder.unbatches:
        raise InvalidStep(
            f"step '{responder.name}' cannot show its drafts (drafts='{said.drafts}'); let a step after it respond"
        )
    if said.drafts == "live" and said.on_limit == "best":
        raise InvalidStep(
            f"step '{responder.name}': drafts='live' has shown every draft when a cap ends the loop, so "
            "on_limit='best' could answer with none; write drafts='hide' or 'reasoning', or leave out on_limit"
        )


def _check_judge(responder: Node, every: int) -> None:
    if every < 1:
        raise InvalidStep(f"step '{responder.name}': judge_every is a number of characters, from 1 on")
    judge = responder.next
    if judge is None or judge.select is None or not judge.reaches_responder:
        raise InvalidStep(
            f"step '{responder.name}': judge_every needs one follower that selects its outlets and can send drafts back"
        )


def _check_splits(flow: Flow, plan: Plan) -> None:
    for node in plan.nodes.values():
        followers = tuple(node.outlets.values())
        if len(followers) < 2 or node.select is not None:
            continue
        met = meeting_point(node, followers)
        if met is not None:
            raise PathsMeet(
                f"the parallel paths from step '{node.name}' meet in '{met.name}', where one of them would silently "
                f"win; put a Merge before '{met.name}'"
            )
        responder = plan.responder
        if responder is not None and sum(follower.reaches_responder for follower in followers) > 1:
            _check_not_inside(node, followers, responder)


def _check_not_inside(node: Node, followers: tuple[Node, ...], responder: Node) -> None:
    """The responder may stand after the Merge of parallel paths, not on one of them."""
    for follower in followers:
        seen = [follower] if not follower.merges else []
        for passed in seen:
            if passed is responder:
                raise PathsMeet(
                    f"step '{responder.name}' responds on one of the parallel paths from '{node.name}' that a Merge "
                    "joins; let it respond after the Merge"
                )
            seen.extend(other for other in passed.outlets.values() if not other.merges and other not in seen)


def _check_streams(flow: Flow, plan: Plan) -> None:
    for node in plan.nodes.values():
        if not node.streams:
            continue
        for tail in (node.tail, *node.tail.sides):
            if tail.refused_by is not None:
                raise StreamNotCollected(refusal(node, tail))
            if tail.end.collects:
                _check_gathering(flow.steps[tail.end.name])


def _check_gathering(step: Step) -> None:
    """What gathers a stream is called for none of its chunks, so what is said of calls would not hold."""
    for name in ("retries", "timeout", "max_in_flight", "cache"):
        if getattr(step.options, name):
            raise InvalidStep(f"step '{step.name}' gathers a stream, for which {name}= does not hold; leave it out")
    if step.options.execution_mechanism not in (None, "naive"):
        raise InvalidStep(
            f"step '{step.name}' gathers a stream, which is done on the loop; let a step after it have the "
            "execution_mechanism"
        )


def _verdict(plan: Plan) -> StreamVerdict:
    """The verdict on the one responder, from every node whose stream can come to it."""
    responder = plan.responder
    if responder is None:
        return StreamVerdict("whole", "no step responds")
    streaming = [node for node in plan.nodes.values() if node.streams]
    sources = [node for node in streaming if node.tail.end is responder]
    if sources and not responder.collects:
        way = " and ".join(" → ".join(node.name for node in (source, *source.tail.passed)) for source in sources)
        if responder.live and responder.show is None:
            return StreamVerdict("live", f"{way} streams, and nothing on the way needs a whole event")
        return StreamVerdict("accepted", f"{way} streams drafts; one is sent as the answer once it is accepted")
    collected = [node for node in streaming if node.reaches_responder]
    if collected:
        pairs = ", ".join(f"'{node.name}' by '{node.tail.end.name}'" for node in collected)
        return StreamVerdict("collected", f"streams are collected: {pairs}")
    return StreamVerdict("whole", f"no step before '{responder.name}' streams")
