"""Constraints: what comes out is valid, always; what cannot be followed is refused, quickly."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm.embedded import Engine, InvalidSchema
from tests.llm.embedded.conftest import ATTRACTIONS, WEATHER, calls, options, text

USER = [{"role": "user", "content": "Plan a trip to Lisbon on 14 May"}]
UNSEEN: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer", "minimum": 1, "maximum": 30},
        "tags": {"type": "array", "items": {"enum": ["food", "art", "nature"]}, "minItems": 1, "maxItems": 3},
        "hotel": {"type": ["boolean", "null"]},
        "near": {"$ref": "#/$defs/place"},
    },
    "required": ["city", "days", "tags", "hotel", "near"],
    "$defs": {"place": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
}


@pytest.fixture(params=["engine", "noise"])
def either(request: pytest.FixtureRequest) -> Engine:
    """The shipped model and one of random weights."""
    chosen: Engine = request.getfixturevalue(request.param)
    return chosen


@pytest.mark.parametrize("temperature", [0.0, 1.5])
@pytest.mark.parametrize("seed", range(3))
def test_json_by_an_unseen_schema(either: Engine, temperature: float, seed: int) -> None:
    """Keys, types, bounds and enums are those of the schema, also hot and on random weights."""
    constraint = either.constraint.json_schema(UNSEEN)
    generation = either.generate(
        USER, None, options(constraint=constraint, temperature=temperature, seed=seed, max_tokens=400)
    )
    value = json.loads(text(generation))
    assert generation.finish_reason == "stop"
    assert list(value) == ["city", "days", "tags", "hotel", "near"]
    assert isinstance(value["city"], str)
    assert len(value["city"]) <= 120
    assert 1 <= value["days"] <= 30
    assert set(value["tags"]) <= {"food", "art", "nature"}
    assert value["hotel"] in {True, False, None}
    assert list(value["near"]) == ["name"]


@pytest.mark.parametrize("seed", range(3))
def test_any_json_object(either: Engine, seed: int) -> None:
    """JSON mode gives an object, if there are tokens enough to end it."""
    constraint = either.constraint.json_object()
    generation = either.generate(USER, None, options(constraint=constraint, temperature=1.0, seed=seed, max_tokens=400))
    answer = text(generation)
    assert answer.startswith("{")
    assert generation.finish_reason == "length" or isinstance(json.loads(answer), dict)


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_one_of_the_labels(either: Engine, temperature: float) -> None:
    """A choice gives exactly one of the labels, whatever they are made of."""
    labels = ["travel", "travel agency", 'Ärger & "so"', "<|end|>", "other\nthings"]
    for seed in range(10):
        constraint = either.constraint.choice(labels)
        generation = either.generate(USER, None, options(constraint=constraint, temperature=temperature, seed=seed))
        assert text(generation) in labels
        assert generation.finish_reason == "stop"


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_a_required_call(either: Engine, temperature: float) -> None:
    """At least one call comes, of a declared tool, with arguments by its schema."""
    constraint = either.constraint.tools([WEATHER, ATTRACTIONS], "required")
    generation = either.generate(
        USER, [WEATHER, ATTRACTIONS], options(constraint=constraint, temperature=temperature, seed=1, max_tokens=500)
    )
    made = calls(generation)
    assert made
    if generation.finish_reason == "length":
        made.pop()
    for name, arguments in made:
        keys = {"get_weather": ["location", "date"], "search_attractions": ["location", "weather"]}
        assert list(json.loads(arguments)) == keys[name]


def test_one_call(either: Engine) -> None:
    """Without parallel calls there is one, of the one tool that is left."""
    constraint = either.constraint.tools([ATTRACTIONS], "required", parallel=False)
    generation = either.generate(USER, [WEATHER, ATTRACTIONS], options(constraint=constraint, max_tokens=400))
    assert [name for name, _ in calls(generation)] == ["search_attractions"]
    assert generation.finish_reason == "tool_calls"


def test_the_model_decides_to_call(engine: Engine) -> None:
    """With "auto" the shipped model calls a tool where one is needed, and only the declared one."""
    copies = dict.fromkeys(("get_weather.location", "get_weather.date"), str(USER[0]["content"]))
    generation = engine.generate(USER, [WEATHER], options(constraint=engine.constraint.tools([WEATHER], copies=copies)))
    assert calls(generation) == [("get_weather", '{"location": "Lisbon", "date": "14 May"}')]
    assert generation.finish_reason == "tool_calls"


def test_without_tools_there_are_no_calls(noise: Engine) -> None:
    """Where no tools are declared, none can be called, however hot the sampling."""
    for seed in range(5):
        assert calls(noise.generate(USER, None, options(temperature=2.0, seed=seed, max_tokens=50))) == []


def test_a_tool_without_parameters(noise: Engine) -> None:
    """Its arguments are an empty object."""
    tool = {"type": "function", "function": {"name": "now"}}
    constraint = noise.constraint.tools([tool], "required", parallel=False)
    assert calls(noise.generate(USER, [tool], options(constraint=constraint))) == [("now", "{}")]


def test_a_schema_may_hold_the_text_beside_tools(noise: Engine) -> None:
    """Either a call comes first, or the whole text follows the schema."""
    constraint = noise.constraint.tools(
        [WEATHER], "auto", answer=noise.constraint.json_schema({"type": "object", "properties": {"a": {"const": 1}}})
    )
    for seed in range(6):
        generation = noise.generate(USER, [WEATHER], options(constraint=constraint, temperature=1.0, seed=seed))
        pieces = list(generation)
        spoken = "".join(getattr(piece, "text", "") for piece in pieces)
        assert generation.finish_reason in {"length", "tool_calls"} or json.loads(spoken) in ({}, {"a": 1})


def test_a_cut_answer_says_so(noise: Engine) -> None:
    """Where max_tokens cuts a constrained answer, it is a prefix of a valid one and the reason is "length"."""
    constraint = noise.constraint.json_schema(UNSEEN)
    generation = noise.generate(USER, None, options(constraint=constraint, max_tokens=5))
    assert text(generation).startswith('{"city": "')
    assert generation.finish_reason == "length"


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


HOSTILE: dict[str, Any] = {
    "deep": nested(500),
    "wide": {"type": "object", "properties": {f"key{i}": {"type": "string"} for i in range(5000)}},
    "long": {"enum": ["x" * 1000 + str(i) for i in range(1000)]},
    "remote": {"$ref": "https://example.com/schema.json"},
    "file": {"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}, "required": ["a"]},
    "dangling": {"$ref": "#/$defs/nothing"},
    "unknown type": {"type": "banana"},
    "unsatisfiable": {"type": "string", "minLength": 5, "maxLength": 2},
    "no schema": {"type": "object", "properties": {"a": 1}},
    "the least of 64 bits": {"const": -(2**63)},
    "near the least of 64 bits": {"type": "object", "properties": {"a": {"enum": [[{"b": 100 - 2**63}]]}}},
    "between numbers near it": {"type": "integer", "minimum": -(2**63), "maximum": 2 - 2**63},
    "no list": {"type": "object", "properties": ["a"]},
    "unknown keyword": {"type": "object", "properties": {"a": {"not": {"type": "string"}}}, "required": ["a"]},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_cannot_be_followed_is_refused(noise: Engine, name: str) -> None:
    """Huge, deep, remote, contradictory and unknown schemas are refused; nothing is fetched."""
    with pytest.raises(InvalidSchema):
        noise.constraint.json_schema(HOSTILE[name])


@pytest.mark.parametrize(
    "schema", [{"$ref": "#"}, {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}]
)
def test_a_schema_that_is_only_a_reference_to_itself_says_so(noise: Engine, schema: dict[str, Any]) -> None:
    """In words of ours: no value can ever be begun."""
    with pytest.raises(InvalidSchema, match="no value is valid"):
        noise.constraint.json_schema(schema)


def test_the_bounds_of_64_bits_are_bounds(noise: Engine) -> None:
    """Schemas made of a language's integers have them; a default is only told."""
    schema = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1, "default": -(2**63)}
    assert noise.constraint.json_schema(schema) is not None


@pytest.mark.parametrize("labels", [[], [""], ["x"] * 2000])
def test_labels_that_cannot_be_chosen_from(noise: Engine, labels: list[str]) -> None:
    """No labels, empty ones and too many are refused."""
    with pytest.raises(InvalidSchema):
        noise.constraint.choice(labels)


def test_no_tools_are_refused(noise: Engine) -> None:
    """Something must be there to call."""
    with pytest.raises(InvalidSchema, match="declared"):
        noise.constraint.tools([], "required")


def test_odd_keywords_in_a_tool_are_no_reason_to_refuse_it(noise: Engine) -> None:
    """Clients declare tools with keywords that we cannot hold the model to; the rest is held."""
    schema = {
        "type": "object",
        "properties": {"tags": {"type": "array", "items": {"enum": ["a"]}, "uniqueItems": True, "maxItems": 1}},
        "required": ["tags"],
    }
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    constraint = noise.constraint.tools([tool], "required", parallel=False)
    ((_, arguments),) = calls(noise.generate(USER, [tool], options(constraint=constraint)))
    assert json.loads(arguments)["tags"] in ([], ["a"])
