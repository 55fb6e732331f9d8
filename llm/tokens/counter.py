"""TokenCounter: whoever can say how many tokens a call had. CharacterCounter: the guess that is always there."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, runtime_checkable

from llm.chat import ChatRequest, text_of
from llm.usage import CHARACTERS_PER_TOKEN, Usage


@runtime_checkable
class TokenCounter(Protocol):
    """Whoever can count the tokens of a call. A provider that knows the tokenizers of its models is one too."""

    async def count(self, model: str, request: ChatRequest, answer: str) -> Usage:
        """What ``request`` and ``answer`` (texts, thoughts, tool calls, one after the other) have in tokens.

        It must not hold up the event loop: texts may be long. Whatever it raises, characters are counted instead.

        Args:
            model: the provider's own name for it.
        """
        ...


class CharacterCounter:
    """Four characters a token: the usual rule of thumb for English text, and far off for many others."""

    async def count(self, model: str, request: ChatRequest, answer: str) -> Usage:
        """See :meth:`TokenCounter.count`."""
        return self.count_now(request, len(answer))

    def count_now(self, request: ChatRequest, answered: int) -> Usage:
        """The same at once, for an answer of so many characters. Only the text of messages counts, and token ids."""
        ids = len(request.prompt) if isinstance(request.prompt, list) else 0
        asked = sum(len(text_of(message)) for message in request.messages)
        asked, answered = (-(-characters // CHARACTERS_PER_TOKEN) for characters in (asked, answered))
        return Usage.of(asked + ids, answered, estimated=True)


CHARACTERS = CharacterCounter()


async def counted(counter: TokenCounter, model: str, request: ChatRequest, answer: str) -> Usage:
    """What a counter says, marked as estimated; characters, where it fails."""
    try:
        usage = await counter.count(model, request, answer)
    except Exception:  # of a tokenizer or a template, each has its own
        usage = CHARACTERS.count_now(request, len(answer))
    return replace(usage, estimated=True)
