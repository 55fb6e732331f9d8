"""Filter: events, or chunks of a stream, that pass or do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graph.running.stream import DROPPED
from graph.written.expression import plain_function


class Filter:
    """Lets a body pass for which ``predicate(body)`` is true. A whole event that is dropped ends the run: no answer.

    The predicate is a plain function.
    """

    def __init__(self, predicate: Callable[[Any], bool]) -> None:
        self._predicate = plain_function("Filter: its predicate", predicate)

    def do(self, body: Any) -> Any:
        return body if self._predicate(body) else DROPPED
