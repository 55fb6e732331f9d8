"""Instrument: what watches runs: metrics, traces, the record. The engine knows none of them by name."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graph.event import Event
    from graph.models.calling import ModelCall
    from graph.running.run import FlowRun
    from graph.tool import Outcome
    from llm import ChatRequest, Model, Usage


@dataclass(slots=True, eq=False)
class LanguageCall:
    """One call of a language model.

    Attributes:
        said: the texts, thoughts, and names and arguments of tool calls in the answer, as they come.
        usage: what it cost in tokens, once it is over; None if the model did nothing.
        error: what it raised; its client leaving is one too.
    """

    model: Model
    request: ChatRequest
    said: Sequence[str]
    usage: Usage | None = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ToolCall:
    """One call of a tool.

    Attributes:
        tool: its name; nothing where there is none of the name that the model said.
        id: what the model calls the call.
        arguments: JSON text, as the model wrote it.
        result: JSON text, as the model is told it.
        outcome: how it ended.
        error: what the function raised, of which a model is told the class at most.
        seconds: how long it took, without the wait for its turn, and without the guardrails around it.
        begun: when it began, in nanoseconds since 1970.
    """

    tool: str
    id: str
    arguments: str
    result: str
    outcome: Outcome
    error: BaseException | None = None
    seconds: float = 0.0
    begun: int = field(default_factory=time.time_ns)


class Instrument:
    """Watches runs. Override what is of interest; a hook that nobody overrides costs nothing.

    Hooks must not block, and but for ``before_run`` must not raise: they run inside the request.
    """

    async def before_run(self, run: FlowRun) -> None:
        """The run, or one inside it (``run.outer``), is about to begin. What this raises refuses it; it may wait."""

    def before_step(self, run: FlowRun, event: Event) -> None:
        """``event`` enters the step named ``event.at``."""

    def after_step(self, run: FlowRun, event: Event) -> None:
        """The step named ``event.at`` is done; if it streams, its stream has ended."""

    def before_call(self, run: FlowRun, event: Event, call: LanguageCall) -> None:
        """The step named ``event.at`` begins to ask a language model, for who has ``after_call`` too."""

    def after_call(self, run: FlowRun, event: Event, call: LanguageCall) -> None:
        """That call is over, on whatever way, and booked."""

    def after_model(self, run: FlowRun, event: Event, call: ModelCall) -> None:
        """A model of the step named ``event.at`` has been called: what it was given, and what it gave."""

    def after_tool(self, run: FlowRun, event: Event, call: ToolCall) -> None:
        """A tool has been called by the step named ``event.at``, or was refused to the model."""

    def after_rule(self, run: FlowRun, rule: str, place: str, nanoseconds: int) -> None:
        """A rule of a guardrail around the run or in a step of it, or one that judges, has looked at the texts of a
        place."""

    def on_chunk(self, run: FlowRun, event: Event, chunk: Any) -> None:
        """A chunk of the answer is on its way out."""

    def on_error(self, run: FlowRun, event: Event, error: Exception) -> None:
        """The step named ``event.at`` raised ``error``, whether or not a handler takes it."""

    def on_run_end(self, run: FlowRun) -> None:
        """The run is over: answered, failed (``run.error``), limited (``run.limit``) or left by its client."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """The hooks that somebody overrides, gathered once so that a run only looks at an empty tuple."""

    before_run: tuple[Callable[[FlowRun], Awaitable[None]], ...] = ()
    before_step: tuple[Callable[[FlowRun, Event], None], ...] = ()
    after_step: tuple[Callable[[FlowRun, Event], None], ...] = ()
    before_call: tuple[Callable[[FlowRun, Event, LanguageCall], None], ...] = ()
    after_call: tuple[Callable[[FlowRun, Event, LanguageCall], None], ...] = ()
    after_model: tuple[Callable[[FlowRun, Event, ModelCall], None], ...] = ()
    after_tool: tuple[Callable[[FlowRun, Event, ToolCall], None], ...] = ()
    after_rule: tuple[Callable[[FlowRun, str, str, int], None], ...] = ()
    on_chunk: tuple[Callable[[FlowRun, Event, Any], None], ...] = ()
    on_error: tuple[Callable[[FlowRun, Event, Exception], None], ...] = ()
    on_run_end: tuple[Callable[[FlowRun], None], ...] = ()

    @classmethod
    def of(cls, instruments: Iterable[Instrument]) -> Hooks:
        """The hooks of these instruments, in their order."""
        gathered = tuple(instruments)
        return cls(**{name: tuple(_overridden(gathered, name)) for name in cls.__slots__})


def _overridden(instruments: Iterable[Instrument], name: str) -> Iterable[Any]:
    for instrument in instruments:
        if getattr(type(instrument), name) is not getattr(Instrument, name):
            yield getattr(instrument, name)


NO_HOOKS = Hooks()
