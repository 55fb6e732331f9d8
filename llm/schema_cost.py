"""What a JSON Schema costs whoever compiles it, found before: a compiler cannot be stopped, and its stack has an end.

Dear are schemas that are laid over one another (``allOf``, or a reference with more beside it), as their patterns are
intersected: fifteen short ones take half a minute. Within these bounds all of it takes about a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

MOST_DEEP: Final = 64
"""How many schemas may be in one another, also by way of references; at a thousand or two the process ends."""
MOST_PARTS: Final = 8000
MOST_PROPERTIES: Final = 1000
"""Of one object: what they cost grows with their square."""
MOST_KEY_PATTERNS: Final = 100
"""Patterns of keys: each is compared with each."""
MOST_MULTIPLES: Final = 10_000
"""The sum of what numbers are to be multiples of: each takes so many states."""
MOST_LAID: Final = 8
"""How many patterns and formats schemas may have that are laid over one another."""
MULTIPLE: Final = 5
"""As many patterns is a ``multipleOf`` among them, as the states of two multiply."""
NAMED: Final = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
"""Keywords whose value is schemas by name."""
TOLD: Final = frozenset({"const", "enum", "default", "examples", "title", "description", "deprecated"})
DEFINED: Final = frozenset({"$defs", "definitions", "$schema", "$id", "$comment", "readOnly", "writeOnly"})
LAYERS: Final = ("allOf", "anyOf", "oneOf")


class UnusableGrammar(ValueError):
    """A grammar cannot be compiled, or is too complex to follow; the message is one line."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a schema with all that it refers to: how deep it is, how many parts and how many patterns it has."""

    deep: int = 0
    parts: int = 0
    patterns: int = 0

    def beside(self, other: Cost) -> Cost:
        """Of both."""
        return Cost(max(self.deep, other.deep), self.parts + other.parts, self.patterns + other.patterns)


class SchemaCosts:
    """The costs of schemas that are compiled together."""

    def __init__(self) -> None:
        self._parts = 0
        self._key_patterns = 0
        self._multiples = 0

    def add(self, schema: Any) -> None:
        """One more schema.

        Raises:
            UnusableGrammar: when they take too long together.
        """
        _Walk(self, schema).of(schema, 0)

    def count(self, schema: Mapping[str, Any]) -> None:
        """Counts one part of a schema, without those in it.

        Raises:
            UnusableGrammar: when that is one too many.
        """
        properties, patterns = schema.get("properties"), schema.get("patternProperties")
        self._parts += 1
        self._key_patterns += len(patterns) if isinstance(patterns, Mapping) else 0
        self._multiples += _digits(schema.get("multipleOf"))
        _bound(self._parts, MOST_PARTS, "parts")
        _bound(self._key_patterns, MOST_KEY_PATTERNS, "patterns of keys")
        _bound(len(properties) if isinstance(properties, Mapping) else 0, MOST_PROPERTIES, "properties in one object")
        if self._multiples > MOST_MULTIPLES:
            raise UnusableGrammar(f"its values of multipleOf are more than {MOST_MULTIPLES} together")


class _Walk:
    """One walk over a schema, which follows each reference once."""

    def __init__(self, costs: SchemaCosts, root: Any) -> None:
        self._costs = costs
        self._root = root
        self._known = {"#": Cost()}

    def of(self, schema: Any, deep: int) -> Cost:
        if not isinstance(schema, Mapping):
            return Cost()
        if deep > MOST_DEEP:
            raise UnusableGrammar(f"it is more than {MOST_DEEP} schemas deep, references followed")
        if deep and "$id" in schema:
            raise UnusableGrammar("only the whole schema may have an $id")
        self._costs.count(schema)
        cost = Cost(0, 1, ("pattern" in schema) + ("format" in schema) + MULTIPLE * ("multipleOf" in schema))
        for inner in _inner(schema):
            cost = cost.beside(self.of(inner, deep + 1))
        if isinstance(reference := schema.get("$ref"), str):
            cost = cost.beside(self._referred(reference, deep + 1))
        if _layers(schema) > 1:
            _bound(cost.patterns, MOST_LAID, "patterns in schemas that are laid over one another")
            _bound(cost.parts, MOST_PARTS, "parts in schemas that are laid over one another")
        return Cost(cost.deep + 1, cost.parts, cost.patterns)

    def _referred(self, reference: str, deep: int) -> Cost:
        """What a reference is to; that which is being measured, and is in itself, costs nothing once more."""
        known = self._known.get(reference)
        if known is None:
            self._known[reference] = Cost()
            known = self._known[reference] = self.of(self._found(reference), deep)
        if deep + known.deep > MOST_DEEP:
            raise UnusableGrammar(f"it is more than {MOST_DEEP} schemas deep, references followed")
        return known

    def _found(self, reference: str) -> Any:
        found = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            try:
                found = found[int(name)] if isinstance(found, list) else found[name]
            except (KeyError, IndexError, ValueError, TypeError):
                found = None
        if not reference.startswith("#") or (reference != "#" and reference[1] != "/") or found is None:
            raise UnusableGrammar(
                f"the reference '{reference[:100]}' is to nothing in it; write a path such as #/$defs/name"
            )
        return found


def _inner(schema: Mapping[str, Any]) -> Iterator[Any]:
    """The schemas right in a schema."""
    for key, value in schema.items():
        if key in NAMED and isinstance(value, Mapping):
            yield from value.values()
        elif key not in TOLD:
            yield from value if isinstance(value, list) else (value,)


def _layers(schema: Mapping[str, Any]) -> int:
    """How many schemas are laid over one another here."""
    branches = schema.get("allOf")
    alternatives = sum(name in schema for name in ("$ref", "anyOf", "oneOf"))
    beside = any(key not in TOLD | DEFINED and key not in (*LAYERS, "$ref") for key in schema)
    return (len(branches) if isinstance(branches, list) else 0) + alternatives + beside


def _bound(number: int, most: int, what: str) -> None:
    if number > most:
        raise UnusableGrammar(f"it has more than {most} {what}")


def _digits(value: Any) -> int:
    """The states that a multiple takes: its digits as a whole number, without noughts at the end."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    digits = f"{value}".lower().partition("e")[0].replace(".", "").strip("-+0")
    return int(digits) if digits.isdigit() else 0
