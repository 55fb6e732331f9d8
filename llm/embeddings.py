"""Embeddings: texts as vectors, and who makes them (https://platform.openai.com/docs/api-reference/embeddings)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from llm.usage import Usage


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """What to embed: texts, or texts as token ids of the model's own vocabulary."""

    inputs: Sequence[str] | Sequence[Sequence[int]]
    parameters: dict[str, Any] = field(default_factory=dict)
    """Every other member as it was sent: ``dimensions``, ``user``, …"""


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
