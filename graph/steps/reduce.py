"""Reduce: a stream folded into one body."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from graph.compiled.results import is_async_function
from graph.errors import InvalidStep
from graph.steps.stateful import fresh
from graph.written.expression import body_of, plain_function


class Reduce:
    """Makes one body of a stream: ``fn(so_far, chunk)`` for each chunk, beginning with ``initial``.

    A stream of nothing becomes ``initial``; an event that was not streamed becomes ``fn(initial, body)``.

    Args:
        initial: a value, copied for each run, or a function that makes one.
        fn: a plain function; what it returns is ``so_far`` for the next chunk.
    """

    collects = True

    def __init__(self, initial: Any, fn: Callable[[Any, Any], Any]) -> None:
        if not callable(fn) or is_async_function(fn):  # type: ignore[redundant-expr]
            raise InvalidStep(f"Reduce: fn must be a plain function of two arguments, not {fn!r}")
        self._initial = plain_function("Reduce: initial", initial)
        self._fn = fn

    def do(self, given: Any) -> Any:
        return self._fn(fresh(self._initial), body_of(given))

    def gather(self, _body: Any, chunks: list[Any]) -> Any:
        """The body that the stream makes."""
        return functools.reduce(self._fn, chunks, fresh(self._initial))
