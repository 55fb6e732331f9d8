"""Grammars: holds an answer to labels, JSON, or a JSON Schema, token by token, by llguidance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from llguidance import LLMatcher, LLParserLimits

from llm.errors import InvalidRequest

LIMITS: Mapping[str, Any] = {
    "initial_lexer_fuel": 200_000,
    "step_lexer_fuel": 100_000,
    "step_max_items": 20_000,
    "max_lexer_states": 20_000,
    "max_grammar_size": 50_000,
    "verbose_errors": False,
}
WRITTEN: Any = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}


class Grammars:
    """Compiles grammars for the vocabulary of one tokenizer. Every method raises InvalidRequest."""

    def __init__(self, tokenizer: Any, vocabulary: int) -> None:
        from llguidance.hf import from_tokenizer  # noqa: PLC0415 - imports transformers

        self._tokenizer = from_tokenizer(tokenizer, n_vocab=vocabulary)

    def labels(self, labels: Sequence[str]) -> LLMatcher:
        """Exactly one of the labels."""
        literals = " | ".join(json.dumps(label, ensure_ascii=False) for label in labels)
        return self._compile(LLMatcher.grammar_from_lark(f"start: {literals}"))

    def json(self, schema: Mapping[str, Any]) -> LLMatcher:
        """JSON that the schema accepts, with one space after commas and colons and none elsewhere, as a small model
        that may write as many as it likes may write nothing else."""
        try:
            return self._compile(LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=WRITTEN))
        except (ValueError, RecursionError) as error:
            raise _refused(str(error)) from error

    def _compile(self, grammar: str) -> LLMatcher:
        matcher = LLMatcher(self._tokenizer, grammar, limits=LLParserLimits(**LIMITS), log_level=0)
        if matcher.is_error():
            raise _refused(matcher.get_error())
        return matcher


def _refused(why: str) -> InvalidRequest:
    message = f"This model cannot follow this schema: {why.partition(chr(10))[0]}"
    return InvalidRequest(message, param="response_format", code="invalid_value")
