"""Calls: reads tool calls out of a text as it comes, each name once it is known, arguments as they are written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from secrets import token_hex
from typing import Any

from llm.chat import ToolCallDelta

STRING = r'"(?:[^"\\]|\\.)*"'
FIRST_KEY = re.compile(rf"\{{\s*({STRING})\s*:")
NAME = re.compile(rf'\{{\s*"name"\s*:\s*({STRING})', re.DOTALL)
HEAD = re.compile(rf'{NAME.pattern}\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{{)', re.DOTALL)
"""The usual beginning of a call. One whose members stand in another order is given when it is whole."""
KEYS = frozenset({"name", "arguments", "parameters", "type", "id"})
BETWEEN = re.compile(r"[\s\[\],;]*")
"""What may stand before a call."""


class Calls:
    """Reads the JSON objects of calls, and passes over what stands between them.

    Args:
        names: the tools that may be called.

    Attributes:
        count: how many calls were begun.
        refused: whether the text proved to be no call, before any was begun.
        text: what was read until the first call was begun.
    """

    def __init__(self, names: frozenset[str]) -> None:
        self.count = 0
        self.refused = False
        self.text = ""
        self._names = names
        self._whole: _Value | None = None
        self._arguments: _Value | None = None
        self._held = ""

    def hear(self, text: str) -> Iterator[ToolCallDelta]:
        """What some more text says."""
        if not self.count:
            self.text += text
        while text and not self.refused:
            if self._whole is None:
                text = self._seek(text)
            else:
                size = self._whole.take(text)
                yield from self._object(text[:size])
                text = text[size:]

    def _seek(self, text: str) -> str:
        """The text from the next object on."""
        start = text.find("{")
        skipped = text if start < 0 else text[:start]
        self.refused = not self.count and not BETWEEN.fullmatch(skipped)
        if start >= 0:
            self._whole, self._arguments, self._held = _Value(), None, ""
        return text[len(skipped) :]

    def _object(self, text: str) -> Iterator[ToolCallDelta]:
        """What some more of an object says."""
        if self._arguments is not None:
            yield from self._more(text)
        else:
            self._held += text
            head = HEAD.match(self._held)
            if head and _spelled(head[1]) in self._names:
                yield self._begun(_spelled(head[1]))
                self._arguments = _Value()
                yield from self._more(self._held[head.end() :])
            elif self._whole and self._whole.ended:
                yield from self._late()
            else:
                self.refused = not self.count and self._is_hopeless()
        if self._whole and self._whole.ended:
            self._whole = None

    def _more(self, text: str) -> Iterator[ToolCallDelta]:
        """Arguments, of which the call's own closing brace is none."""
        if self._arguments and (size := self._arguments.take(text)):
            yield ToolCallDelta(self.count - 1, text[:size])

    def _late(self) -> Iterator[ToolCallDelta]:
        """A call whose members stand in another order, or whose arguments are no object."""
        call = _parsed(self._held)
        if call.get("name") in self._names:
            given = call.get("arguments", call.get("parameters"))
            arguments = given if isinstance(given, str) else json.dumps(given or {}, ensure_ascii=False)
            yield self._begun(str(call["name"]), arguments)
        self.refused = not self.count

    def _begun(self, name: str, arguments: str = "") -> ToolCallDelta:
        self.count += 1
        return ToolCallDelta(self.count - 1, arguments, f"call_{token_hex(12)}", name)

    def _is_hopeless(self) -> bool:
        """Whether the object is no call, whatever follows."""
        key, name = FIRST_KEY.match(self._held), NAME.match(self._held)
        if name:
            return _spelled(name[1]) not in self._names
        return key is not None and _spelled(key[1]) not in KEYS


class _Value:
    """Finds the end of a JSON object, heard a piece at a time."""

    def __init__(self) -> None:
        self.ended = False
        self._depth = 0
        self._quoted = False
        self._escaped = False

    def take(self, text: str) -> int:
        """How many of these characters belong to it."""
        for at, sign in enumerate("" if self.ended else text, 1):
            if self._quoted:
                self._escaped, self._quoted = sign == "\\" and not self._escaped, sign != '"' or self._escaped
            elif sign in "{[":
                self._depth += 1
            elif sign in "}]":
                self._depth -= 1
                self.ended = self._depth == 0
            else:
                self._quoted = sign == '"'
            if self.ended:
                return at
        return 0 if self.ended else len(text)


def _spelled(string: str) -> str:
    """A JSON string as what it spells; "" where it is none."""
    try:
        return str(json.loads(string))
    except json.JSONDecodeError:
        return ""


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) and isinstance(value.get("name"), str) else {}
