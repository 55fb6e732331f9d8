"""Walk: one event on its way from node to node. A branch is a walk of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Self

from graph.compiled.node import Node
from graph.compiled.paths import get_path, set_path
from graph.compiled.results import STREAM_TYPES, STREAMS, as_stream, settled
from graph.errors import InvalidOutlet, LimitExceeded
from graph.event import Event
from graph.recording.tape import digest
from graph.running import branches, speech
from graph.running.batching import go_together
from graph.running.stream import DROPPED
from graph.step import Complete

if TYPE_CHECKING:
    from graph.recording.tape import Tape
    from graph.running.run import FlowRun


class Walk:
    """One event walking. The walk of the run itself speaks to the client; those of branches do not.

    Attributes:
        event: what walks; the same object all the way.
        node: the node that it has left last.
        aside: whether it goes on beside the answer, which is none of its business.
        left: whether it left the graph by ``Complete`` or by an error handler that ends there.
        begun: the stream that a node has begun, which is still to be led to its end.
        together: whether events of several runs walk as one, each of which handles what goes wrong by itself.
        refusal: of a draft that a judge refused while it grew, the event as the judge left it.
    """

    __slots__ = ("aside", "begun", "event", "left", "node", "refusal", "run", "together")

    def __init__(self, run: FlowRun, event: Event, node: Node | None = None) -> None:
        self.run = run
        self.event = event
        self.node = node
        self.left = False
        self.aside = False
        self.together = False
        self.refusal: Event | None = None
        self.begun: Any = None

    # --- the two ways to walk

    async def speak(self, node: Node | None) -> AsyncGenerator[Any, None]:
        """To the end of the graph and of its side branches. What the responder says is yielded once nobody can refuse
        it any more; where nothing says anything, the body that the walk ends with."""
        run, drafts = self.run, self.run.drafts
        try:
            while node is not None:
                if node.plain and self.begun is None and drafts.current is None and self.event.tape is None:
                    node = await self.stride(node)
                    continue
                entered = self.event.body
                try:
                    said = await self.do(node)
                    follower = await self.next() if said is None else None
                except Exception as error:
                    node = self.recover(entered, error)
                    continue
                if said is not None:
                    async with aclosing(said) as chunks:
                        async for chunk in chunks:
                            yield chunk
                    follower = await self._onward(entered)
                if drafts.current is not None and (follower is None or not follower.may_reach_responder):
                    for chunk in self.accepted():
                        yield chunk
                node = follower
            if not run.answered and self.event.body is not DROPPED:
                run.answered = self.node is not None and self.node.responding is not None
                yield self.event.body if run.plan.responder is not None else {"id": self.event.id}
            await run.wait_for_asides()
        except branches.FromBranch as branch:
            raise branch.error from None

    async def _onward(self, entered: Any) -> Node | None:
        """The node to go to after an answer that has left, or the handler of what went wrong in choosing it."""
        try:
            return await self.next()
        except Exception as error:
            return self.recover(entered, error)

    async def carry(self, node: Node | None, *, to_merge: bool = False, until: Node | None = None) -> Node | None:
        """In silence: to the Merge that comes first, or until a node, or else to the end of the path (None)."""
        while node is not None and node is not until and not (to_merge and node.merges):
            if node.plain and self.event.tape is None and self.begun is None:
                node = await self.stride(node, until)
                continue
            entered = self.event.body
            try:
                said = await self.do(node)
                if said is not None:
                    async with aclosing(said) as chunks:
                        async for _ in chunks:
                            pass
                node = await self.next()
            except Exception as error:
                node = self.recover(entered, error)
        return node

    def accepted(self) -> Sequence[Any]:
        """The chunks of the draft that nobody can refuse any more; none if the event was dropped on its way."""
        if self.event.body is DROPPED:
            self.run.drafts.refuse()
            return ()
        self.run.answered = True
        return self.run.drafts.take()

    def branch(self, node: Node) -> Self:
        """A walk of a copy of the event, from here."""
        walk = type(self)(self.run, self.event.branch(), node)
        walk.aside = self.aside
        return walk

    # --- many steps

    async def stride(self, node: Node | None, until: Node | None = None) -> Node | None:
        """From one plain node to the next, up to the first that is not plain: what :meth:`do` and :meth:`next` do for
        any node, with nothing looked up twice. A plain node that turns out to stream is returned with its stream begun.
        """
        run, event = self.run, self.event
        visited, most, before, after = run.visited, run.plan.max_steps, run.hooks.before_step, run.hooks.after_step
        while node is not None and node.plain and node is not until:
            entered = event.body
            event.at = node.name
            try:
                visited[node.index] += 1
                run.steps += 1
                if visited[node.index] > node.limit or run.steps > most or run.capped:
                    run.check(node, event)
                for hook in before:
                    hook(run, event)
                made = node.call(entered)
                if node.is_async or type(made) is CoroutineType:
                    made = await made
                if type(made) in STREAM_TYPES:
                    self.begun = made
                    return node
                event.body = made
                self.node = node
                for hook in after:
                    event.at = node.name
                    hook(run, event)
                if made is DROPPED:
                    return None
                if node.select is None:
                    node = node.next
                else:
                    chosen = node.select(made)
                    follower = node.outlets.get(chosen) if type(chosen) is str else None
                    node = follower if follower is not None else await self.part(node, self.named(node, chosen))
            except Exception as error:
                node = self.recover(entered, error)
        return node

    # --- one step

    async def do(self, node: Node) -> AsyncGenerator[Any, None] | None:
        """Does a step. What it says is returned where it leaves for the client at once, up to its first chunk."""
        if node.merges:
            await branches.merge(self, node, [self])
            return None
        if node.batcher is not None:
            await go_together(self, node, node.batcher)
            return None
        if self.begun is not None:
            made, self.begun = self.begun, None
        else:
            self.enter(node)
            made = node.call(self.argument(node)) if self.event.tape is None else self.call(node)
            if node.is_async or type(made) is CoroutineType:
                made = await made
        if isinstance(made, STREAMS):
            return await speech.lead(self, node, as_stream(made))
        self.take(node, made)
        if node.responding is not None and self.event.body is not DROPPED:
            return speech.whole(self, node)
        self.leave(node)
        return None

    def enter(self, node: Node) -> None:
        """Counts a visit, once an event, and says so to those who watch."""
        self.event.at = node.name
        self.run.count(node, self.event)
        for hook in self.run.hooks.before_step:
            hook(self.run, self.event)

    def leave(self, node: Node) -> None:
        """Is done with a node, and says so to those who watch."""
        self.node = node
        if self.event.tape is not None:
            self.event.tape.left(node.name, self.event.body)
        if self.run.hooks.after_step:
            self.event.at = node.name
            for hook in self.run.hooks.after_step:
                hook(self.run, self.event)

    def argument(self, node: Node) -> Any:
        """What a node is given of the event."""
        if node.full_event:
            return self.event
        return get_path(self.event.body, node.input_path) if node.input_path else self.event.body

    def take(self, node: Node, made: Any) -> None:
        """Puts what a step made into the event. A step that works on the event itself may return nothing."""
        if node.full_event and isinstance(made, Event):
            self.event.become(made)
        elif node.full_event and made is None:
            return
        elif node.result_path:
            set_path(self.event.body, node.result_path, made)
        else:
            self.event.body = made

    def call(self, node: Node) -> Any:
        """The call of a node, over the tape if there is one and it goes to the outside."""
        given, tape = self.argument(node), self.event.tape
        if tape is None or not node.outside:
            return node.call(given)
        asked = given.body if isinstance(given, Event) else given
        if node.streams:
            return tape.stream(node.name, asked, lambda: as_stream(node.call(given)))
        if isinstance(given, Event):
            return self._left_in(given, node, tape)
        return tape.value(node.name, asked, lambda: settled(node.call(given)))

    async def _left_in(self, event: Event, node: Node, tape: Tape) -> Any:
        """What a node that works on the event makes of it, over the tape: a value, or the body that it leaves there."""
        before = digest(event.body)

        async def make() -> dict[str, Any]:
            made = await settled(node.call(event))
            if isinstance(made, Event):
                event.become(made)
            elif made is not None:
                return {"made": made}
            return {} if digest(event.body) == before else {"body": event.body}

        came = await tape.value(node.name, event.body, make)
        if "body" in came:
            event.body = came["body"]
        return came.get("made")

    # --- errors

    def recover(self, entered: Any, error: Exception) -> Node:
        """The handler of the step that failed, with the event as it entered that step; or the error again.

        The error of a branch comes by here once more on its way out, and is nobody's to handle any more. Nor is an
        error that a handler would answer a second time.
        """
        if self.together or isinstance(error, branches.FromBranch):
            raise error
        node = self.blame(error)
        handler = node.handler_of(error)
        best_is_wanted = isinstance(error, LimitExceeded) and self.run.answers_by_draft
        answered = self.aside or self.run.has_answered_for_good
        if handler is None or best_is_wanted or (answered and handler.may_reach_responder):
            raise error
        if not self.aside:
            self.run.drafts.refuse()
        self.event.body = entered
        self.event.error = error
        self.event.origin_state = node.name
        return handler

    def blame(self, error: Exception) -> Node:
        """The node that an error is of, after it has been told to those who watch."""
        node = self.run.plan.nodes[self.event.at]
        note = f"in step '{node.name}' of flow '{self.run.plan.name}'"
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)
        for hook in self.run.hooks.on_error:
            hook(self.run, self.event, error)
        return node

    # --- where to go next

    async def next(self) -> Node | None:
        """The node to go to: the one follower, the one selected, or where branches have met again; None is the end."""
        node = self.node
        if node is None or self.event.body is DROPPED:
            return None
        if node.select is None and len(node.outlets) < 2:
            follower = node.next
            self.left = follower is None and node.handles
            return follower
        return await self.part(node, tuple(node.outlets.values()) if node.select is None else self.selected(node))

    async def part(self, node: Node, followers: tuple[Node, ...]) -> Node | None:
        """Where it goes on when it leaves a node for these, be they none, one or several."""
        if len(followers) < 2:
            return followers[0] if followers else None
        return await branches.split(self, node, followers)

    def selected(self, node: Node) -> tuple[Node, ...]:
        """The followers that the step selects."""
        assert node.select is not None  # noqa: S101 - asked only of nodes that select
        return self.named(node, node.select(self.event if node.full_event else self.event.body))

    def named(self, node: Node, chosen: Any) -> tuple[Node, ...]:
        """The followers by what ``select_outlets`` said: names, one or several; ``Complete`` leaves the graph."""
        names = (chosen,) if isinstance(chosen, str) else tuple(chosen or ())
        self.left = names == (Complete,)
        for name in names:
            if name != Complete and name not in node.outlets:
                allowed = ", ".join(sorted((Complete, *node.outlets)))
                raise InvalidOutlet(f"Invalid outlet '{name}' for '{node.name}'. Allowed outlets are: {allowed}.")
        if len(set(names)) < len(names):
            raise InvalidOutlet(f"'{node.name}' selected an outlet twice: {', '.join(names)}.")
        return tuple(node.outlets[name] for name in names if name != Complete)
