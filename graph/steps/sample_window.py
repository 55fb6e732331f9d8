"""SampleWindow: of so many events one passes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Literal

from cachetools import LRUCache

from graph.errors import InvalidStep
from graph.running.stream import DROPPED
from graph.steps.stateful import MOST, key_of


class SampleWindow:
    """Of each ``window_size`` events, or chunks of a stream, one passes; the others end there, without an answer.

    It counts across runs, in this process, as long as the flow lives.

    Args:
        window_size: how many events a window has.
        emit: whether the ``first`` or the ``last`` of them passes.
        key: counts for each key by itself: a function of the body, or the name of a field of a dict body.
        max_keys: how many keys are remembered. The window of a key that was forgotten begins again.
    """

    def __init__(
        self,
        window_size: int,
        emit: Literal["first", "last"] = "first",
        key: Callable[[Any], Hashable] | str | None = None,
        *,
        max_keys: int = MOST,
    ) -> None:
        if window_size < 2 or max_keys < 1:
            raise InvalidStep("SampleWindow: a window has 2 events or more, and at least 1 key is remembered")
        if emit not in ("first", "last"):
            raise InvalidStep(f"SampleWindow(emit={emit!r}): write 'first' or 'last'")
        self._size = window_size
        self._passes = 1 if emit == "first" else window_size
        self._key = key_of("SampleWindow", key)
        self._counts: LRUCache[Hashable, int] = LRUCache(max_keys)

    def do(self, given: Any) -> Any:
        key = self._key(given)
        count = self._counts.get(key, 0) + 1
        self._counts[key] = count % self._size
        return given if count == self._passes else DROPPED
