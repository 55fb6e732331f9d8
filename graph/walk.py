"""Walk: one event on its way from node to node. A branch is a walk of its own."""

from __future__ import annotations

from asyncio import TaskGroup
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from graph.batching import Batcher, together
from graph.errors import InvalidOutlet, LimitExceeded, StreamOnStream
from graph.event import Event
from graph.growing import watched
from graph.paths import get_path, set_path
from graph.plan import Node, Tail, meeting_point, refusal
from graph.results import END, STREAMS, again, as_stream, settled
from graph.state import merge_states
from graph.step import Complete
from graph.stream import DROPPED, Window, fed, through

if TYPE_CHECKING:
    from graph.run import FlowRun


class _Left(Exception):
    """Inside a join: a branch left the graph with an answer, and the others are of no use any more."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk


class Walk:
    """One event walking. The walk of the run itself speaks to the client; those of branches do not.

    Attributes:
        event: the event as it is now.
        node: the node that it has left last.
        left: whether it left the graph by ``Complete`` or by an error handler that ends there.
    """

    __slots__ = ("_refusal", "event", "left", "node", "run")

    def __init__(self, run: FlowRun, event: Event, node: Node | None = None) -> None:
        self.run = run
        self.event = event
        self.node = node
        self.left = False
        self._refusal: Event | None = None

    # --- the two ways to walk

    async def speak(self, node: Node | None) -> AsyncGenerator[Any, None]:
        """To the end of the graph. What the responder says is yielded once nobody can refuse it any more."""
        drafts = self.run.drafts
        while node is not None:
            entered = self.event.body
            try:
                said = await self._do(node)
                follower = await self._next() if said is None else None
            except Exception as error:
                node = self._recover(entered, error)
                continue
            if said is not None:
                async with aclosing(said) as chunks:
                    async for chunk in chunks:
                        yield chunk
                follower = await self._next()
            if drafts.current is not None and (follower is None or not follower.reaches_responder):
                self.run.answered = True
                for chunk in drafts.take():
                    yield chunk
            node = follower

    async def carry(self, node: Node | None, *, to_merge: bool = False, until: Node | None = None) -> Node | None:
        """In silence: to the Merge that comes first, or until a node, or else to the end of the path (None)."""
        while node is not None and node is not until and not (to_merge and node.merges):
            entered = self.event.body
            try:
                await self._do(node)
                node = await self._next()
            except Exception as error:
                node = self._recover(entered, error)
        return node

    # --- one step

    async def _do(self, node: Node) -> AsyncGenerator[Any, None] | None:
        """Does a step. What it says is returned where it leaves for the client at once, up to its first chunk."""
        if node.merges:
            self._merge(node, [self])
            return None
        if node.batcher is not None:
            await self._go_together(node, node.batcher)
            return None
        self._enter(node)
        made = node.call(self._argument(node))
        if node.is_async or type(made) is CoroutineType:
            made = await made
        if isinstance(made, STREAMS):
            return await self._stream(node, as_stream(made))
        self._take(node, made)
        if node.responding is not None and self.event.body is not DROPPED:
            self.run.hold(self.event, [self.event.body])
        self._leave(node)
        return None

    def _enter(self, node: Node) -> None:
        """Counts a visit, once an event, and says so to those who watch."""
        self.event.at = node.name
        self.run.count(node, self.event)
        for hook in self.run.hooks.before_step:
            hook(self.run, self.event)

    def _leave(self, node: Node) -> None:
        self.node = node
        if self.run.hooks.after_step:
            self.event.at = node.name
            for hook in self.run.hooks.after_step:
                hook(self.run, self.event)

    def _argument(self, node: Node) -> Any:
        if node.full_event:
            return self.event
        return get_path(self.event.body, node.input_path) if node.input_path else self.event.body

    def _take(self, node: Node, made: Any) -> None:
        """Puts what a step made into the event. A step that works on the event itself may return nothing."""
        if node.full_event and isinstance(made, Event):
            self.event = made
        elif node.full_event and made is None:
            return
        elif node.result_path:
            set_path(self.event.body, node.result_path, made)
        else:
            self.event.body = made

    def _recover(self, entered: Any, error: Exception) -> Node:
        """The handler of the step that failed, with the event as it entered that step; or the error again.

        The error of a branch comes by here once more on its way out, and is nobody's to handle any more.
        """
        if error is self.run.blamed:
            raise error
        node = self._blame(error)
        handler = node.handler_of(error)
        if handler is None or (isinstance(error, LimitExceeded) and self.run.answers_by_draft):
            raise error
        self.event.body = entered
        self.event.error = error
        self.event.origin_state = node.name
        return handler

    def _blame(self, error: Exception) -> Node:
        node = self.run.plan.nodes[self.event.at]
        self.run.blamed = error
        error.add_note(f"in step '{node.name}' of flow '{self.run.plan.name}'")
        for hook in self.run.hooks.on_error:
            hook(self.run, self.event, error)
        return node

    async def _tell(self, node: Node, error: Exception) -> None:
        """Tells the handler of an error that can only end the answer. What it returns does not matter any more."""
        handler = node.handler_of(error)
        if handler is not None:
            self.event.error, self.event.origin_state = error, node.name
            self._enter(handler)
            await settled(handler.call(self._argument(handler)))
            self._leave(handler)

    # --- where to go next

    async def _next(self) -> Node | None:
        """The node to go to: the one follower, the one selected, or where branches have met again; None is the end."""
        node = self.node
        if node is None or self.event.body is DROPPED:
            return None
        if node.select is None and len(node.outlets) < 2:
            follower = node.next
            self.left = follower is None and node.handles
            return follower
        followers = tuple(node.outlets.values()) if node.select is None else self._selected(node)
        if len(followers) < 2:
            return followers[0] if followers else None
        return await self._split(node, followers)

    def _selected(self, node: Node) -> tuple[Node, ...]:
        """The followers that the step selects; ``Complete`` leaves the graph."""
        assert node.select is not None  # noqa: S101 - asked only of nodes that select
        chosen = node.select(self.event if node.full_event else self.event.body)
        names = (chosen,) if isinstance(chosen, str) else tuple(chosen or ())
        self.left = Complete in names
        for name in names:
            if name != Complete and name not in node.outlets:
                allowed = ", ".join(sorted((Complete, *node.outlets)))
                raise InvalidOutlet(f"Invalid outlet '{name}' for '{node.name}'. Allowed outlets are: {allowed}.")
        if len(set(names)) < len(names):
            raise InvalidOutlet(f"'{node.name}' selected an outlet twice: {', '.join(names)}.")
        return tuple(node.outlets[name] for name in names if name != Complete)

    async def _go_together(self, node: Node, batcher: Batcher) -> None:
        """From a Batch to the step that ends it, with events of other runs."""
        self._enter(node)
        item = await batcher.join(self.event, partial(together, self.run, node))
        self._leave(node)
        end = node.batch_end
        assert end is not None  # noqa: S101 - validated
        self._enter(end)
        self.event.body = item.body if isinstance(item, Event) else item
        if end.responding is not None:
            self.run.hold(self.event, [self.event.body])
        self._leave(end)

    # --- branches

    async def _split(self, node: Node, followers: Sequence[Node]) -> Node | None:
        """Sends copies of the event down several paths. Those that lead to the answer are waited for where they meet;
        the others go on by themselves, and the run ends when they have."""
        if (met := meeting_point(tuple(followers))) is not None:
            raise InvalidOutlet(f"the paths from '{node.name}' meet in '{met.name}'; put a Merge before it")
        awaited = [follower for follower in followers if follower.leads_to_answer]
        aside = [follower for follower in followers if follower not in awaited]
        if aside:
            self.run.spawn(self._branch(node)._aside(node, aside))
        if len(awaited) < 2:
            return awaited[0] if awaited else None
        return await self._join(node, awaited)

    def _branch(self, node: Node) -> Walk:
        return Walk(self.run, self.event.branch(), node)

    async def _aside(self, node: Node, followers: Sequence[Node]) -> None:
        """As a branch that does not lead to the answer: down these paths, to their ends."""
        follower = followers[0] if len(followers) == 1 else await self._join(node, followers)
        await self.carry(follower)

    async def _join(self, node: Node, followers: Sequence[Node]) -> Node | None:
        """Walks branches side by side until all that arrive have met in one Merge, and goes on from there."""
        going = [(self._branch(node), follower) for follower in followers]
        arrived: dict[Node, list[Walk]] = {}
        while going:
            for walk, merge in await self._carried(going):
                if merge is not None:
                    arrived.setdefault(merge, []).append(walk)
            going = []
            for merge in _earlier(arrived):
                walk = self._branch(node)
                walk._merge(merge, arrived.pop(merge))
                follower = await walk._next()
                going += [(walk, follower)] if follower is not None else []
        if self.left:
            return None
        if not arrived:
            self.event.body = DROPPED
            return None
        ((merge, walks),) = arrived.items()
        self._merge(merge, walks)
        return await self._next()

    async def _carried(self, going: Sequence[tuple[Walk, Node]]) -> list[tuple[Walk, Node | None]]:
        async def one(walk: Walk, node: Node) -> tuple[Walk, Node | None]:
            reached = await walk.carry(node, to_merge=True)
            if walk.left:
                raise _Left(walk)
            return walk, reached

        try:
            async with TaskGroup() as group:
                tasks = [group.create_task(one(walk, node)) for walk, node in going]
        except BaseExceptionGroup as failed:
            error = failed.exceptions[0]
            if not isinstance(error, _Left):
                raise error from None
            self.event, self.left = error.walk.event, True
            return []
        return [task.result() for task in tasks]

    def _merge(self, merge: Node, walks: Sequence[Walk]) -> None:
        """One event of those that arrived: the body by the Merge, the state by its reducers."""
        self._enter(merge)
        merge_states(self.event.state, [walk.event.state for walk in walks], self.run.plan.reducers)
        self._take(merge, merge.call({walk.node.name if walk.node else "": walk.event.body for walk in walks}))
        self._leave(merge)

    # --- streams

    async def _stream(self, node: Node, source: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None] | None:
        """Leads a stream to where it ends: gathered there, or, from a responder, up to its first chunk."""
        tail = node.tail
        if tail.refused_by is not None:
            await source.aclose()
            raise StreamOnStream(refusal(node, tail))
        for passed in tail.passed:
            self._enter(passed)
        self.event.at = node.name
        chunks = self._teed(node, source) if tail.sides else source
        chunks = through(chunks, tail.nodes, self.event) if tail.nodes else chunks
        if tail.end.responding is not None and tail.end.responding.judge_every is not None:
            chunks = watched(chunks, tail.end.responding.judge_every, tail.end.size, partial(self._refuses, tail.end))
        if tail.end.live:
            self.run.streamed = True
            return self._said(node, again(await anext(chunks, END), chunks))
        self._gather(node, tail, [chunk async for chunk in chunks])
        return None

    async def _said(self, node: Node, answer: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        """What the responder says, as it comes. From here on an error can only end the answer."""
        end = node.tail.end
        said: list[Any] = []
        try:
            async with aclosing(answer) as chunks:
                async for chunk in chunks:
                    if end.outlets:
                        said.append(chunk)
                    shown = chunk if end.show is None else end.show(chunk)
                    if shown is not None:
                        yield shown
        except Exception as error:
            await self._tell(self._blame(error), error)
            raise
        self._gather(node, node.tail, said)

    def _gather(self, node: Node, tail: Tail, chunks: list[Any]) -> None:
        """Makes one body of a stream that has ended, for whoever follows."""
        end = tail.end
        if self._refusal is not None:
            self._go_back(end, chunks)
            return
        self._take(end, end.gather(self.event.body, chunks))
        if end.responding is not None and (not end.live or end.show is not None):
            self.run.hold(self.event, chunks)
        elif end.responding is not None:
            self.run.answered = True
        for left in (node, *tail.passed):
            self._leave(left)

    async def _refuses(self, responder: Node, so_far: Sequence[Any]) -> bool:
        """Whether the step behind the responder, given a copy of the event with the draft so far, sends that back."""
        judge = responder.next
        assert judge is not None  # noqa: S101 - validated
        trial = Walk(self.run, self.event.branch(), responder)
        trial._take(responder, responder.gather(trial.event.body, list(so_far)))
        trial.event.at = judge.name
        trial._take(judge, await settled(judge.call(trial._argument(judge))))
        self.event.at = responder.name
        if not any(follower.reaches_responder for follower in trial._selected(judge)):
            return False
        self._refusal = trial.event
        return True

    def _go_back(self, responder: Node, chunks: list[Any]) -> None:
        """A draft was refused while it grew: the walk goes on where the judge is done with it."""
        judge, refusal = responder.next, self._refusal
        assert judge is not None  # noqa: S101
        assert refusal is not None  # noqa: S101
        self.run.hold(self.event, chunks)
        self._leave(responder)
        self.event, self._refusal = refusal, None
        self._enter(judge)
        self._leave(judge)

    def _teed(self, node: Node, source: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        """The stream; beside it its side branches read along, through a bounded window each."""
        windows = [Window() for _ in node.tail.sides]
        readers = [
            self.run.spawn(self._branch(node)._listen(node, tail, window))
            for tail, window in zip(node.tail.sides, windows, strict=True)
        ]
        return fed(source, windows, readers)

    async def _listen(self, node: Node, tail: Tail, window: Window) -> None:
        """A side branch: gathers the stream in the window, then walks on."""
        for passed in tail.passed:
            self._enter(passed)
        self.event.at = node.name
        entered, follower = self.event.body, None
        try:
            async with aclosing(through(window.chunks(), tail.nodes, self.event)) as chunks:
                gathered = [chunk async for chunk in chunks]
            self._gather(node, tail, gathered)
            follower = await self._next()
        except Exception as error:
            follower = self._recover(entered, error)
        await self.carry(follower)


def _earlier(arrived: dict[Node, list[Walk]]) -> list[Node]:
    """Of several Merges those that must go on first: from which another one can be reached, or else all of them."""
    if len(arrived) < 2:
        return []
    return [
        merge for merge in arrived if any(other in merge.reaches for other in arrived if other is not merge)
    ] or list(arrived)
