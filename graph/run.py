"""FlowRun: one event walking one flow, moved by whoever pulls its chunks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any

from graph.branches import FromBranch
from graph.drafts import Drafts
from graph.errors import LimitExceeded, MaxIterationsExceeded, MaxStepsExceeded, RunTimeout
from graph.event import Event
from graph.instrument import Hooks
from graph.meter import Meter
from graph.node import Node, gather
from graph.plan import Plan
from graph.results import END
from graph.stream import DROPPED
from graph.walk import Walk
from llm.usage import Usage


class FlowRun:
    """One run of a flow. It does nothing until its chunks are pulled, and stops where its generator is closed.

    Attributes:
        plan: what it walks.
        hooks: who watches.
        outer: the run that this one is a step of.
        steps: how many steps have been entered; error handlers do not count.
        streamed: whether the answer was made as a stream.
        answered: whether something that the responder said has left as the answer.
        limit: the cap that ended the run early, when the best draft was answered all the same.
        error: the exception that ended the run; its client leaving is one too.
        seconds: how long the run took, once it is over.
        drafts: what the responder said before anybody accepted it.
    """

    __slots__ = (
        "__weakref__",
        "_asides",
        "_visits",
        "_walk",
        "answered",
        "drafts",
        "error",
        "hooks",
        "limit",
        "outer",
        "plan",
        "seconds",
        "steps",
        "streamed",
    )

    def __init__(self, plan: Plan, event: Event, hooks: Hooks, outer: FlowRun | None = None) -> None:
        self.plan = plan
        self.hooks = hooks
        self.outer = outer
        self.steps = 0
        self.streamed = False
        self.answered = False
        self.limit: LimitExceeded | None = None
        self.error: BaseException | None = None
        self.seconds = 0.0
        self.drafts = Drafts()
        self._visits = [0] * len(plan.nodes)
        self._asides: list[asyncio.Task[Any]] = []
        event.run = self
        spent = event.meter if outer is not None else None
        event.meter = Meter(max_tokens=plan.max_tokens, max_usd=plan.max_usd, outer=spent, place=event.at)
        if plan.state is not None:
            event.state = plan.state()
        self._walk = Walk(self, event)

    @property
    def event(self) -> Event:
        """What walks."""
        return self._walk.event

    @property
    def usage(self) -> Usage:
        """What all model calls of the run have cost."""
        return self.event.usage

    @property
    def answers_by_draft(self) -> bool:
        """Whether a cap shall be answered with the best draft, and there is one."""
        responder = self.plan.responder
        wanted = responder is not None and responder.responding is not None and responder.responding.on_limit == "best"
        return wanted and not self.answered and bool(self.drafts)

    @property
    def has_answered_for_good(self) -> bool:
        """Whether the answer has left, and is not one of several drafts that the client sees."""
        responder = self.plan.responder
        return self.answered and not (responder is not None and responder.shows_drafts)

    def visits(self, name: str) -> int:
        """How often the run has entered a step."""
        return self._visits[self.plan.nodes[name].index]

    # --- for whoever wants the answer

    async def result(self) -> Any:
        """The answer, whole: of a stream the list of its chunks, or the bare chunk if there is one."""
        async with aclosing(self.chunks()) as answer:
            chunks = [chunk async for chunk in answer]
        return gather(None, chunks) if chunks or self.streamed else None

    async def chunks(self) -> AsyncGenerator[Any, None]:
        """The answer as it is made; one chunk when nothing streams. To be pulled once.

        Raises:
            RunError: what the engine found wrong.
            Exception: what a step raised and no handler took, with a note that names the step.
        """
        begun = time.perf_counter()
        on_chunk = self.hooks.on_chunk
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
            await self._end_asides()
            self.seconds = time.perf_counter() - begun
            for end in self.hooks.on_run_end:
                end(self)

    # --- for the walks

    def count(self, node: Node, event: Event) -> None:
        """Counts a visit, once an event, under the caps.

        Raises:
            MaxIterationsExceeded, MaxStepsExceeded: when one is passed.
        """
        self._visits[node.index] += 1
        if self._visits[node.index] > node.limit:
            raise MaxIterationsExceeded(f"Max iterations exceeded in step '{node.name}' for event {event.id}")
        if node.handles:
            return
        self.steps += 1
        if self.plan.max_steps is not None and self.steps > self.plan.max_steps:
            raise MaxStepsExceeded(
                f"the run of '{self.plan.name}' entered more than {self.plan.max_steps} steps, the last '{node.name}'"
            )

    def hold(self, event: Event, chunks: list[Any]) -> None:
        """Takes a draft; the one before it has the score that a judge gave it."""
        self.drafts.rate(event.score)
        self.drafts.hold(chunks)
        event.score = None

    def beside(self, event: Event) -> Walk:
        """A walk of an event that is not this run's own, watched like this run."""
        walk = FlowRun(self.plan, event, self.hooks, self)._walk
        walk.event.meter = Meter()
        return walk

    def spawn(self, aside: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Starts a branch that does not lead to the answer. The run ends when all of them have."""
        task = asyncio.create_task(aside)
        self._asides.append(task)
        return task

    # --- the answer

    async def _limited(self) -> AsyncGenerator[Any, None]:
        """The answer under its caps: when one strikes, the best draft, if the responder wants that."""
        answer = self._answer() if self.plan.max_seconds is None else self._timed(self.plan.max_seconds)
        try:
            async with aclosing(answer) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        except LimitExceeded as limit:
            if not self.answers_by_draft:
                raise
            self.limit = limit
        self.drafts.rate(self.event.score)
        for chunk in self.drafts.best() or ():
            yield chunk

    async def _timed(self, seconds: float) -> AsyncGenerator[Any, None]:
        """The answer with a deadline. It holds while a chunk is made, never across a yield."""
        deadline = asyncio.get_running_loop().time() + seconds
        async with aclosing(self._answer()) as chunks:
            while True:
                try:
                    async with asyncio.timeout_at(deadline) as scope:
                        chunk = await anext(chunks, END)
                except TimeoutError:
                    if not scope.expired():
                        raise
                    raise self._told(
                        RunTimeout(
                            f"the run of '{self.plan.name}' took longer than {seconds} s; "
                            f"it was in step '{self.event.at}'"
                        )
                    ) from None
                if chunk is END:
                    return
                yield chunk

    async def _answer(self) -> AsyncGenerator[Any, None]:
        """What the walk says; of one that says nothing, what it ended with. Over when its side branches are."""
        try:
            async with aclosing(self._walk.speak(self.plan.first)) as chunks:
                async for chunk in chunks:
                    yield chunk
            if not self.answered and self.event.body is not DROPPED:
                yield self.event.body if self.plan.responder is not None else {"id": self.event.id}
            await self._wait_for_asides()
        except FromBranch as branch:
            raise branch.error from None

    def _told(self, error: Exception) -> Exception:
        """The error, after those who watch have heard of it."""
        for hook in self.hooks.on_error:
            hook(self, self.event, error)
        return error

    async def _wait_for_asides(self) -> None:
        """The side branches to their ends. One that fails has been told to those who watch; it fails the run only where
        there is no answer that it could come too late for."""
        for aside in self._asides:
            try:
                await aside
            except Exception:
                if not self.answered:
                    raise

    async def _end_asides(self) -> None:
        """Cancels the side branches that are still going, and waits until they are closed."""
        for aside in self._asides:
            aside.cancel()
        if self._asides:
            await asyncio.gather(*self._asides, return_exceptions=True)
