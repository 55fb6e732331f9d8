"""FlowRun: one event walking one flow, in one task, moved by whoever pulls its chunks."""

from __future__ import annotations

import time
from asyncio import get_running_loop, timeout_at
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Final

from graph.errors import (
    InvalidOutlet,
    LimitExceeded,
    MaxIterationsExceeded,
    MaxStepsExceeded,
    RunTimeout,
    StreamOnStream,
)
from graph.event import Event
from graph.instrument import Hooks
from graph.paths import get_path, set_path
from graph.plan import Node, Plan, gather, refusal
from graph.step import Complete
from graph.stream import DROPPED, as_async, through
from llm.usage import Usage

STREAMS = (AsyncGeneratorType, GeneratorType)
_END: Final = object()


@dataclass(slots=True)
class Draft:
    """What a responder said before anybody accepted it."""

    chunks: list[Any]
    score: float | None = None


class FlowRun:
    """One run of a flow. It does nothing until its chunks are pulled, and stops where its generator is closed.

    Attributes:
        event: the event as it is now.
        steps: how many steps have been entered.
        streamed: whether the answer was made as a stream.
        limit: the cap that ended the run early, when the best draft was answered all the same.
        error: the exception that ended the run; its client leaving is one too.
        seconds: how long the run took, once it is over.
    """

    __slots__ = (
        "_answered",
        "_draft",
        "_hooks",
        "_shelf",
        "_visits",
        "error",
        "event",
        "limit",
        "plan",
        "seconds",
        "steps",
        "streamed",
    )

    def __init__(self, plan: Plan, event: Event, hooks: Hooks) -> None:
        self.plan = plan
        self.event = event
        self.steps = 0
        self.streamed = False
        self.limit: LimitExceeded | None = None
        self.error: BaseException | None = None
        self.seconds = 0.0
        self._hooks = hooks
        self._visits = [0] * len(plan.nodes)
        self._answered = False
        self._draft: Draft | None = None
        self._shelf: list[Draft] = []

    @property
    def usage(self) -> Usage:
        """What all model calls of the run have cost."""
        return self.event.usage

    def visits(self, name: str) -> int:
        """How often the run has entered a step."""
        return self._visits[self.plan.nodes[name].index]

    # --- for whoever wants the answer

    async def result(self) -> Any:
        """The answer, whole: of a stream the list of its chunks, or the bare chunk if there is one."""
        chunks = [chunk async for chunk in self.chunks()]
        return gather(None, chunks) if chunks or self.streamed else None

    async def chunks(self) -> AsyncGenerator[Any, None]:
        """The answer as it is made; one chunk when nothing streams. To be pulled once.

        Raises:
            RunError: what the engine found wrong.
            Exception: what a step raised and no handler took, with a note that names the step.
        """
        begun = time.perf_counter()
        on_chunk = self._hooks.on_chunk
        try:
            async with aclosing(self._limited()) as answer:
                async for chunk in answer:
                    for hook in on_chunk:
                        hook(self, self.event, chunk)
                    yield chunk
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.seconds = time.perf_counter() - begun
            for end in self._hooks.on_run_end:
                end(self)

    # --- caps

    async def _limited(self) -> AsyncGenerator[Any, None]:
        """The walk under its caps: when one strikes, the best draft, if the responder wants that."""
        walk = self._walk() if self.plan.max_seconds is None else self._timed(self.plan.max_seconds)
        try:
            async with aclosing(walk) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        except LimitExceeded as limit:
            if not self._has_best():
                raise
            self.limit = limit
        self._shelve()
        best = max(reversed(self._shelf), key=lambda draft: draft.score or 0.0)
        for chunk in best.chunks:
            yield chunk

    def _has_best(self) -> bool:
        """Whether a cap shall be answered with a draft, and there is one."""
        responder = self.plan.responder
        wanted = responder is not None and responder.responding is not None and responder.responding.on_limit == "best"
        return wanted and (self._draft is not None or bool(self._shelf))

    def _shelve(self) -> None:
        """Puts the current draft, with the score that it got, where drafts wait that were not accepted."""
        if self._draft is not None:
            self._draft.score = self.event.score
            self._shelf.append(self._draft)
            self._draft = self.event.score = None

    async def _timed(self, seconds: float) -> AsyncGenerator[Any, None]:
        """The walk with a deadline. It holds while a chunk is made, never across a yield."""
        deadline = get_running_loop().time() + seconds
        async with aclosing(self._walk()) as chunks:
            while True:
                try:
                    async with timeout_at(deadline) as scope:
                        chunk = await anext(chunks, _END)
                except TimeoutError:
                    if not scope.expired():
                        raise
                    raise RunTimeout(
                        f"the run of '{self.plan.name}' took longer than {seconds} s; it was in step '{self.event.at}'"
                    ) from None
                if chunk is _END:
                    return
                yield chunk

    # --- the walk

    async def _walk(self) -> AsyncGenerator[Any, None]:
        """Step after step until there is no follower. What the responder says is yielded once nobody can refuse it."""
        node = self.plan.first
        while node is not None:
            entered = self.event.body
            try:
                end, said = await self._do(node)
                follower = self._follow(end) if said is None else None
            except Exception as error:
                node = self._recover(entered, error)
                continue
            if said is not None:
                async with aclosing(said) as chunks:
                    async for chunk in chunks:
                        yield chunk
                follower = self._follow(end)
            if self._draft is not None and (follower is None or not follower.reaches_responder):
                self._answered = True
                for chunk in self._draft.chunks:
                    yield chunk
                self._draft = None
            node = follower
        if not self._answered and self.event.body is not DROPPED:
            yield self.event.body if self.plan.responder is not None else {"id": self.event.id}

    async def _do(self, node: Node) -> tuple[Node, AsyncGenerator[Any, None] | None]:
        """Does a step: the node that the event is in afterwards, and the stream that leaves for the client, if any."""
        self._enter(node)
        made = node.call(self._argument(node))
        if node.is_async or type(made) is CoroutineType:
            made = await made
        if isinstance(made, STREAMS):
            return await self._stream(node, as_async(made))
        self._take(node, made)
        if node.responding is not None:
            self._hold([self.event.body])
        self._leave(node)
        return node, None

    def _enter(self, node: Node) -> None:
        """Counts a visit, once an event, and says so to those who watch."""
        self.event.at = node.name
        self._visits[node.index] += 1
        self.steps += 1
        if self._visits[node.index] > node.limit:
            raise MaxIterationsExceeded(f"Max iterations exceeded in step '{node.name}' for event {self.event.id}")
        if self.plan.max_steps is not None and self.steps > self.plan.max_steps:
            raise MaxStepsExceeded(
                f"the run of '{self.plan.name}' entered more than {self.plan.max_steps} steps, the last '{node.name}'"
            )
        for hook in self._hooks.before_step:
            hook(self, self.event)

    def _leave(self, node: Node) -> None:
        if self._hooks.after_step:
            self.event.at = node.name
            for hook in self._hooks.after_step:
                hook(self, self.event)

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

    def _hold(self, chunks: list[Any]) -> None:
        self._shelve()
        self._draft = Draft(chunks)

    def _follow(self, node: Node) -> Node | None:
        """Where the event goes next: the one follower, or the one that the step selects; None leaves the graph."""
        if self.event.body is DROPPED:
            return None
        if node.select is None:
            return node.next
        chosen = node.select(self.event if node.full_event else self.event.body)
        names = (chosen,) if isinstance(chosen, str) else tuple(chosen or ())
        for name in names:
            if name != Complete and name not in node.outlets:
                allowed = ", ".join(sorted((Complete, *node.outlets)))
                raise InvalidOutlet(f"Invalid outlet '{name}' for '{node.name}'. Allowed outlets are: {allowed}.")
        if len(names) > 1:
            raise InvalidOutlet(f"'{node.name}' selected several outlets ({', '.join(names)}); it may select one.")
        return node.outlets.get(names[0]) if names else None

    def _recover(self, entered: Any, error: Exception) -> Node:
        """The handler of the step that failed, with the event as it entered that step; or the error again."""
        node = self._blame(error)
        if node.handler is None or (isinstance(error, LimitExceeded) and self._has_best()):
            raise error
        self.event.body = entered
        self.event.error = error
        self.event.origin_state = node.name
        return node.handler

    def _blame(self, error: Exception) -> Node:
        node = self.plan.nodes[self.event.at]
        error.add_note(f"in step '{node.name}' of flow '{self.plan.name}'")
        for hook in self._hooks.on_error:
            hook(self, self.event, error)
        return node

    # --- streams

    async def _stream(
        self, node: Node, source: AsyncGenerator[Any, None]
    ) -> tuple[Node, AsyncGenerator[Any, None] | None]:
        """Leads a stream to where it ends: gathered there, or, from a responder, up to its first chunk."""
        tail = node.tail
        if tail.refused_by is not None:
            await source.aclose()
            raise StreamOnStream(refusal(node))
        for passed in tail.passed:
            self._enter(passed)
        self.event.at = node.name
        chunks = through(source, tail.nodes, self.event) if tail.nodes else source
        if tail.end.live:
            self.streamed = True
            return tail.end, self._said(node, await anext(chunks, _END), chunks)
        self._gather(node, [chunk async for chunk in chunks])
        return tail.end, None

    async def _said(self, node: Node, first: Any, rest: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        """What the responder says, as it comes. From here on an error can only end the answer."""
        end, said = node.tail.end, []
        try:
            async with aclosing(_again(first, rest)) as chunks:
                async for chunk in chunks:
                    if end.outlets:
                        said.append(chunk)
                    shown = chunk if end.show is None else end.show(chunk)
                    if shown is not None:
                        yield shown
        except Exception as error:
            self._blame(error)
            raise
        self._gather(node, said)

    def _gather(self, node: Node, chunks: list[Any]) -> None:
        """Makes one body of a stream that has ended, for whoever follows."""
        end = node.tail.end
        self._take(end, end.gather(self.event.body, chunks))
        if end.responding is not None and (not end.live or end.show is not None):
            self._hold(chunks)
        elif end.responding is not None:
            self._answered = True
        for left in (node, *node.tail.passed):
            self._leave(left)


async def _again(first: Any, rest: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    """A stream of which the first chunk has been taken, from its beginning."""
    async with aclosing(rest) as chunks:
        if first is not _END:
            yield first
        async for chunk in chunks:
            yield chunk
