"""Rules about a text as a whole: how long it is, and in what form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from guardrails.automaton import Machine, Program, Scan
from guardrails.automaton.patterns import add_pattern
from guardrails.rule import LengthRule, TextRule
from guardrails.verdict import Action
from llm.json_schema import Schema


def length(
    most: int, *, name: str = "length", action: Action = "refuse", message: str = "", least: int = 1
) -> LengthRule:
    """At most so many characters.

    Raises:
        ValueError: when not even one is allowed.
    """
    if most < least:
        raise ValueError("a text may have at least one character; say a larger most")
    return LengthRule(name, message or f"The text is longer than {most} characters.", action, most=most)


def json_schema(
    schema: Mapping[str, Any], *, name: str = "json_schema", action: Action = "refuse", message: str = ""
) -> TextRule:
    """JSON that a schema describes, and nothing around it.

    Raises:
        ValueError: when it is no schema.
    """
    compiled = Schema.of(schema)

    def look(text: str) -> str:
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            return f"It is not JSON: {error}."
        return " ".join(f"{fault}." for fault in compiled.faults(value))

    return TextRule(name, message or "The text does not fit the schema.", action, look=look, of_form=True)


def form(expression: str, *, name: str = "form", action: Action = "refuse", message: str = "") -> TextRule:
    """A text all of which a regular expression matches.

    Raises:
        PatternRefused: when it is none of those that take time in proportion to the text.
    """
    program = Program()
    add_pattern(program, rf"\A(?:{expression})\Z", 0)
    machine = Machine(program)

    def look(text: str) -> str:
        scan = Scan(machine)
        matches = scan.feed(text) + scan.end()
        fits = any(match.start == 0 and match.end == len(text) for match in matches)
        return "" if fits else f"It must match {expression}"

    return TextRule(name, message or "The text has not the form that is asked for.", action, look=look, of_form=True)
