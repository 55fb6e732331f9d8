"""Plan: a flow compiled into what a run walks. Everything that can be looked up once is looked up here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any

from graph.errors import InvalidStep, UnknownStep
from graph.step import Responding, Step

if TYPE_CHECKING:
    from graph.flow import Flow

DYNAMIC = (CoroutineType, AsyncGeneratorType, GeneratorType)
"""What a plain ``def`` may return instead of a value: it is then awaited or streamed like any other."""


class Node:
    """A step as a run needs it.

    Attributes:
        call: what is called with the body, or with the event where ``full_event``.
        is_async: whether the result must be awaited.
        streams: whether the result is known to be a stream.
        select: ``select_outlets`` of the step, if it chooses its followers.
        outlets: its followers by name.
        next: the follower, where there is exactly one and nothing to choose.
        limit: how often one run may enter it.
        gather: what makes one body of a stream: of the step's own chunks, or, in a Collector, of those it is given.
        collects: whether it is a Collector.
        needs_whole: whether it cannot be given the chunks of a stream.
        reaches_responder: whether a run that is here can still come to the responder.
        live: whether it is the responder and its chunks leave at once.
        show: what turns a chunk of a draft into what the client may see of it before it is accepted.
        tail: where its stream goes, if it streams.
    """

    __slots__ = (
        "call",
        "collects",
        "full_event",
        "gather",
        "handler",
        "index",
        "input_path",
        "instance",
        "is_async",
        "limit",
        "live",
        "name",
        "needs_whole",
        "next",
        "outlets",
        "reaches_responder",
        "responding",
        "result_path",
        "select",
        "show",
        "streams",
        "tail",
    )

    def __init__(self, index: int, step: Step, limit: int) -> None:
        self.index = index
        self.name = step.name
        self.instance, self.call = instantiate(step)
        self.is_async = is_coroutine_function(self.call)
        self.streams = inspect.isasyncgenfunction(_plain(self.call)) or inspect.isgeneratorfunction(_plain(self.call))
        self.select: Callable[[Any], Any] | None = getattr(self.instance, "select_outlets", None)
        self.full_event = _full_event(step, self.instance, self.call)
        self.input_path = tuple(step.input_path.split(".")) if step.input_path else ()
        self.result_path = tuple(step.result_path.split(".")) if step.result_path else ()
        self.limit = limit
        self.responding: Responding | None = step.responding
        self.collects = bool(getattr(self.instance, "collects", False))
        self.gather: Callable[[Any, list[Any]], Any] = getattr(self.instance, "gather", gather)
        self.needs_whole = bool(self.select or getattr(self.instance, "needs_whole", False))
        self.outlets: dict[str, Node] = {}
        self.next: Node | None = None
        self.handler: Node | None = None
        self.reaches_responder = False
        self.live = False
        self.show: Callable[[Any], Any] | None = None
        self.tail = Tail(self)

    def __repr__(self) -> str:
        return f"Node({self.name!r})"


class Tail:
    """Where the stream of a node goes: through ``nodes``, chunk by chunk, to ``end``.

    The end is the responder, a Collector, or, with neither on the way, the node itself, which then gathers its own
    stream. ``refused_by`` is the node on the way that needs a whole event or streams itself, if there is one.
    """

    __slots__ = ("end", "nodes", "passed", "refused_by")

    def __init__(self, start: Node) -> None:
        self.nodes: tuple[Node, ...] = ()
        self.passed: tuple[Node, ...] = ()
        self.end = start
        self.refused_by: Node | None = None


class Plan:
    """All nodes of a flow, its caps, and where its runs begin."""

    __slots__ = ("first", "max_seconds", "max_steps", "name", "nodes", "responder")

    def __init__(self, flow: Flow, nodes: Mapping[str, Node], first: Node | None) -> None:
        self.name = flow.name
        self.nodes = nodes
        self.first = first
        self.max_steps = flow.max_steps
        self.max_seconds = flow.max_seconds
        self.responder = next((node for node in nodes.values() if node.responding), None)


def gather(_body: Any, chunks: list[Any]) -> Any:
    """One body of a stream: the list of its chunks; of one chunk the chunk itself."""
    return chunks[0] if len(chunks) == 1 else chunks


def compile_plan(flow: Flow) -> Plan:
    """The plan of a flow whose names and classes can be found. What it does is checked in :mod:`graph.validate`.

    Raises:
        UnknownStep, InvalidStep: when an edge names no step, or a target cannot be called.
    """
    nodes: dict[str, Node] = {}
    for index, step in enumerate(flow.steps.values()):
        limit = flow.max_iterations if step.max_iterations is None else step.max_iterations
        nodes[step.name] = Node(index, step, limit)
    first: list[Node] = []
    for source, target in flow.edges:
        _connect(flow, nodes, first, source, target)
    for node in nodes.values():
        if len(node.outlets) == 1 and node.select is None:
            node.next = next(iter(node.outlets.values()))
        node.handler = _handler(flow, nodes, node.name)
    plan = Plan(flow, nodes, first[0] if first else None)
    for node in nodes.values():
        node.tail = _tail(node)
    for node in _sources_of(plan.responder, list(nodes.values())):
        node.reaches_responder = True
    if plan.responder is not None:
        _decide_on_drafts(plan.responder)
    return plan


def _decide_on_drafts(responder: Node) -> None:
    drafts = responder.responding.drafts if responder.responding and in_cycle(responder) else "live"
    responder.live = drafts != "hide"
    if drafts == "reasoning":
        responder.show = getattr(responder.instance, "as_reasoning", None)


def _connect(flow: Flow, nodes: Mapping[str, Node], first: list[Node], source: str, target: str) -> None:
    for name in (source, target):
        if name and name not in nodes:
            raise UnknownStep(f"flow '{flow.name}' has no step '{name}'; it has {', '.join(nodes)}")
    if not source:
        first.append(nodes[target])
    elif target in nodes[source].outlets:
        raise InvalidStep(f"step '{source}' of flow '{flow.name}' is connected to '{target}' twice")
    else:
        nodes[source].outlets[target] = nodes[target]


def _handler(flow: Flow, nodes: Mapping[str, Node], name: str) -> Node | None:
    """The handler of a step's errors; a handler has none, so that its own error is what is reported."""
    if name in flow.handlers:
        return None
    handler = flow.steps[name].error_handler_name or flow.error_handler_name
    return nodes[handler] if handler else None


