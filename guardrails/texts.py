"""The texts in a value: what is looked at of a body, or of an answer, that is no conversation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import orjson

Change: TypeAlias = Callable[[str], str]
Unread: TypeAlias = Callable[[], None]
NO_TEXTS = frozenset({bool, int, float, type(None)})
OF_TEXTS = "OSUV"
"""The kinds of NumPy's arrays that may hold texts."""


def ignored() -> None:
    """What is no text is none to look at."""


def with_texts(value: Any, change: Change, unread: Unread = ignored) -> Any:
    """A value each text in which is what ``change`` makes of it: also names of members, bytes that are a text, elements
    of NumPy's arrays, and whatever else becomes JSON, as that. ``unread`` is told of bytes that are no text."""
    kind = type(value)
    if kind in NO_TEXTS:
        return value
    if isinstance(value, str):
        return change(value)
    if isinstance(value, bytes):
        return _bytes(value, change, unread)
    if isinstance(value, Mapping):
        return {change(str(name)): with_texts(each, change, unread) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return value if set(map(type, value)) <= NO_TEXTS else [with_texts(each, change, unread) for each in value]
    return _array(value, change, unread) if hasattr(value, "tolist") else _other(value, change, unread)


def texts_of(value: Any) -> list[str]:
    """The texts in a value that :func:`with_texts` would change, in order."""
    texts: list[str] = []

    def take(text: str) -> str:
        texts.append(text)
        return text

    with_texts(value, take)
    return texts


def is_longer(value: Any, characters: int) -> bool:
    """Whether what is looked at of a value has more characters than that, roughly; names and numbers count as ten."""
    todo, left = [value], characters
    while todo and left >= 0:
        each = todo.pop()
        if isinstance(each, (str, bytes)):
            left -= len(each) + 10
        elif isinstance(each, Mapping):
            left -= 10 * len(each)
            todo.extend(each.values())
        elif isinstance(each, (list, tuple)):
            todo.extend(each)
        else:
            left -= 10 * getattr(each, "size", 1)
    return left < 0


def _bytes(value: bytes, change: Change, unread: Unread) -> bytes:
    try:
        return change(value.decode()).encode()
    except UnicodeDecodeError:
        unread()
        return value


def _array(value: Any, change: Change, unread: Unread) -> Any:
    """An array of NumPy's, which stays one; what only resembles one, as lists."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind and kind not in OF_TEXTS:
        return value
    if kind in ("", "V") or not hasattr(value, "reshape"):
        return with_texts(value.tolist(), change, unread)
    looked = value.astype(object)
    flat = looked.reshape(-1)
    for at, each in enumerate(flat):
        flat[at] = with_texts(each, change, unread)
    return looked


def _other(value: Any, change: Change, unread: Unread) -> Any:
    try:
        plain = orjson.loads(orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS))
    except orjson.JSONEncodeError:
        unread()
        return value
    return with_texts(plain, change, unread)
