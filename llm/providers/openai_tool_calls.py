"""The tool calls of OpenAI-compatible answers, whose pieces many upstreams number wrongly."""

from __future__ import annotations

from collections.abc import Mapping
from secrets import token_hex
from typing import Any

import orjson

from llm.chat import ToolCallDelta
from llm.errors import UpstreamGarbled


class ToolCallIndexes:
    """Puts the pieces of tool calls in order, where upstreams leave out the index or id, give every call index 0, every
    piece an id of its own, or the name late."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._named: list[bool] = []

    def delta(self, wire: Mapping[str, Any]) -> ToolCallDelta:
        """The piece with the index that is right; ``id`` only in the first piece of a call, ``name`` only once."""
        kind = "custom" if isinstance(wire.get("custom"), dict) else "function"
        called = _object(wire.get(kind))
        name, arguments = _string(called.get("name")), _text(called.get("arguments" if kind == "function" else "input"))
        call_id = _string(wire.get("id"))
        index = self._index(wire.get("index"), call_id, name)
        if index == len(self._ids):
            self._ids.append(call_id or f"call_{token_hex(12)}")
            self._named.append(name is not None)
            return ToolCallDelta(index, arguments, self._ids[index], name or "", kind)
        if self._named[index]:
            name = None
        self._named[index] = self._named[index] or name is not None
        return ToolCallDelta(index, arguments, None, name, kind)

    def _index(self, given: object, call_id: str | None, name: str | None) -> int:
        known = len(self._ids)
        if call_id in self._ids:
            return self._ids.index(call_id)
        if isinstance(given, int) and 0 <= given < known and not (call_id and name and self._named[given]):
            return given
        return known if name or call_id or not known else known - 1


def _object(called: object) -> Mapping[str, Any]:
    if not isinstance(called, (dict, type(None))):
        raise UpstreamGarbled("the upstream's answer has a tool call that is no object")
    return called or {}


def _string(word: object) -> str | None:
    """A name or an id, None where there is none."""
    if not isinstance(word, (str, type(None))):
        raise UpstreamGarbled("the upstream's answer has a tool call whose name or id is no text")
    return word or None


def _text(arguments: object) -> str:
    """Arguments as text, also where an upstream sends them as the object itself."""
    if isinstance(arguments, dict):
        return orjson.dumps(arguments).decode()
    if not isinstance(arguments, (str, type(None))):
        raise UpstreamGarbled("the upstream's answer has tool call arguments that are no text")
    return arguments or ""
