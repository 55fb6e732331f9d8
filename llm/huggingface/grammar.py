"""Grammars: holds an answer to labels, JSON, a JSON Schema or tool calls, token by token, by llguidance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

from llguidance import LLMatcher

from llm.chat import ChatRequest, ToolChoice
from llm.errors import InvalidRequest
from llm.grammar import LENIENT, WRITTEN, bias_of, call_rules, compiled, json_rule, literal
from llm.huggingface.forms import form_of
from llm.schema_cost import UnusableGrammar

NONE: Mapping[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
"""The schema of a function's arguments that has none."""
APPLICATORS = frozenset({"$ref", "allOf", "anyOf", "oneOf", "patternProperties", "additionalProperties"})


class Guide:
    """Follows one answer: which ids may come next, once something holds it.

    Args:
        held: what the answer is held to from its first token on.
        opening: the id that opens a tool call; None where it is not one token.
        calls: what the answer is held to from that token on; None where none may be called.
    """

    def __init__(self, held: LLMatcher | None, opening: int | None = None, calls: LLMatcher | None = None) -> None:
        self._held = held
        self._opening = opening
        self._calls = calls

    def narrow(self, torch: Any, logits: Any) -> Any:
        """Logits, of shape (vocabulary,), with minus infinity for what may not come next.

        Raises:
            InvalidRequest: when the grammar proves too complex to follow.
        """
        if self._held is not None:
            with _refused("response_format"):
                allowed = torch.frombuffer(bytearray(bias_of(self._held)), dtype=torch.uint8)[: len(logits)]
            return logits.masked_fill(allowed.to(logits.device) == 0, float("-inf"))
        if self._calls is None and self._opening is not None:
            logits = logits.clone()
            logits[self._opening] = float("-inf")
        return logits

    def advance(self, token: int) -> None:
        """Takes note of the id that was chosen."""
        if self._held is None and self._calls is not None and token == self._opening:
            self._held = self._calls
        if self._held is not None:
            self._held.consume_token(token)


class Grammars:
    """Compiles grammars for the vocabulary of one tokenizer.

    Args:
        tokenizer: a fast tokenizer of transformers'.
        vocabulary: how many ids the model has.
        ends: those that end an answer.
    """

    def __init__(self, tokenizer: Any, vocabulary: int, ends: frozenset[int]) -> None:
        from llguidance.hf import from_tokenizer  # noqa: PLC0415 - imports transformers

        self._ids = tokenizer
        self._form = form_of(tokenizer.chat_template)
        self._opening = self._token(self._form.opening)
        self._tokenizer = from_tokenizer(tokenizer, n_vocab=vocabulary, eos_token=sorted(ends) or None)

    def guide(self, request: ChatRequest, choice: ToolChoice) -> Guide | None:
        """What an answer to this request is held to, from the start or from its first call on; None if to nothing.

        Raises:
            InvalidRequest: when a schema cannot be followed.
        """
        answer = list(_answer(request))
        if choice.required:
            return Guide(self._compile("tools", ["start: calls"], self._calls(choice)))
        if answer:
            return Guide(self._held(answer, choice))
        if self._opening is None:
            return None
        if choice.tools:
            return Guide(None, self._opening, self._compile("tools", ["start: calls"], self._calls(choice)))
        return Guide(None, self._opening) if request.parameters.get("tool_choice") == "none" else None

    def _held(self, answer: Sequence[str], choice: ToolChoice) -> LLMatcher:
        """An answer, or calls in its place where there are tools."""
        if not choice.tools:
            return self._compile("response_format", ["start: answer"], answer)
        return self._compile("response_format", ["start: answer | calls"], answer, self._calls(choice))

    def _calls(self, choice: ToolChoice) -> Iterator[str]:
        yield from self._form.rules(self._marker, parallel=choice.parallel)
        yield from call_rules(choice.functions, _arguments, self._form.arguments)

    def _marker(self, text: str) -> str:
        """In a rule: by its id where it is one token, else spelled."""
        token = self._token(text)
        return literal(text) if token is None else f"<[{token}]>"

    def _token(self, text: str) -> int | None:
        token: int | None = self._ids.convert_tokens_to_ids(text) if text else None
        return None if token == self._ids.unk_token_id else token

    def _compile(self, param: str, *rules: Iterable[str]) -> LLMatcher:
        with _refused(param):
            return compiled(self._tokenizer, chain(*rules))


def _answer(request: ChatRequest) -> Iterator[str]:
    """The rule ``answer``, where the request says what an answer in words is."""
    wanted = request.parameters.get("response_format", {})
    if request.labels:
        yield f"answer: {' | '.join(map(literal, request.labels))}"
    elif wanted.get("type", "text") != "text":
        schema = wanted.get("json_schema", {}).get("schema") or {"type": "object"}
        with _refused("response_format"):
            yield f"answer: {json_rule(schema)}"


def _arguments(name: str, function: Mapping[str, Any]) -> Iterator[str]:
    """The rule of a function's arguments: what it does not declare is not given; with ``strict`` nothing of its schema
    is passed over."""
    schema = {"type": "object", **(function.get("parameters") or NONE)}
    if not APPLICATORS.intersection(schema):
        schema["additionalProperties"] = False
    yield f"{name}: {json_rule(schema, WRITTEN if function.get('strict') else LENIENT)}"


@contextmanager
def _refused(param: str) -> Iterator[None]:
    try:
        yield
    except UnusableGrammar as error:
        message = f"This model cannot follow this schema: {error}"
        raise InvalidRequest(message, param=param, code="invalid_json_schema") from error
