"""Copies: whatever the weights prefer, they are whole words of their text, and the JSON around them is valid."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import pytest

from llm.embedded import Constraint, Engine
from llm.embedded.constraint import Guide
from llm.embedded.copying import MAX_COPY, MAX_SOURCE
from llm.embedded.template import Special
from llm.embedded.training.calls import verdict_schema
from llm.embedded.training.corpus import requests
from llm.embedded.training.corpus.tasks.judging import judging
from tests.llm.embedded.conftest import ATTRACTIONS, WEATHER, calls, options, text

REQUEST = 'Plan a trip to Rio de Janeiro for 12 - 15 May, then L\'Aquila; maybe "next Friday"?'
EVIDENCE = 'get_weather: {"location": "Zürich", "date": "2031-10-16", "condition": "hot and dry", "temp_c": 21}'
ODD = (
    'a "quoted" place, https://x.yz/a#b // {c} %json\\n \\"escaped\\"'
    ' {"x": "São\tPaulo"}\r\n\x00\x7f \u2028 \U0001f5fc Tokyo\U0001f600! \ud83d '
)
COPIES = ["asked_place", "found_place", "asked_date", "found_date"]
PLACE: dict[str, Any] = {
    "type": "object",
    "properties": {"place": {"type": "string"}},
    "required": ["place"],
    "additionalProperties": False,
}


def may_say(engine: Engine, constraint: Constraint, answer: str) -> bool:
    """Whether the constraint lets a model give this answer, and end it there."""
    guide = Guide(constraint, engine.tokenizer)
    for token in [*engine.tokenizer.encode(answer), engine.tokenizer.special[Special.END]]:
        if not guide.allowed()[token]:
            return False
        guide.advance(token)
    return True


def wandering(engine: Engine, constraint: Constraint, seed: int) -> str:
    """An answer of tokens drawn evenly from those that are allowed: the worst that weights can do."""
    random, guide, said = np.random.default_rng(seed), Guide(constraint, engine.tokenizer), b""
    for _ in range(1000):
        token = int(random.choice(np.flatnonzero(guide.allowed())))
        if token == engine.tokenizer.special[Special.END]:
            return said.decode("utf-8")
        guide.advance(token)
        said += engine.tokenizer.bytes[token]
    raise AssertionError("the answer has no end")


def is_copy(value: str, source: str) -> bool:
    """It stands in the text, begins with a letter or digit, and cuts no word in two."""
    ends = [(start, start + len(value)) for start in range(len(source)) if source.startswith(value, start)]
    cuts = [_joined(source, start) or _joined(source, end) for start, end in ends]
    return value[0].isalnum() and value == value.strip() and not all(cuts)


def _joined(source: str, at: int) -> bool:
    return source[:at][-1:].isalnum() and source[at:][:1].isalnum()


@pytest.mark.parametrize("source", [REQUEST, EVIDENCE, ODD, "Oslo", "x" * 200 + " y"])
def test_a_verdict_copies_whole_words(noise: Engine, source: str) -> None:
    """Or nothing, if nothing was asked or found; the score is within bounds, the reason free."""
    constraint = noise.constraint.json_schema(verdict_schema(COPIES), dict.fromkeys(COPIES, source))
    for seed in range(25):
        verdict = json.loads(wandering(noise, constraint, seed))
        assert list(verdict) == [*COPIES, "score", "reason"]
        assert all(is_copy(verdict[name], source) for name in COPIES if verdict[name])
        assert 1 <= verdict["score"] <= 5


def test_each_copy_has_a_text_of_its_own(noise: Engine) -> None:
    """What was asked comes from the request, what was found from the evidence."""
    texts = {name: REQUEST if name.startswith("asked") else EVIDENCE for name in COPIES}
    constraint = noise.constraint.json_schema(verdict_schema(COPIES), texts)
    for seed in range(25):
        verdict = json.loads(wandering(noise, constraint, seed))
        assert all(is_copy(verdict[name], source) for name, source in texts.items() if verdict[name])


@pytest.mark.parametrize("temperature", [0.0, 1.5])
@pytest.mark.parametrize("source", [REQUEST, ODD])
def test_arguments_of_a_call_are_copies(noise: Engine, temperature: float, source: str) -> None:
    """They are never empty. Tools whose arguments are not said to be copies stay free."""
    names = ["get_weather.location", "get_weather.date", "search_attractions.location"]
    constraint = noise.constraint.tools([WEATHER, ATTRACTIONS], "required", copies=dict.fromkeys(names, source))
    prompt = [{"role": "user", "content": "x"}]
    copied = 0
    for seed in range(6):
        generation = noise.generate(
            prompt, None, options(constraint=constraint, temperature=temperature, seed=seed, max_tokens=400)
        )
        made = calls(generation)
        for name, arguments in made[: len(made) - (generation.finish_reason == "length")]:
            given = json.loads(arguments)
            values = [given[key] for key in given if f"{name}.{key}" in names]
            assert all(is_copy(value, source) for value in values)
            copied += len(values)
    assert copied


@pytest.mark.parametrize(
    "value",
    [
        *("Rio de Janeiro", "12 - 15 May", "L'Aquila", "2031-10-16", "next Friday", "Tuesday 25 Aug", "St. John's"),
        *("Washington D.C.", "São Paulo", "Zürich", "Zu\u0308rich", "hot and dry", "Sept. 3"),
        *("Paris (Texas)", "東京", "5/23", "mostly sunny"),
    ],
)
def test_what_is_worth_copying_can_be_copied(noise: Engine, value: str) -> None:
    """Names of several words, dates in figures, apostrophes, accents; in quotes, and before an 's."""
    for source in (f'I go to "{value}"! Yes.', f"{value}'s, or so"):
        constraint = noise.constraint.json_schema(PLACE, {"place": source})
        assert may_say(noise, constraint, json.dumps({"place": value}, ensure_ascii=False))


