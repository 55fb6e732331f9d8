"""Price: what a model costs in money."""

from __future__ import annotations

from dataclasses import dataclass

from llm.usage import CHARACTERS_PER_TOKEN, Usage

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens. What is free has a price of 0; a model without a price costs nobody knows what."""

    input: float
    """Of the prompt."""
    output: float
    """Of the answer, thoughts included."""
    cached: float | None = None
    """Of prompt tokens that the provider had in its cache; by default those of ``input``."""
    cache_write: float | None = None
    """Of prompt tokens that it wrote into its cache; by default those of ``input``."""

    def usd(self, usage: Usage) -> float:
        """What a call of this usage costs in US dollars.

        Tokens of the total that are neither of the prompt nor of the answer are thoughts, and cost what answers do.
        """
        cached = min(usage.cached_tokens, usage.prompt_tokens)
        written = min(usage.cache_write_tokens, usage.prompt_tokens - cached)
        answered = max(usage.completion_tokens, usage.total_tokens - usage.prompt_tokens)
        of_cached = self.input if self.cached is None else self.cached
        of_written = self.input if self.cache_write is None else self.cache_write
        fresh = usage.prompt_tokens - cached - written
        return (fresh * self.input + cached * of_cached + written * of_written + answered * self.output) / MILLION

    def usd_of_text(self, characters: int) -> float:
        """About what so many characters of an answer cost in US dollars."""
        return characters // CHARACTERS_PER_TOKEN * self.output / MILLION