def _tail(start: Node) -> Tail:
    tail = Tail(start)
    passed: list[Node] = []
    while not tail.end.responding and not tail.end.collects and tail.end.next is not None:
        follower = tail.end.next
        if not follower.collects and (follower.streams or follower.needs_whole or follower in (start, *passed)):
            tail.refused_by = follower
            break
        passed.append(follower)
        tail.end = follower
    if not tail.end.responding and not tail.end.collects:
        tail.end, passed = start, []
    tail.passed = tuple(passed)
    tail.nodes = tail.passed[:-1] if tail.end.collects else tail.passed
    return tail


def refusal(source: Node) -> str:
    """Why the stream of ``source`` cannot go where the graph sends it."""
    node = source.tail.refused_by
    if node is None or not node.streams:
        reason = f"Step '{node.name if node else ''}' needs a whole event, but '{source.name}' streams."
    else:
        reason = stream_on_stream(node.name, source.name)
    return f"{reason} Put a Collector between them."


def stream_on_stream(receiver: str, source: str) -> str:
    """The sentence that users of serving graphs search for."""
    return (
        f"Streaming on top of streaming is not allowed. Step '{receiver}' received a streaming event from '{source}'."
    )


def in_cycle(node: Node) -> bool:
    """Whether a run can come back to ``node``."""
    return any(node.name in source.outlets for source in _followers_of(node))


def _followers_of(node: Node) -> list[Node]:
    """``node`` and every node that a run can come to from it."""
    found = [node]
    for reached in found:
        found.extend(follower for follower in reached.outlets.values() if follower not in found)
    return found


def _sources_of(target: Node | None, nodes: Iterable[Node]) -> list[Node]:
    """The nodes from which a run can come to ``target``, itself among them."""
    found = [] if target is None else [target]
    for node in found:
        found.extend(source for source in nodes if node.name in source.outlets and source not in found)
    return found


# --- what a step calls


def instantiate(step: Step) -> tuple[Any, Callable[[Any], Any]]:
    """The object behind a step, and what to call: its ``handler``, else ``do_event``, else ``do``, else itself.

    The constructor is given ``name`` only if it asks for it.

    Raises:
        InvalidStep: when the target cannot be constructed or has nothing to call.
    """
    instance = step.target
    if isinstance(instance, type):
        instance = _construct(step, instance)
    elif step.arguments and callable(instance):
        instance = partial(instance, **step.arguments)
    for method in (step.handler,) if step.handler else ("do_event", "do"):
        call = getattr(instance, method, None)
        if callable(call):
            return instance, call
    if callable(instance) and step.handler is None:
        return instance, instance
    wanted = f"method '{step.handler}'" if step.handler else "method 'do' or 'do_event'"
    raise InvalidStep(f"step '{step.name}': {step.target!r} has no {wanted}")


def _construct(step: Step, kind: type) -> Any:
    arguments = dict(step.arguments)
    accepted = inspect.signature(kind).parameters
    for name, value in (("name", step.name), ("context", None)):
        if name in accepted:
            arguments.setdefault(name, value)
    try:
        return kind(**arguments)
    except TypeError as error:
        raise InvalidStep(f"step '{step.name}': {kind.__name__} cannot be made: {error}") from error


def _full_event(step: Step, instance: Any, call: Callable[[Any], Any]) -> bool:
    if step.full_event is not None:
        return step.full_event
    return bool(getattr(instance, "full_event", False)) or getattr(call, "__name__", "") == "do_event"


def _plain(call: Callable[[Any], Any]) -> Any:
    """The function behind partials and objects with ``__call__``, for ``inspect`` to look at."""
    while isinstance(call, partial):
        call = call.func
    return call if inspect.isroutine(call) else getattr(call, "__call__", call)  # noqa: B004


def is_coroutine_function(call: Callable[[Any], Any]) -> bool:
    """Whether calling it gives something to await."""
    return inspect.iscoroutinefunction(_plain(call))
