"""Step: one place in the definition of a flow, and the fluent way to define what comes after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from graph.errors import InvalidStep

if TYPE_CHECKING:
    from graph.flow import Flow

Target: TypeAlias = type | Callable[..., Any] | object | str
Drafts: TypeAlias = Literal["hide", "reasoning", "live"]
OnLimit: TypeAlias = Literal["error", "best"]

Complete = "Complete"
"""The outlet that leaves the graph: what the responder last said is the answer."""


@dataclass(frozen=True, slots=True)
class Responding:
    """How a responder answers; it matters where a cycle may come back to it."""

    drafts: Drafts = "hide"
    on_limit: OnLimit = "error"


@dataclass(slots=True)
class Step:
    """A step of a flow. Made by :meth:`Flow.to`, :meth:`Flow.add_step` and :meth:`Step.to`, not by hand."""

    flow: Flow = field(repr=False)
    name: str
    target: Target
    arguments: dict[str, Any] = field(default_factory=dict)
    handler: str | None = None
    full_event: bool | None = None
    input_path: str | None = None
    result_path: str | None = None
    max_iterations: int | None = None
    responding: Responding | None = None
    error_handler_name: str | None = None

    def to(self, class_name: Target | None = None, name: str | None = None, **options: Any) -> Step:
        """Adds a step after this one and returns it; see :meth:`Flow.to` for the options."""
        options.setdefault("after", self.name)
        return self.flow.add_step(class_name, name, **options)

    def cycle_to(self, names: str | Sequence[str]) -> Self:
        """Lets this step go back to earlier ones, or to itself, and returns this step."""
        for name in (names,) if isinstance(names, str) else names:
            self.flow.connect(self.name, name, cycle=True)
        return self

    def respond(self, *, drafts: Drafts = "hide", on_limit: OnLimit = "error") -> Self:
        """Makes this step's output the answer of the flow.

        A responder that a cycle can come back to makes drafts. ``drafts`` says what the client sees of them:
        ``hide``: the accepted one, from the moment it is accepted; ``reasoning``: all of them as reasoning, the
        accepted one again as content; ``live``: all of them, one after the other. ``on_limit`` says what happens when
        a cap ends the loop: ``error``, or the ``best`` draft so far.
        """
        if drafts not in ("hide", "reasoning", "live") or on_limit not in ("error", "best"):
            raise InvalidStep(f"step '{self.name}': drafts={drafts!r}, on_limit={on_limit!r} are not known")
        self.responding = Responding(drafts, on_limit)
        return self

    def error_handler(
        self, class_name: Target | None = None, name: str | None = None, *, before: str | None = None, **options: Any
    ) -> Self:
        """Gives this step a handler for its errors: a new step, after which the flow goes on at ``before`` or ends."""
        self.error_handler_name = self.flow.add_handler(class_name, name, before, options)
        return self
