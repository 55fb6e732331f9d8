"""Schemas that would keep a compiler of grammars busy, or end its process, are refused before it sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llm.grammar import call_rules, json_rule
from llm.schema_cost import UnusableGrammar

STATES = "(a|b)*a(a|b){%d}"


def next_of(number: int) -> dict[str, str]:
    return {"$ref": f"#/$defs/d{number + 1}"}


def chain(length: int, link: Callable[[int], Any], end: Any) -> dict[str, Any]:
    """Definitions, each of which refers to the next."""
    return {"$ref": "#/$defs/d0", "$defs": {f"d{at}": link(at) for at in range(length)} | {f"d{length}": end}}


COSTLY: dict[str, tuple[Any, str]] = {
    "lists deep by reference": (chain(1900, lambda at: {"type": "array", "items": next_of(at)}, {}), "64 schemas deep"),
    "laid deep by reference": (chain(1900, lambda at: {"allOf": [next_of(at)]}, {}), "64 schemas deep"),
    "known, and deep": (
        {
            "prefixItems": [{"$ref": "#/$defs/d9"}, chain(0, next_of, {})],
            **chain(99, lambda at: {"items": next_of(at)}, {}),
        },
        "64 schemas deep",
    ),
    "patterns in one another": (
        {"allOf": [{"type": "string", "pattern": STATES % each} for each in range(5, 20)]},
        "8 patterns in schemas that are laid over one another",
    ),
    "patterns by reference": (
        chain(40, lambda at: {"pattern": STATES % at, **next_of(at)}, {"type": "string"}),
        "8 patterns in schemas that are laid over one another",
    ),
    "doubled by reference": (
        chain(24, lambda at: {"allOf": [next_of(at), next_of(at)]}, {"type": "null"}),
        "8000 parts in schemas that are laid over one another",
    ),
    "two multiples": ({"allOf": [{"multipleOf": 317}, {"multipleOf": 313}]}, "8 patterns"),
    "a large multiple": ({"type": "integer", "multipleOf": 999_983}, "multipleOf are more than 10000"),
    "patterns of keys": ({"patternProperties": {f"^{each}x": {} for each in range(101)}}, "100 patterns of keys"),
    "properties": ({"properties": {f"k{each}": {} for each in range(1001)}}, "1000 properties in one object"),
    "parts": ({"anyOf": [{"type": "null"}] * 8000}, "8000 parts"),
    "an anchor": ({"$ref": "#name", "$defs": {"d": {"$anchor": "name"}}}, "the reference '#name' is to nothing in it"),
    "another root": ({"items": {"$id": "other", "$ref": "#/$defs/d"}}, "only the whole schema may have an \\$id"),
}


@pytest.mark.parametrize("name", COSTLY)
def test_what_costs_too_much_is_refused(name: str) -> None:
    """With the bound that it breaks."""
    schema, why = COSTLY[name]
    with pytest.raises(UnusableGrammar, match=why):
        json_rule(schema)


@pytest.mark.parametrize(
    "schema",
    [
        chain(30, lambda at: {"type": "array", "items": next_of(at)}, {}),
        chain(1, lambda at: {"description": "one", "allOf": [next_of(at)]}, {"pattern": "^a$", "format": "uri"}),
        {"type": "object", "properties": {"$id": {"type": "string"}, "next": {"$ref": "#"}}},
        {"type": "object", "properties": {f"p{each}": {"pattern": f"^{each}$"} for each in range(200)}},
        {"multipleOf": 0.01, "items": {"$ref": "#/$defs/a~1b%25/0"}, "$defs": {"a/b%": [{"type": "null"}]}},
        {"enum": [{"$ref": "nothing", "$id": 5}]},
        True,
    ],
)
def test_usual_schemas_are_not(schema: Any) -> None:
    """Trees, descriptions beside a reference, names that are keywords elsewhere, and values that look like schemas."""
    assert json_rule(schema).startswith("%json ")


def test_tools_are_counted_together() -> None:
    """As they are compiled together."""
    tools = [{"name": f"t{at}", "parameters": {"type": "integer", "multipleOf": 997}} for at in range(20)]
    assert list(call_rules(tools[:10], lambda name, _: [name]))
    with pytest.raises(UnusableGrammar, match="multipleOf"):
        list(call_rules(tools, lambda name, _: [name]))
