"""Step: one place in the definition of a flow, and the fluent way to define what comes after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from graph.errors import InvalidStep

if TYPE_CHECKING:
    from graph.flow import Flow
    from graph.options.cache import Cache

Target: TypeAlias = type | Callable[..., Any] | object | str
Drafts: TypeAlias = Literal["hide", "reasoning", "live"]
OnLimit: TypeAlias = Literal["error", "best"]
Mechanism: TypeAlias = Literal["naive", "asyncio", "thread_pool", "process_pool", "dedicated_process"]

Complete = "Complete"
"""The outlet that leaves the graph: what the responder last said is the answer."""


@dataclass(frozen=True, slots=True)
class Responding:
    """How a responder answers; it matters where a cycle may come back to it."""

    drafts: Drafts = "hide"
    on_limit: OnLimit = "error"
    judge_every: int | None = None


@dataclass(frozen=True, slots=True)
class StepOptions:
    """What may be said of any step.

    Attributes:
        full_event: whether it is given the Event instead of its body; by default what its class says.
        input_path, result_path: dotted paths into a dict body: what it is given, and where its result goes.
        max_iterations: how often one run may enter it.
        retries: how many times more it is tried when it fails; of a stream only until its first chunk.
        backoff: seconds before the first retry, doubled before each further one, with jitter; an error that says how
            long to wait (``retry_after``) is heeded.
        timeout: seconds for one try; of a stream for each chunk.
        max_in_flight: how many runs may be in it at the same time; the others wait. Given the chunks of a stream, it
            has so many of them in hand at once; what it makes of them keeps their order.
        cache: what it made for the same key before is used again.
        execution_mechanism: where it runs; ``naive`` and ``asyncio`` on the loop.
    """

    full_event: bool | None = None
    input_path: str | None = None
    result_path: str | None = None
    max_iterations: int | None = None
    retries: int = 0
    backoff: float = 0.1
    timeout: float | None = None
    max_in_flight: int | None = None
    cache: Cache | None = None
    execution_mechanism: Mechanism | None = None

    @classmethod
    def names(cls) -> frozenset[str]:
        """What the options are called."""
        return frozenset(option.name for option in fields(cls))


@dataclass(slots=True)
class Step:
    """A step of a flow. Made by :meth:`Flow.to`, :meth:`Flow.add_step` and :meth:`Step.to`, not by hand."""

    flow: Flow = field(repr=False)
    name: str
    target: Target
    arguments: dict[str, Any] = field(default_factory=dict)
    handler: str | None = None
    options: StepOptions = field(default_factory=StepOptions)
    responding: Responding | None = None
    error_handler_name: str | None = None
    recoveries: dict[type[Exception], str] = field(default_factory=dict)

    def to(self, class_name: Target | None = None, name: str | None = None, **options: Any) -> Step:
        """Adds a step after this one and returns it; see :meth:`Flow.add_step` for the options."""
        options.setdefault("after", self.name)
        return self.flow.add_step(class_name, name, **options)

    def cycle_to(self, names: str | Sequence[str]) -> Self:
        """Lets this step go back to earlier ones, or to itself, and returns this step."""
        for name in (names,) if isinstance(names, str) else names:
            self.flow.connect(self.name, name, cycle=True)
        return self

    def respond(self, *, drafts: Drafts = "hide", on_limit: OnLimit = "error", judge_every: int | None = None) -> Self:
        """Makes this step's output the answer of the flow.

        A responder that a cycle can come back to makes drafts. ``drafts`` says what the client sees of them:
        ``hide``: the accepted one, from the moment it is accepted; ``reasoning``: all of them as reasoning, the
        accepted one again as content; ``live``: all of them, one after the other. ``on_limit`` says what happens when
        a cap ends the loop: ``error``, or the ``best`` draft so far. With ``judge_every`` the step that follows judges
        a draft while it grows, each time it has become so many characters longer; a refusal stops it at once.
        """
        if drafts not in ("hide", "reasoning", "live") or on_limit not in ("error", "best"):
            raise InvalidStep(f"step '{self.name}': drafts={drafts!r}, on_limit={on_limit!r} are not known")
        self.flow.must_be_open()
        self.responding = Responding(drafts, on_limit, judge_every)
        return self

    def error_handler(
        self, class_name: Target | None = None, name: str | None = None, *, before: str | None = None, **options: Any
    ) -> Self:
        """Gives this step a handler for its errors: a new step, after which the flow goes on at ``before`` or ends."""
        self.error_handler_name = self.flow.add_handler(class_name, name, before, options)
        return self

    def recover(self, steps: Mapping[type[Exception], str]) -> Self:
        """Sends the event that entered this step to another one when it fails in one of these ways.

        The most exact class counts, and all of them go before an error handler.
        """
        self.flow.must_be_open()
        self.recoveries |= steps
        return self
