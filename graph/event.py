"""Event: what walks a graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from llm.usage import Usage


@dataclass(frozen=True, slots=True)
class StepUsage:
    """What one model call in a run cost, and in which step."""

    step: str
    model: str
    usage: Usage


class Event:
    """A request on its way through a graph: its body, and what the steps should know about it.

    Attributes:
        body: what steps are given and what they change.
        id: the same for the whole run; shown in errors.
        path, method, headers: where the event came from, when it came over HTTP.
        caller: who sent it, by the name of the key that was shown.
        state: what steps keep for each other during the run.
        at: the name of the step that the event is in.
        error: the exception that an error handler is to handle.
        origin_state: the name of the step that raised it.
        score: how good a judge found the latest draft, from 0 to 1; None when nobody judged it.
        calls: what the model calls of the run cost, in the order in which they ended.
    """

    __slots__ = (
        "at",
        "body",
        "caller",
        "calls",
        "error",
        "headers",
        "id",
        "method",
        "origin_state",
        "path",
        "score",
        "state",
    )

    def __init__(
        self,
        body: Any = None,
        *,
        id: str | None = None,  # noqa: A002 - the word that serving graphs use
        path: str = "/",
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        caller: str = "",
    ) -> None:
        self.body = body
        self.id = id or token_hex(16)
        self.path = path
        self.method = method
        self.headers = headers if headers is not None else {}
        self.caller = caller
        self.state: dict[str, Any] = {}
        self.at = ""
        self.error: Exception | None = None
        self.origin_state: str | None = None
        self.score: float | None = None
        self.calls: list[StepUsage] = []

    def having(self, body: Any) -> Event:
        """The same event with another body; everything else is shared."""
        other = Event.__new__(Event)
        for name in Event.__slots__:
            setattr(other, name, getattr(self, name))
        other.body = body
        return other

    def account(self, model: str, usage: Usage) -> None:
        """Books what a model call cost on the step that the event is in."""
        self.calls.append(StepUsage(self.at, model, usage))

    @property
    def usage(self) -> Usage:
        """What the run has cost so far."""
        return sum((call.usage for call in self.calls), start=Usage())

    def __repr__(self) -> str:
        return f"Event(id={self.id!r}, at={self.at!r}, body={self.body!r})"
