"""Node: a step as a run needs it, with everything looked up that can be looked up once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from graph.compiled.results import is_async_function, is_coroutine_function, is_generator_function
from graph.compiled.tail import Tail
from graph.errors import InvalidStep
from graph.options import made, wrapped
from graph.running.growing import characters
from graph.step import Responding, Step

if TYPE_CHECKING:
    from graph.compiled.reach import Fork
    from graph.running.batching import Batcher


class Node:
    """A step as a run needs it.

    Attributes:
        instance: the object behind it, or what stands for it when that is in processes.
        call: what is called with the body, or with the event where ``full_event``.
        is_async: whether the result must be awaited.
        streams: whether the result is known to be a stream.
        expands: whether, given the chunks of a stream, it makes any number of chunks of each.
        select: ``select_outlets`` of the step, if it chooses its followers.
        outlets: its followers by name.
        forks: of the followers that a run took side by side, how they part.
        next: the follower, where there is exactly one and nothing to choose.
        reaches: the nodes that a run can come to from it, itself among them.
        limit: how often one run may enter it.
        size: how many characters a chunk of it is long.
        gather: what makes one body of a stream: of the step's own chunks, or, in a Collector, of those it is given.
        collects, merges: whether it is a Collector, a Merge.
        unbatches: whether it parts events that a Batch has brought together.
        batcher: where events of different runs meet, if it is a Batch; ``batch_end`` is the step that parts them again.
        outside: whether what it makes comes from outside, and so goes over the tape of a recorded run.
        ahead: how many chunks of a stream it may have in hand at once.
        bare: whether it is given just a body, and what it makes is the next one.
        plain: whether a run takes it in its stride, see :meth:`graph.running.walk.Walk.stride`.
        needs_whole: whether it cannot be given the chunks of a stream.
        reaches_responder: whether a run that is here can still come to the responder.
        leads_to_answer: the same; in a flow without a responder every node does.
        may_reach_responder: the same, where errors may go the ways that the author of a step gave them.
        handler, recoveries: where errors of it go; ``own_handler`` is the handler if it is not that of the whole flow.
        handles: whether it is an error handler.
        live: whether it is the responder and its chunks leave at once.
        shows_drafts: whether it is a responder that a run may come back to, and its drafts are shown.
        show: what turns a chunk of a draft into what the client may see of it before it is accepted.
        tail: where its stream goes, if it streams.
    """

    __slots__ = (
        "ahead",
        "bare",
        "batch_end",
        "batcher",
        "call",
        "collects",
        "expands",
        "forks",
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
        "may_reach_responder",
        "merges",
        "name",
        "needs_whole",
        "next",
        "outlets",
        "outside",
        "own_handler",
        "plain",
        "reaches",
        "reaches_responder",
        "recoveries",
        "responding",
        "result_path",
        "select",
        "show",
        "shows_drafts",
        "size",
        "streams",
        "tail",
        "unbatches",
    )

    def __init__(self, index: int, step: Step, limit: int) -> None:
        self.index = index
        self.name = step.name
        self.instance, plain = made(step)
        self.call: Callable[[Any], Any] = wrapped(step, plain)
        self.is_async = is_coroutine_function(self.call)
        self.streams = is_generator_function(self.call)
        self.select: Callable[[Any], Any] | None = getattr(self.instance, "select_outlets", None)
        if self.select is not None and is_async_function(self.select):
            raise InvalidStep(
                f"step '{self.name}': select_outlets must be a plain def; what takes time belongs into do"
            )
        self.full_event = _full_event(step, self.instance, plain)
        self.input_path = _path(step.options.input_path)
        self.result_path = _path(step.options.result_path)
        self.bare = not (self.full_event or self.input_path or self.result_path)
        self.limit = limit
        self.ahead = step.options.max_in_flight or 1 if self.is_async else 1
        self.plain = False
        self.responding: Responding | None = step.responding
        self.collects = _says(self.instance, "collects")
        self.merges = _says(self.instance, "merges")
        self.expands = _says(self.instance, "expands")
        self.unbatches = _says(self.instance, "unbatches")
        self.outside = _says(self.instance, "outside")
        self.batcher: Batcher | None = getattr(self.instance, "batcher", None)
        self.batch_end: Node | None = None
        self.needs_whole = self.merges or self.select is not None or _says(self.instance, "needs_whole")
        self.gather: Callable[[Any, list[Any]], Any] = getattr(self.instance, "gather", gather)
        self.size: Callable[[Any], int] = getattr(self.instance, "size", characters)
        self.outlets: dict[str, Node] = {}
        self.forks: dict[tuple[Node, ...], Fork] = {}
        self.next: Node | None = None
        self.reaches: frozenset[Node] = frozenset()
        self.handler: Node | None = None
        self.own_handler: Node | None = None
        self.recoveries: dict[type[Exception], Node] = {}
        self.handles = step.name in step.flow.handlers
        self.reaches_responder = False
        self.may_reach_responder = False
        self.leads_to_answer = False
        self.live = False
        self.shows_drafts = False
        self.show: Callable[[Any], Any] | None = None
        self.tail = Tail(self)

    def handler_of(self, error: Exception) -> Node | None:
        """Where the event goes when the step raised ``error``: to the most exact recovery, else to the handler."""
        found = (self.recoveries[kind] for kind in type(error).__mro__ if kind in self.recoveries)
        return next(found, self.handler)

    def __repr__(self) -> str:
        return f"Node({self.name!r})"


def gather(_body: Any, chunks: list[Any]) -> Any:
    """One body of a stream: the list of its chunks; of one chunk the chunk itself."""
    return chunks[0] if len(chunks) == 1 else chunks


def _says(instance: Any, name: str) -> bool:
    return bool(getattr(instance, name, False))


def _path(dotted: str | None) -> tuple[str, ...]:
    return tuple(dotted.split(".")) if dotted else ()


def _full_event(step: Step, instance: Any, call: Callable[[Any], Any]) -> bool:
    if step.options.full_event is not None:
        return step.options.full_event
    return _says(instance, "full_event") or getattr(call, "__name__", "") == "do_event"
