"""Filtered: what keeps an answer out of a cache that an upstream has cut off, or that a policy has refused."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

from gateway.exchanges.making import Making
from graph import Event, FlowRun, Instrument
from llm import ChatChunk

FILTERED: Final = "content_filter"
ON_THE_WIRE: Final = b'"content_filter"'
"""In an answer that passes, the end of any of its choices; in a text of it the quotes would be escaped."""
MADE: ContextVar[Making | None] = ContextVar("made", default=None)
"""The answer that the current task makes, if it may come into a cache."""


class FilterWatch(Instrument):
    """Hears how answers end, whatever API they are asked through, as not every API tells it. One that a run inside
    has lost to a filter counts too: what is made without it is another."""

    def on_chunk(self, run: FlowRun, event: Event, chunk: Any) -> None:
        if isinstance(chunk, ChatChunk) and (making := MADE.get()) is not None and _is_filtered(chunk):
            making.spoil()


def _is_filtered(chunk: ChatChunk) -> bool:
    return chunk.finish_reason == FILTERED or (chunk.wire is not None and ON_THE_WIRE in chunk.wire)
