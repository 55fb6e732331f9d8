"""Narrows a JSON Schema so that a small model cannot run on: every free string, list, number and object gets a bound.

What `bounded` returns accepts only values that the given schema accepts too. It also refuses, quickly, what is too
large or too deep to be worth compiling. References stay as they are; the compiler resolves local ones and fetches none.
"""

from collections.abc import Mapping
from typing import Any

from llm.embedded.errors import InvalidSchema

MAX_STRING = 120
MAX_ITEMS = 16
MAX_KEYS = 16
MAX_NUMBER = 10**9
_MAX_DEPTH = 24
_MAX_NODES = 4000
_MAX_TEXT = 100_000  # characters in all names and labels together

Schema = dict[str, Any]

_STRING: Schema = {"type": "string", "maxLength": MAX_STRING}
_NUMBER: Schema = {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER}
_SCALARS: list[Schema] = [_STRING, _NUMBER, {"type": "boolean"}, {"type": "null"}]
_ANNOTATIONS = {
    *("$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default", "examples"),
    *("deprecated", "readOnly", "writeOnly"),
}
_BRANCHES = ("anyOf", "oneOf", "allOf", "$ref")
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")


def _object_of(values: list[Schema]) -> Schema:
    keys = {"^[A-Za-z_][A-Za-z0-9_ -]{0,39}$": {"anyOf": values}}
    return {"type": "object", "patternProperties": keys, "additionalProperties": False, "maxProperties": MAX_KEYS}


def _list_of(values: list[Schema]) -> Schema:
    return {"type": "array", "items": {"anyOf": values}, "maxItems": MAX_ITEMS}


_FLAT = [*_SCALARS, _list_of(_SCALARS), _object_of(_SCALARS)]
FREE_OBJECT = _object_of(_FLAT)  # any JSON object, two levels deep
FREE_VALUE: Schema = {"anyOf": [*_SCALARS, _list_of(_FLAT), FREE_OBJECT]}


def bounded(schema: Mapping[str, Any] | bool) -> Schema:
    """A narrower copy of a schema. Raises InvalidSchema if it is no schema, too deep or too large."""
    narrowed: Schema | bool = _Bounding().schema(schema, depth=0, closable=True)
    if isinstance(narrowed, bool):
        raise InvalidSchema("no value is valid")
    return narrowed


class _Bounding:
    """One walk over a schema, counting what it meets."""

    def __init__(self) -> None:
        self._nodes = 0
        self._text = 0

    def schema(self, schema: Any, depth: int, closable: bool) -> Any:
        """`closable`: no other schema is laid over this one, so further keys of an object can be forbidden."""
        self._count(depth)
        if isinstance(schema, bool):
            return FREE_VALUE if schema else False
        if not isinstance(schema, Mapping):
            raise InvalidSchema(f"a schema must be an object or a boolean, not {type(schema).__name__}")
        if _ANNOTATIONS.issuperset(schema):
            return FREE_VALUE | _kept_definitions(self, schema, depth)
        alone = closable and not any(key in schema for key in _BRANCHES)
        copy = {key: self._keyword(key, value, depth, alone) for key, value in schema.items()}
        return _with_bounds(copy, alone)

    def _keyword(self, key: str, value: Any, depth: int, alone: bool) -> Any:
        if key in {"properties", "patternProperties", "$defs", "definitions"}:
            return self._named(key, value, depth)
        if key in {"anyOf", "oneOf", "allOf", "prefixItems"} and isinstance(value, list):
            free = alone or key == "prefixItems"
            return [self.schema(branch, depth + 1, closable=free) for branch in value]
        if key == "items" or (key == "additionalProperties" and not isinstance(value, bool)):
            return self.schema(value, depth + 1, closable=True)
        if key == "required" and not (isinstance(value, list) and all(isinstance(name, str) for name in value)):
            raise InvalidSchema("required must be a list of names")
        if key in {"enum", "const"}:
            self._weigh(value)
        return value

    def _named(self, key: str, value: Any, depth: int) -> Schema:
        if not isinstance(value, Mapping):
            raise InvalidSchema(f"{key} must be an object")
        self._weigh(list(value))
        return {name: self.schema(child, depth + 1, closable=True) for name, child in value.items()}

    def _count(self, depth: int) -> None:
        self._nodes += 1
        if depth > _MAX_DEPTH:
            raise InvalidSchema(f"the schema is nested more than {_MAX_DEPTH} levels deep")
        if self._nodes > _MAX_NODES:
            raise InvalidSchema(f"the schema has more than {_MAX_NODES} parts")

    def _weigh(self, labels: Any) -> None:
        self._text += sum(len(str(label)) for label in (labels if isinstance(labels, list) else [labels]))
        if self._text > _MAX_TEXT:
            raise InvalidSchema(f"the schema's names and values have more than {_MAX_TEXT} characters")


def _kept_definitions(walk: _Bounding, schema: Mapping[str, Any], depth: int) -> Schema:
    """Definitions beside an empty schema stay, as references elsewhere may point to them."""
    return {key: walk._named(key, schema[key], depth) for key in ("$defs", "definitions") if key in schema}


def _with_bounds(schema: Schema, alone: bool) -> Schema:
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if not all(isinstance(kind, (str, type(None))) for kind in kinds):
        raise InvalidSchema("type must be a string, or a list of strings")
    if "enum" in schema or "const" in schema:
        return schema
    if "string" in kinds and not any(key in schema for key in ("maxLength", "pattern", "format")):
        schema["maxLength"] = max(MAX_STRING, _number(schema, "minLength"))
    if {"integer", "number"} & set(kinds) and not any(key in schema for key in _BOUNDS):
        schema |= {"minimum": -MAX_NUMBER, "maximum": MAX_NUMBER}
    if "array" in kinds:
        schema.setdefault("items", FREE_VALUE)
        schema.setdefault("maxItems", max(MAX_ITEMS, _number(schema, "minItems")))
    if ("object" in kinds or "properties" in schema) and alone:
        return _with_bounded_keys(schema)
    return schema


def _with_bounded_keys(schema: Schema) -> Schema:
    """No further keys beside declared ones; free keys, where there are no declared ones, within bounds."""
    if "additionalProperties" in schema or "patternProperties" in schema:
        return schema
    if schema.get("properties") or schema.get("required"):
        return schema | {"additionalProperties": False}
    return FREE_OBJECT | {key: value for key, value in schema.items() if key != "properties"}


def _number(schema: Schema, key: str) -> int:
    value = schema.get(key, 0)
    if not isinstance(value, int):
        raise InvalidSchema(f"{key} must be an integer")
    return value
