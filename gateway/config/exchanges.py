"""What is kept of answers: for who asks once more under the same Idempotency-Key, and in caches of models."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from gateway.config.fields import Name, Section

MB = 1024 * 1024
Megabytes = Annotated[float, Field(gt=0, le=1024, allow_inf_nan=False)]


class IdempotencyEntry(Section):
    """How long answers are kept under an Idempotency-Key, and how much of them."""

    keep_seconds: Annotated[float, Field(ge=1, le=7 * 86_400)] = 86_400
    linger_seconds: Annotated[float, Field(ge=0, le=3600)] = 60
    """How long an answer goes on to be made when its client has left and nobody follows it."""
    max_mb: Megabytes = 1
    """How long an answer may be to be kept."""
    caller_mb: Megabytes = 64
    """How much is kept for one caller; the oldest go first."""

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.caller_mb < self.max_mb:
            raise ValueError(
                f"caller_mb is less than max_mb, and no answer of that is kept; write {self.max_mb:g} or more"
            )
        return self

    @property
    def max_bytes(self) -> int:
        """The longest answer that is kept."""
        return int(self.max_mb * MB)

    @property
    def caller_bytes(self) -> int:
        """How much is kept for a caller."""
        return int(self.caller_mb * MB)


class SemanticEntry(Section):
    """Who asks a cache the same in other words is given the same answer too."""

    model: Name
    """The model, or graph, that makes the embeddings by which questions are compared."""
    similarity: Annotated[float, Field(gt=0, le=1)] = 0.95
    """How alike two questions must be: the least cosine of their embeddings."""


class CacheEntry(Section):
    """The cache of a model: who asks the same again within its time is given the same answer."""

    ttl_seconds: Annotated[float, Field(ge=1, le=30 * 86_400)]
    shared: bool = False
    """Whether an answer that one key was given is given to others."""
    sampled: bool = False
    """Whether that holds too where several choices are asked for at a temperature above 0."""
    max_mb: Megabytes = 64
    """How much of it is kept; the oldest go first. An answer of more than a tenth of that is not."""
    semantic: SemanticEntry | None = None
    """Whether that holds for the same in other words."""

    @property
    def max_bytes(self) -> int:
        """How much is kept."""
        return int(self.max_mb * MB)
