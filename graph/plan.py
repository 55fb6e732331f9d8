"""Plan: a flow compiled into what a run walks. Everything that can be looked up once is looked up here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from graph.calls import instantiate
from graph.errors import InvalidStep, UnknownStep
from graph.growing import characters
from graph.options import wrapped
from graph.results import is_coroutine_function, is_generator_function
from graph.state import Reducer, reducers_of
from graph.step import Responding, Step

if TYPE_CHECKING:
    from graph.batching import Batcher
    from graph.flow import Flow


class Node:
    """A step as a run needs it.

    Attributes:
        instance: the object behind it.
        call: what is called with the body, or with the event where ``full_event``.
        is_async: whether the result must be awaited.
        streams: whether the result is known to be a stream.
        expands: whether, given the chunks of a stream, it makes any number of chunks of each.
        select: ``select_outlets`` of the step, if it chooses its followers.
        outlets: its followers by name.
        next: the follower, where there is exactly one and nothing to choose.
        reaches: the nodes that a run can come to from it, itself among them.
        limit: how often one run may enter it.
        size: how many characters a chunk of it is long.
        gather: what makes one body of a stream: of the step's own chunks, or, in a Collector, of those it is given.
        collects, merges: whether it is a Collector, a Merge.
        batcher: where events of different runs meet, if it is a Batch; ``batch_end`` is the step that parts them again.
        needs_whole: whether it cannot be given the chunks of a stream.
        reaches_responder: whether a run that is here can still come to the responder.
        leads_to_answer: the same; in a flow without a responder every node does.
        handler, recoveries: where errors of it go.
        handles: whether it is an error handler.
        live: whether it is the responder and its chunks leave at once.
        show: what turns a chunk of a draft into what the client may see of it before it is accepted.
        tail: where its stream goes, if it streams.
    """

    __slots__ = (
        "batch_end",
        "batcher",
        "call",
        "collects",
        "expands",
        "full_event",
        "gather",
        "handler",
        "handles",
        "index",
        "input_path",
        "instance",
        "is_async",
        "leads_to_answer",
        "limit",
        "live",
        "merges",
        "name",
        "needs_whole",
        "next",
        "outlets",
        "reaches",
        "reaches_responder",
        "recoveries",
        "responding",
        "result_path",
        "select",
        "show",
        "size",
        "streams",
        "tail",
    )

    def __init__(self, index: int, step: Step, limit: int) -> None:
        self.index = index
        self.name = step.name
        self.instance, plain = instantiate(step)
        self.call: Callable[[Any], Any] = wrapped(step, plain)
        self.is_async = is_coroutine_function(self.call)
        self.streams = is_generator_function(self.call)
        self.select: Callable[[Any], Any] | None = getattr(self.instance, "select_outlets", None)
        self.full_event = _full_event(step, self.instance, plain)
        self.input_path = _path(step.options.input_path)
        self.result_path = _path(step.options.result_path)
        self.limit = limit
        self.responding: Responding | None = step.responding
        self.collects = _says(self.instance, "collects")
        self.merges = _says(self.instance, "merges")
        self.expands = _says(self.instance, "expands")
        self.batcher: Batcher | None = getattr(self.instance, "batcher", None)
        self.batch_end: Node | None = None
        self.needs_whole = self.merges or self.select is not None or _says(self.instance, "needs_whole")
        self.gather: Callable[[Any, list[Any]], Any] = getattr(self.instance, "gather", gather)
        self.size: Callable[[Any], int] = getattr(self.instance, "size", characters)
        self.outlets: dict[str, Node] = {}
        self.next: Node | None = None
        self.reaches: frozenset[Node] = frozenset()
        self.handler: Node | None = None
        self.recoveries: dict[type[Exception], Node] = {}
        self.handles = step.name in step.flow.handlers
        self.reaches_responder = False
        self.leads_to_answer = False
        self.live = False
        self.show: Callable[[Any], Any] | None = None
        self.tail = Tail(self)

    def handler_of(self, error: Exception) -> Node | None:
        """Where the event goes when the step raised ``error``: to the most exact recovery, else to the handler."""
        found = (self.recoveries[kind] for kind in type(error).__mro__ if kind in self.recoveries)
        return next(found, self.handler)

    def __repr__(self) -> str:
        return f"Node({self.name!r})"


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


class Plan:
    """All nodes of a flow, its caps, and where its runs begin."""

    __slots__ = (
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
        self.max_steps = flow.max_steps
        self.max_seconds = flow.max_seconds
        self.max_tokens = flow.max_tokens
        self.max_usd = flow.max_usd
        self.state: type | None = flow.state
        self.reducers: Mapping[str, Reducer] = reducers_of(flow.state, flow.reducers)
        self.responder = next((node for node in nodes.values() if node.responding), None)


def gather(_body: Any, chunks: list[Any]) -> Any:
    """One body of a stream: the list of its chunks; of one chunk the chunk itself."""
    return chunks[0] if len(chunks) == 1 else chunks


# --- compiling


def compile_plan(flow: Flow) -> Plan:
    """The plan of a flow whose names and classes can be found. What it does is checked in :mod:`graph.validate`.

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
        if node.batcher is not None:
            _find_batch_end(node)
    for node in nodes.values():
        node.tail = _tails(node)
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
    node.reaches = frozenset(reachable(node))
    node.reaches_responder = plan.responder in node.reaches
    node.leads_to_answer = node.reaches_responder or plan.responder is None
    handler = None if node.handles else step.error_handler_name or flow.error_handler_name
    node.handler = plan.nodes[handler] if handler else None
    node.recoveries = {kind: _find(flow, plan.nodes, name) for kind, name in step.recoveries.items()}