VALUES = ["Port Allen", "14 May", 'the "Ritz" \\ co', "a\nb", "", "x" * (MAX_COPY + 1), "half \ud83d", "partly cloudy"]


def test_of_several_values_one_is_chosen(noise: Engine) -> None:
    """As a whole, whatever is in it; what is empty, too long or no text is none."""
    constraint = noise.constraint.json_schema(PLACE, {"place": VALUES})
    found = {json.loads(wandering(noise, constraint, seed))["place"] for seed in range(60)}
    assert found == {"", "Port Allen", "14 May", 'the "Ritz" \\ co', "a\nb", "partly cloudy"}
    tool = {"type": "function", "function": {"name": "go", "parameters": PLACE}}
    called = noise.constraint.tools([tool], "required", parallel=False, copies={"go.place": VALUES})
    ((_, arguments),) = calls(noise.generate([], [tool], options(constraint=called)))
    assert json.loads(arguments)["place"] in found - {""}


@pytest.mark.parametrize(
    ("value", "source"),
    [("s", "what's on"), ("en-Provence", "in Aix-en-Provence"), ("12/11", "on 12/11/2026"), ("Aquila", "L'Aquila")],
)
def test_what_belongs_together_is_not_cut(noise: Engine, value: str, source: str) -> None:
    """A copy does not begin behind an apostrophe, and takes compounds and dates as a whole."""
    assert not may_say(noise, noise.constraint.json_schema(PLACE, {"place": source}), json.dumps({"place": value}))


@pytest.mark.parametrize(
    "value",
    ["Tokyok", "Toky", "oky", " Tokyo", "Tokyo ", "tokyo", "Tokyo,", "Tokyo to", "-", "From.", "Tokyo, - 3 May. Go"],
)
def test_nothing_else_can_be_said(noise: Engine, value: str) -> None:
    """No parts of words, no words beside each other that are not, no blanks and commas at an end."""
    constraint = noise.constraint.json_schema(PLACE, {"place": "From Tokyo, - 3 May. Good"})
    assert may_say(noise, constraint, '{"place": "Tokyo"}')
    assert may_say(noise, constraint, '{"place": ""}')
    assert not may_say(noise, constraint, json.dumps({"place": value}))


@pytest.mark.parametrize("source", ["", "\U0001f5fc ?!", '""', "x" * (MAX_COPY + 1), [], [""]])
def test_where_there_is_nothing_to_copy_the_value_is_free(noise: Engine, source: str | list[str]) -> None:
    """A text without words holds nobody to anything, nor do no values."""
    assert may_say(noise, noise.constraint.json_schema(PLACE, {"place": source}), '{"place": "Oslo"}')


