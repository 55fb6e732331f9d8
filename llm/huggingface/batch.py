"""A static batch: a few prompts, padded on their left, answered side by side until the last of them has ended.

``generate()`` makes the steps and keeps the cache. Which token comes next is each row's own choice, made in a logits
processor that leaves only this token; what becomes of it is heard in a stopping criterion, so that a row that nobody
wants any longer ends with the token in the making.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any

from llm.errors import InvalidRequest
from llm.huggingface.grammar import Guide
from llm.huggingface.runtime import Runtime
from llm.huggingface.sampling import Chooser, Sampling


@dataclass(slots=True)
class Row:
    """One answer of a batch.

    ``hear`` is called with each token and says whether the answer goes on, ``finish`` once when it has ended, with
    what was wrong with it if its grammar could not be followed; both in the thread that generates.
    """

    prompt: Sequence[int]
    limit: int
    """Tokens that the answer may have."""
    sampling: Sampling
    hear: Callable[[int], bool]
    finish: Callable[[InvalidRequest | None], None]
    guide: Guide | None = None
    """What the answer is held to."""
    tokens: int = 0
    ended: bool = False
    chooser: Chooser = field(init=False)

    def __post_init__(self) -> None:
        self.chooser = self.sampling.chooser()


def run(runtime: Runtime, rows: Sequence[Row]) -> None:
    """Generates until every row has ended; blocks."""
    for row in rows:
        if row.limit < 1:
            row.ended = True
            row.finish(None)
    rows = [row for row in rows if not row.ended]
    if rows:
        _generate(runtime, rows)


def _generate(runtime: Runtime, rows: Sequence[Row]) -> None:
    longest = max(len(row.prompt) for row in rows)
    pad = runtime.tokenizer.pad_token_id
    pad = min(runtime.ends, default=0) if pad is None else pad
    ids = [[pad] * (longest - len(row.prompt)) + list(row.prompt) for row in rows]
    mask = [[0] * (longest - len(row.prompt)) + [1] * len(row.prompt) for row in rows]
    steps = _Steps(runtime.torch, rows)
    transformers = import_module("transformers")
    config = transformers.GenerationConfig(
        do_sample=False, num_beams=1, max_new_tokens=max(row.limit for row in rows), pad_token_id=pad, eos_token_id=None
    )
    within = partial(_within, runtime.context_length)
    with runtime.torch.inference_mode(), _hooked(runtime.model, within):
        runtime.model.generate(
            runtime.tensor(ids),
            attention_mask=runtime.tensor(mask),
            generation_config=config,
            logits_processor=transformers.LogitsProcessorList([steps.choose]),
            stopping_criteria=transformers.StoppingCriteriaList([steps.heard]),
        )


@contextmanager
def _hooked(model: Any, hook: Callable[..., Any]) -> Iterator[None]:
    """Has each step of a model looked at."""
    handle = model.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _within(context_length: int, _: Any, args: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Keeps rows that have ended, and go on for the sake of others, at positions that the model has."""
    places = given.get("position_ids")
    return args, given if places is None else {**given, "position_ids": places.clamp(max=context_length - 1)}


class _Steps:
    """What happens at each step of a batch."""

    def __init__(self, torch: Any, rows: Sequence[Row]) -> None:
        self._torch = torch
        self._rows = rows
        self._chosen: list[int] = []

    def choose(self, input_ids: Any, scores: Any) -> Any:
        """The scores with nothing but each row's choice left in them."""
        only = self._torch.full_like(scores, float("-inf"))
        self._chosen = [self._choice(row, scores[at]) for at, row in enumerate(self._rows)]
        for at, token in enumerate(self._chosen):
            only[at, token] = 0
        return only

    def heard(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """Which rows have ended, a bool each."""
        for row, token in zip(self._rows, self._chosen, strict=True):
            if not row.ended:
                row.tokens += 1
                row.ended = not row.hear(token) or row.tokens >= row.limit
                if row.ended:
                    row.finish(None)
        return self._torch.tensor([row.ended for row in self._rows], device=input_ids.device)

    def _choice(self, row: Row, logits: Any) -> int:
        """A row's next id; of one that has ended, or ends here as its grammar cannot be followed, any."""
        if row.ended:
            return 0
        try:
            token = row.chooser.choose(row.guide.narrow(self._torch, logits) if row.guide else logits)
        except InvalidRequest as error:
            row.ended = True
            row.finish(error)
            return 0
        if row.guide:
            row.guide.advance(token)
        return token
