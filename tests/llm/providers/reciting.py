"""A model of transformers' that recites: a real one, saved and loaded as any, whose next token a script decides."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import transformers

from llm.embedded import FOLDER

WAIT = -1
"""In a script: the model waits here until the test sets :data:`GATE`."""
GATE = threading.Event()
SAID: list[int] = []
"""The ids that were recited, by whatever model."""


class RecitingConfig(transformers.LlamaConfig):  # type: ignore[no-untyped-call]
    """A tiny Llama, and its script: the ids of each answer."""

    model_type = "reciting"

    def __init__(self, script: Sequence[Sequence[int]] = (), **given: Any) -> None:
        super().__init__(**given)
        self.script = [list(answer) for answer in script]


class RecitingForCausalLM(transformers.LlamaForCausalLM):  # type: ignore[no-untyped-call]
    """Says the next answer of its script to each prompt, whatever that is."""

    config_class = RecitingConfig

    def __init__(self, config: RecitingConfig) -> None:
        super().__init__(config)
        self._answers = iter(config.script)
        self._answer: Iterator[int] = iter(())

    def forward(self, input_ids: Any, **given: Any) -> Any:
        """One step; a step of more than one id is the prompt of the next answer."""
        made = super().forward(input_ids, **given)
        if input_ids.shape[1] > 1:
            self._answer = iter(next(self._answers))
        token = next(self._answer)
        if token == WAIT:
            assert GATE.wait(30)
            token = next(self._answer)
        SAID.append(token)
        made.logits[:, -1] = float("-inf")
        made.logits[:, -1, token] = 0
        return made


transformers.AutoConfig.register("reciting", RecitingConfig, exist_ok=True)
transformers.AutoModelForCausalLM.register(RecitingConfig, RecitingForCausalLM, exist_ok=True)


def ids_of(text: str) -> list[int]:
    """A text, markers of calls among it, as ids."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def save(folder: Path, script: Sequence[Sequence[int]], *, ends: bool = True) -> None:
    """A folder with a model that recites these answers, each with its end if it has one."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    end = [tokenizer.eos_token_id] if ends else []
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = RecitingConfig([[*answer, *end] for answer in script], vocab_size=len(tokenizer), **size)
    RecitingForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
