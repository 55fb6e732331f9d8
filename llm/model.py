"""Model: one model of one provider. LLModel: the same with a prompt artifact in front of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from llm.chat import ChatChunk, ChatRequest, Message
from llm.chat.request import Prompt
from llm.embeddings import EmbeddingProvider, EmbeddingRequest, Embeddings
from llm.errors import InvalidRequest
from llm.price import Price
from llm.provider import ModelProvider
from llm.tokens import TIKTOKEN, TokenCounter, counted
from llm.usage import Usage
from prompts import LivePrompt, LLMPromptArtifact


@dataclass(frozen=True, slots=True)
class Model:
    """One model of one provider, under the name that the gateway serves it by."""

    name: str
    provider: ModelProvider
    upstream: str
    """What the provider calls it."""
    repair: bool = False
    """Whether graphs have its JSON checked, and asked for once more where it is wrong (see :mod:`llm.repair`). A
    provider that decodes, and so holds a model to its schema, says ``constrains = True``, and is not checked."""
    price: Price | None = None
    """What it costs; None when nobody has said."""
    counter: TokenCounter | None = None
    """Who counts where the provider reports no usage; by default the provider, if it can, or else tiktoken."""

    @property
    def checks(self) -> bool:
        """Whether its JSON is to be checked."""
        return self.repair and not getattr(self.provider, "constrains", False)

    async def count(self, request: ChatRequest, answer: str) -> Usage:
        """What a call of it that nobody reported on had in tokens, marked as estimated.

        ``answer`` is the texts, thoughts, and names and arguments of tool calls in it. No text holds up the event loop.
        """
        own = self.provider if isinstance(self.provider, TokenCounter) else TIKTOKEN
        counter = self.counter or own
        if self.completes and request.prompt is not None and not request.gathered:
            return await self._count_raw(counter, request, request.prompt, answer)
        return await counted(counter, self.upstream, request, answer)

    async def _count_raw(self, counter: TokenCounter, request: ChatRequest, prompt: Prompt, answer: str) -> Usage:
        """What a raw prompt and what follows it have: no messages are around them."""
        text, ids = (prompt, 0) if isinstance(prompt, str) else ("", len(prompt))
        if request.parameters.get("echo"):
            answer = answer.removeprefix(text)
        blank = ChatRequest(self.name, [])
        asked, said = [
            (await counted(counter, self.upstream, blank, written)).completion_tokens
            for written in (text + (request.parameters.get("suffix") or ""), answer)
        ]
        return Usage.of(asked + ids, said, estimated=True)

    def usd(self, usage: Usage) -> float | None:
        """What a call of this usage costs in US dollars; None when nobody has said what the model costs."""
        return None if self.price is None else self.price.usd(usage)

    @property
    def routes(self) -> bool:
        """Whether several stand behind it, and its provider notes in a :class:`~llm.trail.Trail` whom it asks."""
        return getattr(self.provider, "routes", False)

    @property
    def completes(self) -> bool:
        """Whether its provider goes on with raw prompts; where not, it chats about them."""
        return bool(getattr(self.provider, "completes", False))

    def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """The answer of one turn, chunk by chunk, as it is; see :meth:`ModelProvider.stream`.

        Raises:
            InvalidRequest: when a raw prompt cannot be asked of a provider that only chats.
        """
        return self.provider.stream(self.upstream, request if self.completes else request.as_chat())

    @property
    def context_length(self) -> int | None:
        """How many tokens a request and its answer may have together; None where its provider does not know, or not
        before it has started."""
        return getattr(self.provider, "context_length", None)

    @property
    def embeds(self) -> bool:
        """Whether it may be able to make embeddings: its provider can."""
        return isinstance(self.provider, EmbeddingProvider)

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        """The vectors of some texts. Where the provider reports no usage, their tokens are counted.

        Raises:
            InvalidRequest: when its provider makes none.
            ModelError: what the provider raises.
        """
        if not isinstance(self.provider, EmbeddingProvider):
            message = f"The model `{self.name}` does not make embeddings."
            raise InvalidRequest(message, param="model", code="unsupported_value")
        made = await self.provider.embed(self.upstream, request)
        if made.usage.total_tokens:
            return made
        texts = [text for text in request.inputs if isinstance(text, str)]
        tokens = sum(len(ids) for ids in request.inputs if not isinstance(ids, str))
        counted = await self.count(ChatRequest(self.name, []), "\n".join(texts)) if texts else Usage()
        return replace(made, usage=Usage.of(counted.completion_tokens + tokens, 0, estimated=True))


@dataclass(frozen=True, slots=True)
class LLModel:
    """A model with a prompt: the artifact's messages stand before the conversation, its config fills the parameters."""

    model: Model
    prompt: LLMPromptArtifact | LivePrompt
    """The prompt itself, or its name in a store, which then says at each request which version is in force."""

    @property
    def artifact(self) -> LLMPromptArtifact:
        """The prompt in force now."""
        return self.prompt.current

    def filled_by(self, *fields: str) -> Self:
        """Itself, for a step that fills these fields of the prompt and no others.

        Raises:
            InvalidPrompt: when the prompt needs another one.
        """
        self.prompt.filled_by(*fields)
        return self

    def request(
        self, conversation: Sequence[Message] = (), body: Mapping[str, Any] | None = None, **parameters: Any
    ) -> ChatRequest:
        """The request that this prompt makes of ``conversation`` and the fields of ``body``.

        ``parameters`` go before those of the artifact's ``invocation_config``; a None takes one away.

        Raises:
            MissingVariable: when ``body`` lacks a field that the prompt needs.
        """
        artifact = self.artifact
        messages = [*artifact.render(body), *conversation]
        return ChatRequest(self.model.name, messages).having(**{**artifact.invocation_config, **parameters})
