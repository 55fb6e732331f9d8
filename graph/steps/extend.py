"""Extend: a dict body gets more keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graph.errors import InvalidPath, RunError
from graph.steps.map import followed
from graph.written.expression import Function, body_of, function_of


class Extend:
    """Adds to a dict body what the dict that ``fn(body)`` returns holds; keys that are there are replaced.

    The body that follows is a new dict. ``fn`` may be async.

    Args:
        fn: the function; with ``full_event=True`` it is given the event.
        _fn: the same in MLRun's spelling, where it may be an expression such as ``'({"extend": "something"})'``.
    """

    def __init__(self, fn: Function | None = None, *, _fn: Function | str | None = None) -> None:
        self.do = followed("Extend", function_of("Extend", fn, _fn), _extended)


def _extended(given: Any, made: Any) -> dict[Any, Any]:
    body = body_of(given)
    if not isinstance(body, Mapping):
        raise InvalidPath(f"the body is a {type(body).__name__}, no dict; Extend needs one")
    if not isinstance(made, Mapping):
        raise RunError(f"the function of Extend must return a dict; it returned a {type(made).__name__}")
    return {**body, **made}
