"""Collector: one event of a stream."""

from __future__ import annotations

from typing import Any

from graph.plan import gather


class Collector:
    """Gathers a stream into one body: the list of its chunks; of one chunk the chunk itself; of none ``[]``.

    An event that was not streamed passes unchanged.
    """

    collects = True

    def do(self, body: Any) -> Any:
        return body

    def gather(self, body: Any, chunks: list[Any]) -> Any:
        """The body that the stream makes."""
        return gather(body, chunks)
