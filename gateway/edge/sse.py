"""Server-sent events, in the form that every official SDK reads: one ``data`` line each, and no field besides."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.edge.context import Scope

EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")
HEADERS = [
    EVENTS,
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]
DONE = b"data: [DONE]\n\n"


def frame(value: Any) -> bytes:
    """The event that holds this JSON value."""
    return b"data: " + orjson.dumps(value) + b"\n\n"


def named_frame(name: str, value: Any) -> bytes:
    """The same with an ``event`` line, which chat answers must not have and some other APIs need."""
    return b"event: " + name.encode() + b"\n" + frame(value)


def takes_events(scope: Scope) -> bool:
    """Whether a request says that it takes a stream, in any of its ``Accept`` headers."""
    return any(b"text/event-stream" in value.lower() for name, value in scope["headers"] if name == b"accept")
