"""Parcel: an event on its way to a worker process, and the changes that come back.

The event itself stays where the run is. The worker works on a copy, and what it changed there - the body, fields of the
state, the score, what model calls cost - is written into the event when the call is over.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from graph.event import Event
from graph.processes.failure import sendable
from graph.running.meter import Meter, StepUsage

ATTRIBUTES = ("path", "method", "headers", "caller", "at", "origin_state", "score")
"""What an event says of itself that is sent as it is."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a worker has changed in its copy of an event.

    Attributes:
        body: the new body in a tuple, or nothing when it is as it was.
        state: the fields of the state that have new values.
        gone: the keys of the state that are no more.
        replaced: the new state in a tuple, where another one has taken its place.
        notes: those of steps, as they are now.
        score: as it is now.
        booked: what model calls have cost.
    """

    body: tuple[Any, ...] = ()
    state: Mapping[str, Any] | None = None
    gone: tuple[str, ...] = ()
    replaced: tuple[Any, ...] = ()
    notes: Mapping[str, dict[str, Any]] | None = None
    score: float | None = None
    booked: tuple[StepUsage, ...] = ()

    def apply(self, event: Event) -> None:
        """Writes the changes into the event; its state stays the same object, which others may share."""
        for body in self.body:
            event.body = body
        for state in self.replaced:
            event.state = state
        for name, value in (self.state or {}).items():
            if isinstance(event.state, dict):
                event.state[name] = value
            else:
                setattr(event.state, name, value)
        for name in self.gone:
            event.state.pop(name, None)
        event.notes.update(self.notes or {})
        event.score = self.score
        for call in self.booked:
            event.meter.book(call)


@dataclass(frozen=True, slots=True)
class Parcel:
    """An event as it is sent: without its run, and with a meter of its own under the same caps."""

    id: str
    attributes: Mapping[str, Any]
    error: Exception | None
    meter: Meter
    contents: bytes
    """Body, state and notes, pickled once more, so that the worker can tell what it has changed."""

    @classmethod
    def of(cls, event: Event) -> Parcel:
        """The parcel of an event. It raises what pickle raises."""
        spent = event.meter
        return cls(
            event.id,
            {name: getattr(event, name) for name in ATTRIBUTES},
            sendable(event.error) if event.error is not None else None,
            replace(spent, calls=[], outer=None),
            pickle.dumps((event.body, event.state, event.notes), pickle.HIGHEST_PROTOCOL),
        )

    def opened(self) -> Event:
        """The worker's copy of the event."""
        event = Event(id=self.id)
        event.body, event.state, event.notes = pickle.loads(self.contents)  # noqa: S301 - sent by ourselves
        for name, value in self.attributes.items():
            setattr(event, name, value)
        event.error, event.meter = self.error, self.meter
        return event

    def changes(self, event: Event) -> Changes:
        """What is different in ``event`` from what was sent."""
        body, state, notes = pickle.loads(self.contents)  # noqa: S301 - sent by ourselves
        before, after = _fields(state), _fields(event.state)
        comparable = before is not None and after is not None and type(state) is type(event.state)
        if before is None or after is None or not comparable:
            before, after = {}, {}
        return Changes(
            body=(event.body,) if _differ(body, event.body) else (),
            state={name: value for name, value in after.items() if name not in before or _differ(before[name], value)},
            gone=tuple(name for name in before if name not in after),
            replaced=(event.state,) if not comparable and _differ(state, event.state) else (),
            notes=event.notes if _differ(notes, event.notes) else None,
            score=event.score,
            booked=tuple(event.meter.calls),
        )

    def spent(self, event: Event) -> Changes:
        """Only what cannot fail to be sent: the score, and what model calls have cost."""
        return Changes(score=event.score, booked=tuple(event.meter.calls))


def _fields(state: Any) -> Mapping[str, Any] | None:
    """The fields of a state by name; None of something that is no dict, dataclass or msgspec Struct."""
    if isinstance(state, dict):
        return state
    if is_dataclass(state):
        return {field.name: getattr(state, field.name) for field in fields(state)}
    names = getattr(state, "__struct_fields__", None)
    return None if names is None else {name: getattr(state, name) for name in names}


def _differ(before: Any, after: Any) -> bool:
    """Whether two values are different; those that cannot say (arrays) are."""
    try:
        return bool(before != after)
    except Exception:
        return True
