"""The embedded provider with a network that recites: its engine, grammars and thread are real, a script decides which
token comes next."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import numpy as np

from llm.embedded import FOLDER, Engine
from llm.embedded.network import Cache, Network
from llm.embedded.template import Special
from llm.embedded.tokenizer import Tokenizer
from llm.embedded.weights import Array, Config
from llm.providers.embedded import EmbeddedProvider
from tests.llm.embedded.conftest import random_tensors

WAIT = -1
"""In a script: the model waits here until the gate is set."""


class RecitingNetwork(Network):
    """A small network of noise that says the next answer of its script to each prompt."""

    def __init__(self, config: Config, script: Sequence[Sequence[int]], gate: threading.Event) -> None:
        super().__init__(config, random_tensors(config))
        self._answers = iter(script)
        self._answer: Iterator[int] = iter(())
        self._gate = gate

    def prefill(self, ids: Sequence[int], cache: Cache) -> Array:
        self._answer = iter(next(self._answers))
        return self._recited(super().prefill(ids, cache))

    def forward(self, token: int, cache: Cache) -> Array:
        return self._recited(super().forward(token, cache))

    def _recited(self, logits: Array) -> Array:
        token = next(self._answer)
        if token == WAIT:
            assert self._gate.wait(30)
            token = next(self._answer)
        said = np.full_like(logits, -np.inf)
        said[token] = 0
        return said


class RecitingProvider(EmbeddedProvider):
    """Says these answers one after the other, each with its end if it has one."""

    def __init__(
        self, script: Sequence[Sequence[int]], gate: threading.Event, *, ends: bool = True, context: int = 512
    ) -> None:
        super().__init__()
        self._script = [[*answer, *([TOKENIZER.special[Special.END]] if ends else [])] for answer in script]
        self._gate = gate
        self._context = context

    def _load(self) -> Engine:
        if self._engine is None:
            config = Config(TOKENIZER.size, 8, 1, 2, 8, self._context, 1e-6, 10_000.0)
            self._engine = Engine("reciting", RecitingNetwork(config, self._script, self._gate), TOKENIZER, "0" * 64)
        return self._engine


TOKENIZER = Tokenizer.load(FOLDER / "tokenizer.json")


def ids_of(text: str, calls: Sequence[str]) -> list[int]:
    """A text and the calls after it, each behind its marker, as ids."""
    marked = ((TOKENIZER.special[Special.TOOL_CALL], *TOKENIZER.encode(call)) for call in calls)
    return [*TOKENIZER.encode(text), *(token for call in marked for token in call)]
