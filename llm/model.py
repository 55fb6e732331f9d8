"""Model: one model of one provider. LLModel: the same with a prompt artifact in front of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from llm.chat import ChatChunk, ChatRequest, Message
from llm.price import Price
from llm.provider import ModelProvider
from llm.tokens import CHARACTERS, TIKTOKEN, TokenCounter
from llm.usage import Usage
from prompts import InvalidPrompt, LLMPromptArtifact


@dataclass(frozen=True, slots=True)
class Model:
    """One model of one provider, under the name that the gateway serves it by."""

    name: str
    provider: ModelProvider
    upstream: str
    """What the provider calls it."""
    price: Price | None = None
    """What it costs; None when nobody has said."""
    counter: TokenCounter | None = None
    """Who counts where the provider reports no usage; by default the provider, if it can, or else tiktoken."""

    async def count(self, request: ChatRequest, answer: str) -> Usage:
        """What a call of it that nobody reported on had in tokens, marked as estimated.

        ``answer`` is the texts, thoughts, and names and arguments of tool calls in it. No text holds up the event loop.
        """
        own = self.provider if isinstance(self.provider, TokenCounter) else TIKTOKEN
        try:
            counted = await (self.counter or own).count(self.upstream, request, answer)
        except Exception:  # of a tokenizer or a template, each has its own
            counted = CHARACTERS.count_now(request, len(answer))
        return replace(counted, estimated=True)

    def usd(self, usage: Usage) -> float | None:
        """What a call of this usage costs in US dollars; None when nobody has said what the model costs."""
        return None if self.price is None else self.price.usd(usage)

    def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """The answer, chunk by chunk; see :meth:`ModelProvider.stream`."""
        return self.provider.stream(self.upstream, request)


@dataclass(frozen=True, slots=True)
class LLModel:
    """A model with a prompt: the artifact's messages stand before the conversation, its config fills the parameters."""

    model: Model
    artifact: LLMPromptArtifact

    def filled_by(self, *fields: str) -> Self:
        """Itself, for a step that fills these fields of the prompt and no others.

        Raises:
            InvalidPrompt: when the prompt needs another one.
        """
        missing = sorted(self.artifact.needs - set(fields))
        if missing:
            here = f"here {', '.join(fields)} can be used" if fields else "here nothing can be filled in"
            raise InvalidPrompt(f"prompt '{self.artifact.name}' needs '{missing[0]}'; {here}")
        return self

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
