"""Partition: bodies put to the left or to the right."""

from __future__ import annotations

from typing import Any, NamedTuple

from graph.steps.map import followed
from graph.written.expression import Function, body_of, function_of


class Partitioned(NamedTuple):
    """A body on the side where it belongs; the other side is None."""

    left: Any = None
    right: Any = None


class Partition:
    """The body becomes ``Partitioned(left=body)`` where ``predicate(body)`` is true, else ``Partitioned(right=body)``.

    ``predicate`` may be async.
    """

    def __init__(self, predicate: Function) -> None:
        self.do = followed("Partition", function_of("Partition", predicate), _partitioned)


def _partitioned(given: Any, left: Any) -> Partitioned:
    body = body_of(given)
    return Partitioned(left=body) if left else Partitioned(right=body)
