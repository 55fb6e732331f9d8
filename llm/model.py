"""Model: one model of one provider. LLModel: the same with a prompt artifact in front of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm.chat import ChatChunk, ChatCompletion, ChatRequest, Message, collect
from llm.provider import ModelProvider
from prompts import LLMPromptArtifact


@dataclass(frozen=True, slots=True)
class Model:
    """One model of one provider, under the name that the gateway serves it by."""

    name: str
    provider: ModelProvider
    upstream: str
    """What the provider calls it."""

    def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """The answer, chunk by chunk; see :meth:`ModelProvider.stream`."""
        return self.provider.stream(self.upstream, request)

    async def complete(self, request: ChatRequest) -> ChatCompletion:
        """The whole answer."""
        return await collect(self.stream(request))


@dataclass(frozen=True, slots=True)
class LLModel:
    """A model with a prompt: the artifact's messages stand before the conversation, its config fills the parameters."""

    model: Model
    artifact: LLMPromptArtifact

    def request(
        self, conversation: Sequence[Message] = (), body: Mapping[str, Any] | None = None, **parameters: Any
    ) -> ChatRequest:
        """The request that this prompt makes of ``conversation`` and the fields of ``body``.

        ``parameters`` go before those of the artifact's ``invocation_config``; a None takes one away.

        Raises:
            MissingVariable: when ``body`` lacks a field that the prompt needs.
        """
        messages = [*self.artifact.render(body), *conversation]
        config = {**self.artifact.invocation_config, **parameters}
        return ChatRequest(self.model.name, messages).having(**config)