def _find_batch_end(batch: Node) -> None:
    """The next step that parts events again. Those between walk a list, and so does it: it does not stream."""
    end = batch.next
    while end is not None and not (end.expands or _says(end.instance, "unbatches")):
        end = end.next
    if end is None:
        raise InvalidStep(
            f"step '{batch.name}' batches events and no step parts them again; put an Unbatch or a FlatMap after it, "
            "with nothing that chooses or splits between them (a flow of its own may)"
        )
    batch.batch_end = end
    end.streams = False


def reachable(node: Node) -> list[Node]:
    """``node`` and every node that a run can come to from it by outlets."""
    found = [node]
    for reached in found:
        found.extend(follower for follower in reached.outlets.values() if follower not in found)
    return found


def in_cycle(node: Node) -> bool:
    """Whether a run can come back to ``node``."""
    return any(node.name in source.outlets for source in node.reaches)


def _decide_on_drafts(responder: Node) -> None:
    drafts = responder.responding.drafts if responder.responding and in_cycle(responder) else "live"
    responder.live = drafts != "hide"
    if drafts == "reasoning":
        responder.show = getattr(responder.instance, "as_reasoning", None)


# --- streams


def _tails(start: Node) -> Tail:
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
    return node.collects or node.expands or not (node.streams or node.needs_whole or len(node.outlets) > 1)


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


# --- branches


def meeting_point(followers: tuple[Node, ...]) -> Node | None:
    """The first node, other than a Merge, in which the paths of two of these nodes meet; None when they do not."""
    seen: set[Node] = set()
    for follower in followers:
        path = _before_merges(follower)
        met = next((node for node in path if node in seen), None)
        if met is not None:
            return met
        seen.update(path)
    return None


def _before_merges(node: Node) -> list[Node]:
    """``node`` and the nodes that can be reached from it without passing a Merge."""
    found = [] if node.merges else [node]
    for reached in found:
        found.extend(follower for follower in reached.outlets.values() if follower not in found and not follower.merges)
    return found


# --- what steps say of themselves


def _says(instance: Any, name: str) -> bool:
    return bool(getattr(instance, name, False))


def _path(dotted: str | None) -> tuple[str, ...]:
    return tuple(dotted.split(".")) if dotted else ()


def _full_event(step: Step, instance: Any, call: Callable[[Any], Any]) -> bool:
    if step.options.full_event is not None:
        return step.options.full_event
    return _says(instance, "full_event") or getattr(call, "__name__", "") == "do_event"
