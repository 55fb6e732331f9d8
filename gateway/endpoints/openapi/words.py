"""What the schemas of :mod:`gateway.endpoints.openapi.schemas` are put together of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

JSONSchema: TypeAlias = Mapping[str, Any]
REFS = "#/components/schemas/"
ANY: JSONSchema = {}
TEXT: JSONSchema = {"type": "string"}
NAME: JSONSchema = {"type": "string", "minLength": 1}
YES_OR_NO: JSONSchema = {"type": "boolean"}
WHOLE: JSONSchema = {"type": "integer"}
OBJECT: JSONSchema = {"type": "object"}
SCALAR: JSONSchema = {"type": ["string", "number", "boolean"]}


def ref(name: str) -> JSONSchema:
    """A reference to a schema of the document."""
    return {"$ref": REFS + name}


def array(items: JSONSchema, least: int = 0, most: int | None = None) -> JSONSchema:
    """A list of so many of these."""
    bounds = {"minItems": least or None, "maxItems": most}
    return {"type": "array", "items": items} | {name: bound for name, bound in bounds.items() if bound is not None}


def number(kind: str, low: float, high: float | None = None) -> JSONSchema:
    """A ``number`` or an ``integer`` within bounds."""
    return {"type": kind, "minimum": low} | ({} if high is None else {"maximum": high})


def either(*schemas: JSONSchema) -> JSONSchema:
    """One of these."""
    return {"anyOf": list(schemas)}


def object_of(*required: str, **properties: JSONSchema) -> JSONSchema:
    """An object that needs some of its properties; the others may be null, which is the same as absent."""
    optional = {name: {"anyOf": [schema, {"type": "null"}]} for name, schema in properties.items()}
    return {"type": "object", "required": list(required)} | {
        "properties": {**optional, **{name: properties[name] for name in required}}
    }
