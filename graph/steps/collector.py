"""Collector: one event of a stream."""

from __future__ import annotations

from typing import Any

from graph.compiled.node import gather
from graph.errors import InvalidStep


class Collector:
    """Gathers a stream into one body: the list of its chunks; of one chunk the chunk itself; of none ``[]``.

    An event that was not streamed passes unchanged.

    Args:
        expected_completions: how many times a stream must have ended before the body is made. In storey a Collector
            may see the end of a stream once for each path that copies of it took. Here a stream ends once, and paths
            meet in a Merge, so 1 is the only number that a run would not wait for in vain.

    Raises:
        InvalidStep: for any other number.
    """

    collects = True

    def __init__(self, expected_completions: int = 1) -> None:
        if expected_completions != 1:
            raise InvalidStep(
                f"Collector(expected_completions={expected_completions!r}): a stream ends once in a run, so this would "
                "wait for ever; to gather the streams of parallel paths, put a Collector on each and a Merge after them"
            )

    def do(self, body: Any) -> Any:
        return body

    def gather(self, body: Any, chunks: list[Any]) -> Any:
        """The body that the stream makes."""
        return gather(body, chunks)
