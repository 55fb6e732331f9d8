"""How things from outside go onto a tape and come back: JSON as it is; chunks, bytes and errors by a tag."""

from __future__ import annotations

import builtins
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from graph.errors import GraphError, RunError
from llm import ChatChunk, ModelError, ToolCallDelta, Usage

CHUNK, BYTES, OBJECT = "$chunk", "$bytes", "$object"
PLAIN = (str, int, float, bool, type(None))
MEMBERS = ("upstream_status", "retry_after", "param", "code", "hopeless")
"""What errors carry besides their words."""


def pack(value: Any) -> Any:
    """The value as JSON.

    Raises:
        TypeError: for what has no place on a tape.
    """
    if isinstance(value, ChatChunk):
        packed = asdict(value)
        return {CHUNK: {name: member for name, member in packed.items() if member not in (None, ())}}
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
    members = dict(packed[CHUNK])
    members["tool_calls"] = tuple(ToolCallDelta(**call) for call in members.get("tool_calls", ()))
    if "usage" in members:
        members["usage"] = Usage(**members["usage"])
    return ChatChunk(**members)


def pack_error(error: Exception) -> dict[str, Any]:
    """The error's class, words and members."""
    members = {name: getattr(error, name) for name in MEMBERS if getattr(error, name, None) is not None}
    message = str(error.args[0] if len(error.args) == 1 else error)
    return {"type": type(error).__name__, "message": message, "members": members}


def unpack_error(packed: Mapping[str, Any]) -> Exception:
    """An error of the same class, if it is one of ours or Python's own; else a RunError with its words."""
    kind = next((kind for kind in _known() if kind.__name__ == packed["type"]), None)
    if kind is None:
        return RunError(f"{packed['type']}: {packed['message']}")
    error: Exception = kind.__new__(kind, packed["message"])
    Exception.__init__(error, packed["message"])
    if isinstance(error, (ModelError, GraphError)):
        for name in MEMBERS:
            setattr(error, name, packed["members"].get(name))
    return error


def _known() -> Iterator[type[Exception]]:
    """The classes that errors may have, without importing anything."""
    waiting: list[type[Exception]] = [ModelError, GraphError]
    while waiting:
        kind = waiting.pop()
        yield kind
        waiting.extend(kind.__subclasses__())
    yield from (kind for kind in vars(builtins).values() if isinstance(kind, type) and issubclass(kind, Exception))
