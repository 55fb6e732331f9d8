"""Chunks and errors as JSON, and back, for whatever is recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from llm.chat import ChatChunk, ToolCallDelta
from llm.usage import Usage

MEMBERS = ("upstream_status", "retry_after", "param", "code", "hopeless")
"""What errors carry besides their words."""
Error = TypeVar("Error", bound=Exception)


def pack_chunk(chunk: ChatChunk) -> dict[str, Any]:
    """The members of a chunk that say something."""
    return {name: member for name, member in asdict(chunk).items() if member not in (None, ())}


def unpack_chunk(packed: Mapping[str, Any]) -> ChatChunk:
    """The chunk that was packed."""
    members = dict(packed)
    members["tool_calls"] = tuple(ToolCallDelta(**call) for call in members.get("tool_calls", ()))
    for name in ("usage", "so_far"):
        if name in members:
            members[name] = Usage(**members[name])
    return ChatChunk(**members)


def pack_error(error: Exception) -> dict[str, Any]:
    """The error's class, words and members."""
    members = {name: getattr(error, name) for name in MEMBERS if getattr(error, name, None) is not None}
    message = str(error.args[0] if len(error.args) == 1 else error)
    return {"type": type(error).__name__, "message": message, "members": members}


def unpack_error(packed: Mapping[str, Any], kind: type[Error]) -> Error:
    """An error of this class with the words and members that were packed."""
    error: Error = kind.__new__(kind, packed["message"])
    Exception.__init__(error, packed["message"])
    for name in MEMBERS:
        setattr(error, name, packed["members"].get(name))
    return error


def classes_under(roots: Iterable[type[Exception]]) -> Iterator[type[Exception]]:
    """The classes, and all that are derived from them and have been imported."""
    waiting = list(roots)
    while waiting:
        kind = waiting.pop()
        yield kind
        waiting.extend(kind.__subclasses__())
