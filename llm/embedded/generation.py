"""The loop: one token at a time until the end, a limit or a stop string.

A `Generation` is an iterator of pieces. The first `next()` reads the prompt; each further one computes the tokens that
the next piece needs: mostly one, a dozen for the opening of a tool call, a few while text must be held back.
Whoever stops iterating has cancelled; `close()` frees the memory at once.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from llm.embedded.constraint import Constraint, Guide
from llm.embedded.network import Cache, Network
from llm.embedded.sampling import Sampler
from llm.embedded.speech import Piece, Speech
from llm.embedded.template import Special
from llm.embedded.tokenizer import Tokenizer
from llm.embedded.weights import Array

DEFAULT_MAX_TOKENS = 256

FinishReason = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True)
class GenerationOptions:
    """How to generate.

    `max_tokens` None means 256; either way what the context leaves is the limit. `temperature` 0 is greedy.
    `stop` strings end the answer and are not part of it; they are not looked for in tool calls. `constraint` None means
    free text, and calls as the model likes where tools are given.
    """

    max_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    constraint: Constraint | None = None


class Generation(Iterator[Piece]):
    """One answer in the making.

    `prompt_tokens` counts the ids that are read, `completion_tokens` those produced so far, the end token and the
    openings of tool calls among them. `finish_reason` is None until the iterator is exhausted; a closed one keeps None.
    A Generation belongs to one thread at a time. `next` raises InvalidSchema if a grammar proves too complex to follow.
    """

    def __init__(
        self, network: Network, tokenizer: Tokenizer, prompt: Sequence[int], options: GenerationOptions
    ) -> None:
        self.prompt_tokens = len(prompt)
        self.completion_tokens = 0
        self.finish_reason: FinishReason | None = None
        self._network = network
        self._tokenizer = tokenizer
        self._options = options
        self._pieces = self._run(prompt)

    def __next__(self) -> Piece:
        return next(self._pieces)

    def close(self) -> None:
        """Stop, and free the cache of keys and values; no more pieces come. Closing twice is harmless."""
        self._pieces.close()

    def _run(self, prompt: Sequence[int]) -> Generator[Piece, None, None]:
        speech = Speech(self._tokenizer, self._options.stop)
        for token in self._tokens(prompt):
            yield from speech.hear(token)
            if speech.stopped:
                break
        yield from speech.rest()
        self.finish_reason = _reason(speech)

    def _tokens(self, prompt: Sequence[int]) -> Iterator[int]:
        """The ids of the answer, the end token among them, until it or the limit comes."""
        guide = Guide(self._options.constraint or Constraint(), self._tokenizer)
        sampler = Sampler(self._options.temperature, self._options.top_p, self._options.seed)
        cache = self._network.new_cache()
        ids = prompt
        for _ in range(self._limit()):
            logits = self._read(ids, cache)[: self._tokenizer.size]
            token = sampler.choose(np.where(guide.allowed(), logits, np.float32(-np.inf)))
            guide.advance(token)
            self.completion_tokens += 1
            yield token
            if token == self._tokenizer.special[Special.END]:
                return
            ids = [token]

    def _read(self, ids: Sequence[int], cache: Cache) -> Array:
        return self._network.prefill(ids, cache) if cache.length == 0 else self._network.forward(ids[0], cache)

    def _limit(self) -> int:
        wanted = DEFAULT_MAX_TOKENS if self._options.max_tokens is None else self._options.max_tokens
        return min(wanted, self._network.config.context_length - self.prompt_tokens)


def _reason(speech: Speech) -> FinishReason:
    if speech.stopped:
        return "stop"
    if not speech.ended:
        return "length"
    return "tool_calls" if speech.calls else "stop"
