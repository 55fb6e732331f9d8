"""Rename: the keys of a dict body get other names."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Literal

from graph.errors import InvalidPath, InvalidStep
from graph.written.expression import body_of


class Rename:
    """Renames keys of a dict body; all at once, so that two can change places. The order of the keys stays.

    Args:
        mapping: the new name of each old one.
        missing: what a body without one of the old names is: an ``error``, or nothing to speak of (``ignore``).
    """

    def __init__(self, mapping: Mapping[Hashable, Hashable], *, missing: Literal["error", "ignore"] = "error") -> None:
        if missing not in ("error", "ignore"):
            raise InvalidStep(f"Rename(missing={missing!r}): write 'error' or 'ignore'")
        if len(set(mapping.values())) < len(mapping):
            raise InvalidStep(f"Rename({dict(mapping)!r}): two keys cannot have the same new name")
        self._mapping = dict(mapping)
        self._strict = missing == "error"

    def do(self, given: Any) -> dict[Any, Any]:
        body = body_of(given)
        if not isinstance(body, Mapping):
            raise InvalidPath(f"the body is a {type(body).__name__}, no dict; Rename needs one")
        lacking = [old for old in self._mapping if old not in body] if self._strict else ()
        if lacking:
            raise InvalidPath(f"the body has no key '{lacking[0]}' to rename; it has {_listed(body)}")
        renamed = {self._mapping.get(key, key): value for key, value in body.items()}
        if len(renamed) < len(body):
            stay = {key for key in body if self._mapping.get(key, key) == key}
            taken = next(new for old, new in self._mapping.items() if old in body and new in stay and old != new)
            raise InvalidPath(f"a key cannot be renamed to '{taken}', which the body has already")
        return renamed


def _listed(body: Mapping[Any, Any]) -> str:
    return ", ".join(map(str, body)) or "none"