def test_of_a_long_text_the_end_counts(noise: Engine) -> None:
    """What stands further back cannot be copied, and no copy is longer than a limit; nor by one half-cut word."""
    source = "first " + "halfcut" * (MAX_SOURCE // 7) + " a" * 50 + " last"
    constraint = noise.constraint.json_schema(PLACE, {"place": source})
    answers = {value: may_say(noise, constraint, json.dumps({"place": value})) for value in ("first", "last", "a a")}
    assert answers == {"first": False, "last": True, "a a": True}
    longest = "a " * (MAX_COPY // 2 - 1) + "a"
    assert may_say(noise, constraint, json.dumps({"place": longest}))
    assert not may_say(noise, constraint, json.dumps({"place": longest + " a"}))


def test_a_schema_may_ask_for_less(noise: Engine) -> None:
    """A length is kept, an enum is kept, and what need not be there need not be there."""
    schema = {
        "type": "object",
        "properties": {
            "note": {"type": "string", "maxLength": 6},
            "kind": {"type": "string", "enum": ["hotel", "hostel"]},
            "place": {"type": "string", "maxLength": 6},
            "days": {"$ref": "#/$defs/days"},
        },
        "required": ["place"],
        "$defs": {"days": {"type": "integer", "minimum": 1, "maximum": 9}},
    }
    constraint = noise.constraint.json_schema(schema, {"place": "Rio de Janeiro", "kind": "Oslo"})
    found = [json.loads(wandering(noise, constraint, seed)) for seed in range(40)]
    assert {value["place"] for value in found} == {"Rio", "Rio de", "de", ""}
    assert {value.get("kind") for value in found} == {"hotel", "hostel", None}
    assert {tuple(value) for value in found} >= {("place",), ("note", "kind", "place", "days"), ("kind", "place")}
    assert all(1 <= value.get("days", 1) <= 9 and len(value.get("note", "")) <= 6 for value in found)


@pytest.mark.parametrize("keys", [['Läng "e\\'], ["a b", "{", "%json"]])
def test_names_of_properties_may_be_odd(noise: Engine, keys: Sequence[str]) -> None:
    """They stand in the answer as they are."""
    schema = {"type": "object", "properties": {key: {"type": "string"} for key in keys}, "required": keys}
    constraint = noise.constraint.json_schema(schema, dict.fromkeys(keys, "Oslo"))
    assert set(json.loads(wandering(noise, constraint, 1)).values()) <= {"Oslo", ""}


def test_a_schema_that_is_no_plain_object_is_followed_all_the_same(noise: Engine) -> None:
    """Copies are held to be that in flat objects only."""
    for schema in ({"anyOf": [PLACE, {"const": 1}]}, {"type": "object"}, {"type": "array", "items": PLACE}):
        constraint = noise.constraint.json_schema(schema, {"place": "Oslo"})
        assert json.loads(wandering(noise, constraint, 3)) is not None


def test_what_the_corpus_teaches_to_copy_can_be_copied(noise: Engine) -> None:
    """Verdicts and first calls of the training can be given under the constraint, letter by letter."""
    random = Random("copies")
    for _ in range(40):
        made = judging(random)
        request, _, evidence = made.messages[-2]["content"].partition("\nEvidence:\n")
        verdict = made.facts["verdict"]
        found = [verdict["found_place"], verdict["found_date"], "something else"]
        texts = {name: request if name.startswith("asked") else found for name in COPIES}
        constraint = noise.constraint.json_schema(verdict_schema(COPIES), texts)
        assert may_say(noise, constraint, made.messages[-1]["content"]), (request, evidence)
        asked = requests.request(random, requests.kind(random))
        place = noise.constraint.json_schema(PLACE, {"place": asked.asked})
        for value in (asked.place, asked.date):
            assert may_say(noise, place, json.dumps({"place": value}, ensure_ascii=False)), asked.asked


def test_the_shipped_model_copies(engine: Engine) -> None:
    """A name that it has never seen comes out as it was typed."""
    place = "Xquirmblatz-sur-Vrontz"
    prompt = [{"role": "user", "content": f"Plan a trip to {place} on 14 May"}]
    constraint = engine.constraint.json_schema(PLACE, {"place": [place]})
    assert json.loads(text(engine.generate(prompt, None, options(constraint=constraint))))["place"] in {place, ""}
