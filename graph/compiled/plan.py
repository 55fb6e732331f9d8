"""Plan: a flow compiled into what a run walks."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING

from graph.compiled.node import Node
from graph.compiled.reach import followers_and_recoveries, reachable
from graph.compiled.tail import tail_of
from graph.errors import InvalidStep, UnknownStep
from graph.running.state import Reducer, reducers_of
from graph.step import Step

if TYPE_CHECKING:
    from graph.flow import Flow


class Plan:
    """All nodes of a flow, its caps, and where its runs begin."""

    __slots__ = (
        "answers_by_draft",
        "first",
        "max_seconds",
        "max_steps",
        "max_tokens",
        "max_usd",
        "name",
        "nodes",
        "reducers",
        "responder",
        "state",
    )

    def __init__(self, flow: Flow, nodes: Mapping[str, Node], first: Node | None) -> None:
        self.name = flow.name
        self.nodes = nodes
        self.first = first
        self.max_steps: float = inf if flow.max_steps is None else flow.max_steps
        self.max_seconds = flow.max_seconds
        self.max_tokens = flow.max_tokens
        self.max_usd = flow.max_usd
        self.state: type | None = flow.state
        self.reducers: Mapping[str, Reducer] = reducers_of(flow.state, flow.reducers)
        self.responder = next((node for node in nodes.values() if node.responding), None)
        responding = self.responder.responding if self.responder is not None else None
        self.answers_by_draft = responding is not None and responding.on_limit == "best"


def compile_plan(flow: Flow) -> Plan:
    """The plan of a flow whose names and classes can be found; :mod:`graph.compiled.validate` checks what it does.

    Raises:
        UnknownStep, InvalidStep: when an edge names no step, or a target cannot be called.
    """
    nodes: dict[str, Node] = {}
    for index, step in enumerate(flow.steps.values()):
        limit = step.options.max_iterations
        nodes[step.name] = Node(index, step, flow.max_iterations if limit is None else limit)
    first: list[Node] = []
    for source, target in flow.edges:
        _connect(flow, nodes, first, source, target)
    plan = Plan(flow, nodes, first[0] if first else None)
    for step in flow.steps.values():
        _look_ahead(flow, plan, step)
    for node in nodes.values():
        node.may_reach_responder = plan.responder in reachable(node, followers_and_recoveries)
        if node.batcher is not None:
            _find_batch_end(node)
    for node in nodes.values():
        node.tail = tail_of(node)
        node.plain = _is_plain(node)
    if plan.responder is not None:
        _decide_on_drafts(plan.responder)
    return plan


def _connect(flow: Flow, nodes: Mapping[str, Node], first: list[Node], source: str, target: str) -> None:
    for name in (source, target):
        if name:
            _find(flow, nodes, name)
    if not source:
        first.append(nodes[target])
    elif target in nodes[source].outlets:
        raise InvalidStep(f"step '{source}' of flow '{flow.name}' is connected to '{target}' twice")
    else:
        nodes[source].outlets[target] = nodes[target]


def _find(flow: Flow, nodes: Mapping[str, Node], name: str) -> Node:
    if name not in nodes:
        raise UnknownStep(f"flow '{flow.name}' has no step '{name}'; it has {', '.join(nodes)}")
    return nodes[name]


def _look_ahead(flow: Flow, plan: Plan, step: Step) -> None:
    """What a node must know of the others."""
    node = plan.nodes[step.name]
    if len(node.outlets) == 1 and node.select is None:
        node.next = next(iter(node.outlets.values()))
    node.recoveries = {kind: _find(flow, plan.nodes, name) for kind, name in step.recoveries.items()}
    if not node.handles and step.error_handler_name:
        node.handler = node.own_handler = plan.nodes[step.error_handler_name]
    elif not node.handles and flow.error_handler_name:
        node.handler = plan.nodes[flow.error_handler_name]
    node.reaches = frozenset(reachable(node))
    node.reaches_responder = plan.responder in node.reaches
    node.leads_to_answer = node.reaches_responder or plan.responder is None


def _is_plain(node: Node) -> bool:
    """Whether a run may take the node in its stride: a body in, a body out, and then one follower or a choice of them;
    of a responder only one that nobody follows, as what that says is no draft."""
    if node.merges or node.collects or node.batcher or node.handles or node.streams or not node.bare:
        return False
    if node.responding is not None:
        return not node.outlets
    return node.select is not None or len(node.outlets) < 2


def _find_batch_end(batch: Node) -> None:
    """The next step that parts events again. Those between walk a list, and so does it: it does not stream."""
    end = batch.next
    while end is not None and not (end.expands or end.unbatches):
        end = end.next
    if end is None:
        raise InvalidStep(
            f"step '{batch.name}' batches events and no step parts them again; put an Unbatch or a FlatMap after it, "
            "with nothing that chooses or splits between them (a flow of its own may)"
        )
    batch.batch_end = end
    end.streams = False


def _decide_on_drafts(responder: Node) -> None:
    """Whether the responder makes drafts, as a run may come back to it, and what the client sees of them."""
    assert responder.responding is not None  # noqa: S101 - asked only of the responder
    drafts = responder.responding.drafts
    looped = any(follower.may_reach_responder for follower in responder.outlets.values())
    responder.live = not responder.collects and (drafts != "hide" or not looped)
    responder.shows_drafts = looped and drafts != "hide"
    if looped and drafts == "reasoning":
        responder.show = getattr(responder.instance, "as_reasoning", None)
