"""Trains the byte-level BPE of the model on the corpus, names left out.

Three choices serve copying: names are a few letters in the text it learns from, so that every name falls into small
pieces, seen or not; a capital or a digit begins a new piece and a space sticks to lower-case words only, so that a name
is cut alike after a space and after a quotation mark; digits stand alone.
"""

from collections.abc import Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from llm.embedded.template import Special, render
from llm.embedded.tokenizer import PATTERN
from llm.embedded.training.corpus.mixture import conversation
from llm.embedded.training.corpus.names import Nameless

VOCABULARY = 4096
_CONVERSATIONS = 60_000
_UNFIT = {"echoing"}  # their random letters teach nothing about words


def train(path: Path, seed: int = 0) -> None:
    """Write a tokenizer.json."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[str(token) for token in Special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=4,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(seed), trainer)
    tokenizer.save(str(path))


def _texts(seed: int) -> Iterator[str]:
    random = Nameless(seed)
    for _ in range(_CONVERSATIONS):
        drawn = conversation(random)
        if drawn.task not in _UNFIT:
            text = render(drawn.messages, drawn.tools)
            for token in Special:
                text = text.replace(token, "\n")
            yield text
