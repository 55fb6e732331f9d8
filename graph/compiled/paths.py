"""``input_path`` and ``result_path``: dotted paths into the body of an event."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

from graph.errors import InvalidPath


def get_path(body: Any, path: Sequence[str]) -> Any:
    """What stands at ``path`` in a dict body.

    Raises:
        InvalidPath: when there is no dict, or no such key, on the way.
    """
    found = body
    for depth, key in enumerate(path):
        if not isinstance(found, MutableMapping):
            raise InvalidPath(f"{_place(path, depth)} is a {type(found).__name__}, no dict; '{_whole(path)}' needs one")
        if key not in found:
            raise InvalidPath(f"{_place(path, depth)} has no key '{key}'; it has {', '.join(map(str, found))}")
        found = found[key]
    return found


def set_path(body: Any, path: Sequence[str], value: Any) -> None:
    """Writes ``value`` at ``path`` into a dict body, making the dicts on the way.

    Raises:
        InvalidPath: when something on the way is there and is no dict.
    """
    place = body
    for depth, key in enumerate(path):
        if not isinstance(place, MutableMapping):
            raise InvalidPath(f"{_place(path, depth)} is a {type(place).__name__}, no dict; '{_whole(path)}' needs one")
        if depth == len(path) - 1:
            place[key] = value
        else:
            place = place.setdefault(key, {})


def _whole(path: Sequence[str]) -> str:
    return ".".join(path)


def _place(path: Sequence[str], depth: int) -> str:
    return f"the body at '{_whole(path[:depth])}'" if depth else "the body"
