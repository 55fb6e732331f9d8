"""Grammars of llguidance, for every model that decodes in this process: their limits, JSON in them, tool calls."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from llm.schema_cost import SchemaCosts, UnusableGrammar

WRITTEN: Mapping[str, Any] = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}
"""How JSON is written: one space after commas and colons and none elsewhere, as a small model that may write as many as
it likes may write nothing else."""
LENIENT = {**WRITTEN, "lenient": True, "coerce_one_of": True}
"""The same, and keywords that cannot be followed are passed over."""
LIMITS: Mapping[str, Any] = {
    "initial_lexer_fuel": 200_000,
    "step_lexer_fuel": 100_000,
    "step_max_items": 20_000,
    "max_lexer_states": 20_000,
    "max_grammar_size": 50_000,
    "precompute_large_lexemes": False,
    "verbose_errors": False,
}


LEAST = -(10**18)
"""The least number of a schema that llguidance can follow: near -2^63 its stack ends, and the process with it."""
MINIMA, FIXED, TOLD = ("minimum", "exclusiveMinimum"), ("const", "enum"), ("default", "examples")


def compiled(tokenizer: LLTokenizer, rules: Iterable[str]) -> LLMatcher:
    """What follows a grammar of these lines in llguidance's Lark, tried once.

    Raises:
        UnusableGrammar: saying why.
    """
    grammar = LLMatcher.grammar_from_lark("\n".join(rules))
    matcher = LLMatcher(tokenizer, grammar, limits=LLParserLimits(**LIMITS), log_level=0)
    bias_of(matcher.deep_copy())
    return matcher


_PLACE, _QUOTED = re.compile(r"^at \d+\(\d+\): "), re.compile(r"\s*\d+ \| |<non-verbose")
"""How llguidance says where something stands in a grammar: before what is wrong, and below it."""
MAX_SAID = 300
"""How many characters of what is wrong are told."""
NOTHING_FITS = "NoExtensionBias"
"""What llguidance says of a grammar that accepts nothing, such as a schema that is a reference to itself."""


def bias_of(matcher: LLMatcher) -> bytes:
    """A byte for each id of the vocabulary, 0 where it may not come next.

    Raises:
        UnusableGrammar: when the grammar cannot go on.
    """
    bias: bytes = matcher.compute_logit_bias() if not matcher.is_error() else b""
    if matcher.is_error():
        said = _said(matcher.get_error())
        raise UnusableGrammar("no value is valid" if said == NOTHING_FITS else said)
    return bias


def _said(error: str) -> str:
    """What llguidance says is wrong, without the grammar that it quotes, which is ours."""
    lines = takewhile(lambda line: not _QUOTED.match(line), _PLACE.sub("", error).splitlines())
    return " ".join(line.strip() for line in lines if line.strip(" ^"))[:MAX_SAID]


def literal(text: str) -> str:
    """A text as a string of a grammar."""
    return json.dumps(text, ensure_ascii=False)


def json_rule(schema: Mapping[str, Any] | bool, options: Mapping[str, Any] = WRITTEN) -> str:
    """JSON that a schema accepts, as the right side of a rule.

    Raises:
        UnusableGrammar: when it is nested too deeply, takes too long to be compiled, accepts nothing, or needs numbers
            below :data:`LEAST`.
    """
    SchemaCosts().add(schema)
    if schema is False:
        raise UnusableGrammar("no value is valid")
    accepted = {} if schema is True else schema
    try:
        return f"%json {json.dumps({**_followable(accepted), 'x-guidance': dict(options)})}"
    except RecursionError as error:
        raise UnusableGrammar("the schema is nested too deeply") from error


def _followable(value: Any, key: str = "") -> Any:
    """A schema, or a part of one under that key, with minima that can be followed."""
    if isinstance(value, Mapping):
        return {name: _followable(item, key if key in FIXED else name) for name, item in value.items()}
    if isinstance(value, list):
        return [_followable(item, key) for item in value]
    if not isinstance(value, int | float) or value >= LEAST or key in TOLD:
        return value
    if key in MINIMA:
        return LEAST
    raise UnusableGrammar(f"numbers below {LEAST} cannot be followed")


def call_rules(
    functions: Sequence[Mapping[str, Any]],
    arguments: Callable[[str, Mapping[str, Any]], Iterable[str]],
    key: str = "arguments",
) -> Iterator[str]:
    """The rule ``call``, ``{"name": …, "arguments": …}`` of one of the functions, and those that it needs.

    Args:
        arguments: makes the rules of a function's arguments, given the name that the first of them must have.
        key: what the model calls the arguments.

    Raises:
        UnusableGrammar: when all of them together take too long to be compiled.
    """
    costs = SchemaCosts()
    for function in functions:
        costs.add(function.get("parameters"))
    yield "call: " + " | ".join(f"call{index}" for index in range(len(functions)))
    for index, function in enumerate(functions):
        opening = literal(f'{{"name": {json.dumps(function["name"])}, "{key}": ')
        yield f'call{index}: {opening} arguments{index} "}}"'
        yield from arguments(f"arguments{index}", function)
