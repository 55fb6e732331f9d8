"""StandIn: a step that is in processes, as its flow sees it."""

from __future__ import annotations

import pickle
from collections.abc import AsyncGenerator, Callable
from typing import Any

from graph.compiled.calls import instantiate
from graph.compiled.results import is_generator_function
from graph.errors import InvalidStep, RunError
from graph.event import Event
from graph.processes.parcel import Parcel
from graph.processes.pool import Pool
from graph.processes.recipe import Recipe
from graph.processes.wire import framed
from graph.processes.worker import NEXT
from graph.step import Step
from graph.sub_flow import SubFlow

FLAGS = ("expands", "full_event", "needs_whole", "outside", "unbatches")
"""What a step says of itself that holds in a process too."""
BOUND = ("batcher", "collects", "merges", "select_outlets")
"""What the engine does with a step on the loop; a step that has one of these cannot be in a process."""
ASKED = ("as_reasoning", "gather", "size")
"""What the engine asks on the loop of a step that streams or responds."""


class StandIn:
    """What stands in a flow for an object that lives in processes."""

    full_event: bool

    def __init__(self, name: str, source: Any, call: Callable[[Any], Any]) -> None:
        self.name = name
        for flag in FLAGS:
            setattr(self, flag, getattr(source, flag, False) is True)
        self.full_event |= getattr(call, "__name__", "") == "do_event"

    def __repr__(self) -> str:
        return f"StandIn({self.name!r})"


def in_process(step: Step) -> tuple[StandIn, Callable[[Any], Any]]:
    """The stand-in for a step that is in processes, and its call. The step is made in the process, not here.

    Raises:
        InvalidStep: when it cannot be there; the message says what to write instead.
    """
    if isinstance(step.target, SubFlow):
        raise InvalidStep(f"step '{step.name}': a flow cannot be in a process; say it of the steps in it")
    source, method = _described(step)
    streams = is_generator_function(method)
    stand_in = StandIn(step.name, source, method)
    _must_fit(step, source, asked=streams or step.responding is not None)
    wants_event = stand_in.full_event if step.options.full_event is None else step.options.full_event
    if wants_event and getattr(source, "sends_state", True):
        _must_send_state(step)
    recipe = Recipe.of(step).frame()
    pool = step.flow.processes.pool_of(step, streams=streams)
    return stand_in, _stream(step.name, recipe, pool) if streams else _value(step.name, recipe, pool)


def _described(step: Step) -> tuple[Any, Callable[[Any], Any]]:
    """What tells about a step without making it - its class - and the method that will be called.

    The engine's own steps are cheap to make, and some say what they are only then.
    """
    kind = step.target
    if hasattr(kind, "described_from"):
        source, method = kind.described_from(step.arguments)
        return source, method
    if not isinstance(kind, type) or kind.__module__.partition(".")[0] == "graph":
        return instantiate(step)
    names = (step.handler,) if step.handler else ("do_event", "do", "__call__")
    for name in names:
        if name in dir(kind) and callable(method := getattr(kind, name)):
            return kind, method
    wanted = f"method '{step.handler}'" if step.handler else "method 'do' or 'do_event'"
    raise InvalidStep(f"step '{step.name}': {kind!r} has no {wanted}")


def _must_fit(step: Step, source: Any, *, asked: bool) -> None:
    if getattr(source, "needs_run", False):
        raise InvalidStep(
            f"step '{step.name}' asks its run what may be done, so it cannot be in a process, where no run is; let "
            "what it calls compute in one"
        )
    for name in BOUND:
        if getattr(source, name, None):
            raise InvalidStep(
                f"step '{step.name}' has {name}, which works on the loop, so it cannot be in a process; move its work "
                "into a step of its own before it"
            )
    for name in ASKED:
        if asked and callable(getattr(source, name, None)):
            raise InvalidStep(
                f"step '{step.name}' has {name}, which its flow calls on the loop, so it cannot be in a process; let a "
                "plain step after it have that"
            )


def _must_send_state(step: Step) -> None:
    """The state goes to the process with the event."""
    try:
        pickle.dumps(step.flow.state)
    except Exception as error:
        raise InvalidStep(
            f"step '{step.name}' is given the event, whose state cannot be sent to a process ({error}); "
            "define its class at the top of a module, or let the step have the body only"
        ) from None


# --- calls


def _value(name: str, recipe: bytes, pool: Pool) -> Callable[[Any], Any]:
    async def value(given: Any) -> Any:
        request, event = _request(name, given)
        worker = await pool.take(name, recipe)
        try:
            reply = await worker.ask(name, request)
            if reply.kind == "chunk":
                raise RunError(f"step '{name}' returned a stream; write it with yield, so that its flow knows of it")
            return reply.settle(event)
        finally:
            await pool.leave(worker, name, event)

    return value


def _stream(name: str, recipe: bytes, pool: Pool) -> Callable[[Any], AsyncGenerator[Any, None]]:
    async def stream(given: Any) -> AsyncGenerator[Any, None]:
        request, event = _request(name, given)
        worker = await pool.take(name, recipe)
        try:
            reply = await worker.ask(name, request)
            while reply.kind == "chunk":
                yield reply.value
                reply = await worker.ask(name, NEXT)
            reply.settle(event)
        finally:
            await pool.leave(worker, name, event)

    return stream


def _request(name: str, given: Any) -> tuple[bytes, Event | None]:
    """The request to call a step, and the event that it is given, if it is one."""
    event = given if isinstance(given, Event) else None
    try:
        return framed(("call", name, given if event is None else Parcel.of(event))), event
    except Exception as error:
        what = "body" if event is None else "event"
        raise RunError(f"the {what} cannot be sent to the process of step '{name}': {error}") from error
