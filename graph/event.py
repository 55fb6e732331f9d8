"""Event: what walks a graph."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from random import Random
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from graph.errors import RunError
from graph.running.copies import copied
from graph.running.meter import Meter, StepUsage
from llm.usage import Usage

if TYPE_CHECKING:
    from graph.recording.tape import Tape
    from graph.running.run import FlowRun


class Event:
    """A request on its way through a graph: its body, and what the steps should know about it.

    Attributes:
        body: what steps are given and what they change.
        id: the same for the whole run; shown in errors.
        path, method, headers: where the event came from, when it came over HTTP.
        caller: who sent it, by the name of the key that was shown.
        state: what steps keep for each other during the run: a dict, or an instance of the flow's state class.
        notes: what steps remember for themselves during the run, by the name of the step.
        at: the name of the step that the event is in.
        error: the exception that an error handler is to handle.
        origin_state: the name of the step that raised it.
        score: how good a judge found the latest draft, from 0 to 1; None when nobody judged it.
        meter: what the model calls of the run have cost.
        run: the run that the event is in; None before it has begun.
        tape: over what everything comes that the run cannot know by itself; None when nobody records or replays.
    """

    __slots__ = (
        "_id",
        "_meter",
        "at",
        "body",
        "caller",
        "error",
        "headers",
        "method",
        "notes",
        "origin_state",
        "path",
        "run",
        "score",
        "state",
        "tape",
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
        self._id = id
        self.path = path
        self.method = method
        self.headers = headers if headers is not None else {}
        self.caller = caller
        self.state: Any = {}
        self.notes: dict[str, dict[str, Any]] = {}
        self.at = ""
        self.error: Exception | None = None
        self.origin_state: str | None = None
        self.score: float | None = None
        self._meter: Meter | None = None
        self.run: FlowRun | None = None
        self.tape: Tape | None = None

    @property
    def id(self) -> str:
        """Made when somebody first asks, if nobody gave one."""
        if not self._id:
            self._id = token_hex(16)
        return self._id

    @property
    def meter(self) -> Meter:
        """Made when something is booked first, if the run has no caps to count against."""
        if self._meter is None:
            self._meter = Meter()
        return self._meter

    @meter.setter
    def meter(self, meter: Meter | None) -> None:
        self._meter = meter

    def having(self, body: Any) -> Event:
        """The same event with another body; everything else is shared."""
        other = Event.__new__(Event)
        other.body = body
        other._id, other._meter = self.id, self.meter
        other.path, other.method, other.headers, other.caller = self.path, self.method, self.headers, self.caller
        other.state, other.notes, other.at, other.score = self.state, self.notes, self.at, self.score
        other.error, other.origin_state, other.run, other.tape = self.error, self.origin_state, self.run, self.tape
        return other

    def become(self, other: Event) -> None:
        """Takes over what another event of the same run has; of a stranger only its body."""
        self.body = other.body
        if other.meter is self.meter:
            self.state, self.notes, self.score = other.state, other.notes, other.score

    def branch(self) -> Event:
        """A copy for a parallel path: changes of its body and its state are not seen by the others.

        Raises:
            RunError: when body or state cannot be copied.
        """
        try:
            other = self.having(copied(self.body))
            other.state = copied(self.state)
            other.notes = copied(self.notes)
        except Exception as error:
            raise RunError(f"the event cannot be copied for parallel paths: {error}") from error
        return other

    @property
    def own_notes(self) -> dict[str, Any]:
        """The notes of the step that the event is in."""
        return self.notes.setdefault(self.at, {})

    def account(self, model: str, usage: Usage, usd: float | None = None) -> None:
        """Books what a model call cost on the step that the event is in; in money None when nobody knows."""
        self.meter.book(StepUsage(self.at, model, usage, usd))

    def now(self) -> datetime:
        """The time, in UTC; of a replayed run the time that it was. Steps that need a clock use this one."""
        moment = _now() if self.tape is None else self.tape.draw(self.at, _now)
        return datetime.fromisoformat(moment)

    def random(self) -> Random:
        """A generator of random numbers; in a replayed run it draws the same ones again."""
        seed = token_hex(8) if self.tape is None else self.tape.draw(self.at, partial(token_hex, 8))
        return Random(seed)  # noqa: S311 - for choices of steps, never for secrets

    @property
    def usage(self) -> Usage:
        """What the model calls of the run have cost so far."""
        return self.meter.usage

    def __repr__(self) -> str:
        return f"Event(id={self.id!r}, at={self.at!r}, body={self.body!r})"


def _now() -> str:
    return datetime.now(UTC).isoformat()
