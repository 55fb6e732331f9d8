"""From conversations to batches: ids, and for each id the weight with which the model learns to say it.

Batches come in pools. A pool is made from its number and the seed alone, by any process, so the order of the data does
not depend on how many processes make it.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import cache
from itertools import count
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from llm.embedded.template import Segment, Special, message_segments, tool_segments
from llm.embedded.training.corpus.conversation import Conversation
from llm.embedded.training.corpus.mixture import conversation

MAX_TOKENS = 1024
_POOL = 2048  # conversations in a pool: enough to find batches of equal length
_ROUND = 16  # batches are padded to a multiple of this, for the sake of the matrix units
_EXPONENT = 0.5  # a conversation's weight grows with the root of what it says, so that one-word answers count too
_AHEAD = 3


class Batch(NamedTuple):
    """`ids` (batch, tokens) int64 and `weights` (batch, tokens) float32, 0 for what is not learnt; padded with 0."""

    ids: NDArray[np.int64]
    weights: NDArray[np.float32]


class Sample(NamedTuple):
    """One conversation, encoded."""

    ids: list[int]
    spoken: list[bool]


def batches(tokenizer: Path, seed: int, tokens: int, processes: int = 1) -> Iterator[Batch]:
    """Endless batches of about `tokens` ids each."""
    with ProcessPoolExecutor(processes) as workers:
        pending: list[Future[list[Batch]]] = []
        for number in count():
            pending.append(workers.submit(pool, str(tokenizer), seed, number, tokens))
            if len(pending) > _AHEAD:
                yield from pending.pop(0).result()


def pool(tokenizer: str, seed: int, number: int, tokens: int) -> list[Batch]:
    """The pool of that number."""
    random = Random(f"{seed}/{number}")
    samples = (encode(conversation(random), _tokenizer(tokenizer)) for _ in range(_POOL))
    fitting = sorted(
        (sample for sample in samples if len(sample.ids) <= MAX_TOKENS), key=lambda sample: len(sample.ids)
    )
    cut: list[list[Sample]] = [[]]
    for sample in fitting:
        if cut[-1] and (len(cut[-1]) + 1) * len(sample.ids) > tokens:
            cut.append([])
        cut[-1].append(sample)
    random.shuffle(cut)
    return [_padded(samples) for samples in cut]


def encode(drawn: Conversation, tokenizer: Tokenizer) -> Sample:
    """The ids of a conversation, and which of them the assistant is to learn."""
    sample = Sample([], [])
    for segment in tool_segments(drawn.tools):
        _append(sample, segment, tokenizer, learn=False)
    for message in drawn.messages:
        for segment in message_segments(message):
            _append(sample, segment, tokenizer, learn=message.get("learn", True))
    return sample


def _append(sample: Sample, segment: Segment, tokenizer: Tokenizer, learn: bool) -> None:
    ids = [_special(segment.text)] if segment.special else tokenizer.encode(segment.text, add_special_tokens=False).ids
    sample.ids.extend(ids)
    sample.spoken.extend([segment.spoken and learn] * len(ids))


def _special(text: str) -> int:
    return list(Special).index(Special(text))


def _padded(samples: list[Sample]) -> Batch:
    longest = max(len(sample.ids) for sample in samples)
    shape = (len(samples), -(-longest // _ROUND) * _ROUND)
    batch = Batch(np.zeros(shape, np.int64), np.zeros(shape, np.float32))
    for row, sample in enumerate(samples):
        batch.ids[row, : len(sample.ids)] = sample.ids
        weight = max(1, sum(sample.spoken)) ** -_EXPONENT
        batch.weights[row, : len(sample.ids)] = np.where(sample.spoken, weight, 0)
    return batch


@cache
def _tokenizer(path: str) -> Tokenizer:
    return Tokenizer.from_file(path)
