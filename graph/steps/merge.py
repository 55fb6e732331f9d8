"""Merge: where parallel paths meet again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from graph.errors import InvalidStep


class Merge:
    """Waits for exactly those parallel paths that were taken, and makes one body of theirs.

    Args:
        into: ``"dict"``: by the name of the last step of each path; ``"list"``: in the order of the paths; or a
            function of that list, which may be async.
    """

    merges = True

    def __init__(self, into: Literal["dict", "list"] | Callable[[list[Any]], Any] = "dict") -> None:
        if into not in ("dict", "list") and not callable(into):
            raise InvalidStep(f"Merge(into={into!r}): write 'dict', 'list' or a function of the list of bodies")
        self._into = into

    def do(self, bodies: Mapping[str, Any]) -> Any:
        if self._into == "dict":
            return dict(bodies)
        values = list(bodies.values())
        return self._into(values) if callable(self._into) else values
