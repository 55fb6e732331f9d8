"""How things from outside go onto a tape and come back: JSON as it is; chunks, bytes and errors by a tag."""

from __future__ import annotations

import builtins
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from typing import Any

from graph.errors import GraphError, RunError
from llm import ChatChunk, ModelError, packing
from llm.packing import classes_under, pack_chunk, unpack_chunk

CHUNK, BYTES, OBJECT = "$chunk", "$bytes", "$object"
PLAIN = (str, int, float, bool, type(None))


def pack(value: Any) -> Any:
    """The value as JSON.

    Raises:
        TypeError: for what has no place on a tape.
    """
    if isinstance(value, ChatChunk):
        return {CHUNK: pack_chunk(value)}
    if isinstance(value, Mapping):
        members = {str(name): pack(item) for name, item in value.items()}
        return {OBJECT: members} if members.keys() & {CHUNK, BYTES, OBJECT} else members
    if isinstance(value, (list, tuple)):
        return [pack(item) for item in value]
    if isinstance(value, bytes):
        return {BYTES: b64encode(value).decode()}
    if isinstance(value, PLAIN):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be recorded; what comes from outside must be JSON or bytes")


def unpack(packed: Any) -> Any:
    """The value that was packed."""
    if isinstance(packed, list):
        return [unpack(item) for item in packed]
    if not isinstance(packed, Mapping):
        return packed
    if BYTES in packed:
        return b64decode(packed[BYTES])
    if CHUNK not in packed:
        return {name: unpack(item) for name, item in packed.get(OBJECT, packed).items()}
    return unpack_chunk(packed[CHUNK])


def unpack_error(packed: Mapping[str, Any]) -> Exception:
    """An error of the same class, if it is one of ours or Python's own; else a RunError with its words."""
    kind = next((kind for kind in _known() if kind.__name__ == packed["type"]), None)
    if kind is None:
        return RunError(f"{packed['type']}: {packed['message']}")
    if issubclass(kind, (ModelError, GraphError)):
        return packing.unpack_error(packed, kind)
    error: Exception = kind.__new__(kind, packed["message"])
    Exception.__init__(error, packed["message"])
    return error


def _known() -> Iterator[type[Exception]]:
    """The classes that errors may have, without importing anything."""
    yield from classes_under((ModelError, GraphError))
    yield from (kind for kind in vars(builtins).values() if isinstance(kind, type) and issubclass(kind, Exception))
