"""Embeddings: texts as vectors, and who makes them (https://platform.openai.com/docs/api-reference/embeddings)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, runtime_checkable

from llm.chat.validation import Check, array_of, integer, missing, of_type, one_of, wrong_type
from llm.errors import InvalidRequest
from llm.trail import Trail
from llm.usage import CHARACTERS_PER_TOKEN, Usage

MAX_INPUTS = 2048
TAKEN_APART = frozenset({"model", "input", "encoding_format"})
MAX_ID = 2**31 - 1
"""The largest id of a token that is believed."""


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """What to embed: texts, or texts as token ids; of the model's own vocabulary, unless its provider says which."""

    inputs: Sequence[str] | Sequence[Sequence[int]]
    parameters: dict[str, Any] = field(default_factory=dict)
    """Every other member as it was sent: ``dimensions``, ``user``, …"""
    trail: Trail | None = None
    """See :attr:`ChatRequest.trail`."""

    @property
    def estimated(self) -> Usage:
        """About what reading it costs."""
        tokens = (-(-len(each) // CHARACTERS_PER_TOKEN) if isinstance(each, str) else len(each) for each in self.inputs)
        return Usage.of(sum(tokens), 0, estimated=True)

    @classmethod
    def from_wire(cls, body: Mapping[str, Any]) -> Self:
        """The request in a body, whose ``model`` and ``encoding_format`` are the gateway's.

        Raises:
            InvalidRequest: naming the member that is wrong, in OpenAI's words and with OpenAI's code.
        """
        given = {name: value for name, value in body.items() if value is not None}
        if "input" not in given:
            raise missing("input")
        for name, check in CHECKS.items():
            if name in given:
                check(name, given[name])
        others = {name: value for name, value in given.items() if name not in TAKEN_APART}
        return cls(_inputs(given["input"]), others)


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector for each input, in their order."""

    vectors: list[list[float]]
    usage: Usage


@runtime_checkable
class EmbeddingProvider(Protocol):
    """A provider whose models embed. Not every provider is one: ask with ``isinstance``."""

    async def embed(self, model: str, request: EmbeddingRequest) -> Embeddings:
        """The vectors of ``model`` (the provider's own name for it).

        Raises:
            ModelError: when they cannot be made.
        """
        ...


_TOKENS = array_of(integer(0, MAX_ID), least=1)
CHECKS: Mapping[str, Check] = {
    "encoding_format": one_of("float", "base64"),
    "dimensions": integer(1),
    "user": of_type(str),
}


def _inputs(given: Any) -> Sequence[str] | Sequence[Sequence[int]]:
    """The texts, or lists of token ids, of an ``input`` that is one of these or several."""
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list):
        raise wrong_type("input", "a string or an array", given)
    if given and type(given[0]) is int:
        given = [given]
    kind = str if given and isinstance(given[0], str) else list
    array_of(of_type(str) if kind is str else _TOKENS, MAX_INPUTS, least=1)("input", given)
    for index, value in enumerate(given):
        if not value:
            raise InvalidRequest(f"Invalid 'input[{index}]': it is empty.", param="input", code="invalid_value")
    inputs: list[Any] = given
    return inputs
