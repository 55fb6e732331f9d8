"""ModelProvider: whoever can run models: an upstream API, the embedded model, a script."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from llm.chat import ChatChunk, ChatRequest


class ModelProvider(Protocol):
    """Whoever can run models. An answer that is not streamed is one chunk, or a few."""

    compares: bool
    """Whether its models can judge by comparing; where not, judges let them copy and compare in code."""

    def stream(self, model: str, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """The answer of ``model`` (the provider's own name for it), chunk by chunk.

        Closing the generator ends the work behind it at once. The last chunk carries the usage.

        Raises:
            ModelError: before the first chunk when nothing came, after it when the answer broke off.
        """
        ...

    async def start(self) -> None:
        """Makes ready what the first request would otherwise wait for."""
        ...

    async def close(self) -> None:
        """Gives back connections, threads and memory."""
        ...
