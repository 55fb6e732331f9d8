"""FlowRun: one event walking one flow, moved by whoever pulls its chunks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, Protocol

from graph.cancellation import is_from_inside
from graph.compiled.node import Node, gather
from graph.compiled.plan import Plan
from graph.compiled.results import END
from graph.errors import LimitExceeded, MaxIterationsExceeded, MaxStepsExceeded, RunError, RunTimeout
from graph.event import Event
from graph.instrument import Hooks
from graph.running.drafts import Drafts
from graph.running.meter import Meter
from graph.running.walk import Walk
from guardrails import Verdict
from llm.usage import Usage


class ToolGuard(Protocol):
    """What looks at the calls of tools that the steps of a run make."""

    async def arguments(self, called: Mapping[str, Any]) -> str:
        """What a tool may be given; ``called`` is the ``function`` of the call, as a model made it.

        Raises:
            ContentRefused: when it may not be called so.
        """
        ...

    async def result(self, content: str) -> str:
        """What a model may read of a tool's result.

        Raises:
            ContentRefused: when it may read nothing of it.
        """
        ...


class FlowRun:
    """One run of a flow. It does nothing until its chunks are pulled, and stops where its generator is closed.

    Attributes:
        plan: what it walks.
        hooks: who watches.
        outer: the run that this one is a step of.
        capped: whether what it spends has a cap, of its own or of an outer run.
        steps: how many steps have been entered; error handlers do not count.
        streamed: whether the answer was made as a stream.
        answered: whether something that the responder said has left as the answer.
        limit: the cap that ended the run early, when the best draft was answered all the same.
        error: the exception that ended the run; its client leaving is one too.
        seconds: how long the run took, once it is over.
        seconds_to_first: how long it took to the first chunk of the answer; None while there is none.
        through: what leads its answer on before it leaves, and sees its event before anything runs.
        tool_guard: what looks at the calls of tools that its steps make, and those of the runs inside it.
        tool_calls: how often those have called each tool, by its name.
        verdict: what guardrails around the run said, once they have.
        drafts: what the responder said before anybody accepted it.
        visited: how often each node has been entered, by its index.
    """

    __slots__ = (
        "__weakref__",
        "_asides",
        "_walk",
        "answered",
        "capped",
        "drafts",
        "error",
        "hooks",
        "limit",
        "outer",
        "plan",
        "seconds",
        "seconds_to_first",
        "steps",
        "streamed",
        "through",
        "tool_calls",
        "tool_guard",
        "verdict",
        "visited",
    )

    def __init__(self, plan: Plan, event: Event, hooks: Hooks, outer: FlowRun | None = None) -> None:
        self.plan = plan
        self.hooks = hooks
        self.outer = outer
        self.capped: bool = (
            plan.max_tokens is not None or plan.max_usd is not None or (outer is not None and outer.capped)
        )
        self.steps = 0
        self.streamed = False
        self.answered = False
        self.limit: LimitExceeded | None = None
        self.error: BaseException | None = None
        self.seconds = 0.0
        self.seconds_to_first: float | None = None
        self.through: Callable[[FlowRun, AsyncGenerator[Any, None]], AsyncGenerator[Any, None]] | None = None
        self.tool_guard: ToolGuard | None = outer.tool_guard if outer is not None else None
        self.tool_calls: dict[str, int] = outer.tool_calls if outer is not None else {}
        self.verdict: Verdict | None = None
        self.drafts = Drafts()
        self.visited = [0] * len(plan.nodes)
        self._asides: list[asyncio.Task[Any]] = []
        event.run = self
        event.meter = _meter(plan, event, outer)
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
        return self.plan.answers_by_draft and not self.answered and bool(self.drafts)

    @property
    def has_answered_for_good(self) -> bool:
        """Whether the answer has left, and is not one of several drafts that the client sees."""
        responder = self.plan.responder
        return self.answered and not (responder is not None and responder.shows_drafts)

    def visits(self, name: str) -> int:
        """How often the run has entered a step."""
        return self.visited[self.plan.nodes[name].index]

    # --- for whoever wants the answer

    async def result(self) -> Any:
        """The answer, whole: of a stream the list of its chunks, or the bare chunk if there is one."""
        chunks = [chunk async for chunk in self.chunks()]  # over at every way out of it, so nothing is left to close
        return gather(None, chunks) if chunks or self.streamed else None

    async def chunks(self) -> AsyncGenerator[Any, None]:
        """The answer as it is made; one chunk when nothing streams. To be pulled once.

        Raises:
            RunError: what the engine found wrong.
            Exception: what a step raised and no handler took, with a note that names the step.
        """
        begun = time.perf_counter()
        on_chunk = self.hooks.on_chunk
        answer = self._answer()
        try:
            for begin in self.hooks.before_run:
                await begin(self)
            async for chunk in answer:
                if self.seconds_to_first is None:
                    self.seconds_to_first = time.perf_counter() - begun
                for hook in on_chunk:
                    hook(self, self.event, chunk)
                yield chunk
        except BaseException as error:
            self.error = _own(error, self.event)
            if self.error is error:
                raise
            raise self.error from error
        finally:
            await answer.aclose()
            if self._asides:
                await self._end_asides()
            self.seconds = time.perf_counter() - begun
            for end in self.hooks.on_run_end:
                end(self)

    # --- for the walks

    def count(self, node: Node, event: Event) -> None:
        """Counts a visit, once an event, under the caps. Error handlers have but the one on visits.

        Raises:
            LimitExceeded: when one is passed.
        """
        self.visited[node.index] += 1
        if not node.handles:
            self.steps += 1
            self.check(node, event)
        elif self.visited[node.index] > node.limit:
            raise self._too_often(node, event)

    def check(self, node: Node, event: Event) -> None:
        """Looks whether the caps hold on entering a node.

        Raises:
            MaxIterationsExceeded, MaxStepsExceeded, TokensExceeded, MoneyExceeded: the first that does not.
        """
        if self.visited[node.index] > node.limit:
            raise self._too_often(node, event)
        if self.steps > self.plan.max_steps:
            raise MaxStepsExceeded(
                f"the run of '{self.plan.name}' entered more than {self.plan.max_steps} steps, the last '{node.name}'"
            )
        if self.capped:
            event.meter.check(node.name)

    def hold(self, event: Event, chunks: list[Any]) -> None:
        """Takes a draft; the one before it has the score that a judge gave it."""
        self.drafts.rate(event.score)
        self.drafts.hold(chunks)
        event.score = None

    def beside(self, event: Event) -> Walk:
        """A walk of an event that is not this run's own, watched like this run."""
        walk = FlowRun(self.plan, event, self.hooks, self)._walk
        walk.event.meter = None
        walk.together = True
        return walk

    def spawn(self, aside: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Starts a branch that does not lead to the answer. The run ends when all of them have."""
        task = asyncio.create_task(aside)
        self._asides.append(task)
        return task

    async def wait_for_asides(self) -> None:
        """The side branches to their ends. One that fails has been told to those who watch; it fails the run only where
        there is no answer that it could come too late for."""
        for aside in self._asides:
            await asyncio.wait([aside])
            if not aside.cancelled() and (error := aside.exception()) is not None and not self.answered:
                raise error

    # --- the answer

    def _answer(self) -> AsyncGenerator[Any, None]:
        """What the walk says, in those layers that its plan asks for: each costs every chunk a little."""
        answer = self._walk.speak(self.plan.first)
        if self.plan.max_seconds is not None:
            answer = self._timed(answer, self.plan.max_seconds)
        answer = self._or_best(answer) if self.plan.answers_by_draft else answer
        return answer if self.through is None else self.through(self, answer)

    async def _or_best(self, answer: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        """The answer; when a cap strikes before there is one, the best draft."""
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

    async def _timed(self, answer: AsyncGenerator[Any, None], seconds: float) -> AsyncGenerator[Any, None]:
        """The answer with a deadline. It holds while a chunk is made, never across a yield."""
        deadline = asyncio.get_running_loop().time() + seconds
        async with aclosing(answer) as chunks:
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

    def _too_often(self, node: Node, event: Event) -> MaxIterationsExceeded:
        return MaxIterationsExceeded(f"Max iterations exceeded in step '{node.name}' for event {event.id}")

    def _told(self, error: Exception) -> Exception:
        """The error, after those who watch have heard of it."""
        for hook in self.hooks.on_error:
            hook(self, self.event, error)
        return error

    async def _end_asides(self) -> None:
        """Cancels the side branches that are still going, and waits until they are closed."""
        for aside in self._asides:
            aside.cancel()
        if self._asides:
            await asyncio.gather(*self._asides, return_exceptions=True)


def _own(error: BaseException, event: Event) -> BaseException:
    """The error of a run: nobody has left it where what a step waited for was cancelled, and not the run."""
    return RunError(f"step '{event.at}': what it waited for was cancelled") if is_from_inside(error) else error


def _meter(plan: Plan, event: Event, outer: FlowRun | None) -> Meter | None:
    """What counts a run's model calls, where it has caps or an outer one; else the first call makes it."""
    if outer is None and plan.max_tokens is None and plan.max_usd is None:
        return None
    spent = event.meter if outer is not None else None
    return Meter(max_tokens=plan.max_tokens, max_usd=plan.max_usd, outer=spent, place=event.at)
