"""Names that an answer quotes: once the model has begun one, it is held to its end, as it misspells long names.

A name begins with a capital. It is begun by a word with a capital inside a sentence that some name begins with; from
there on only what continues such a name is allowed, until one of them is whole. Which one, and whether any, is the
model's to say; the word "I" begins none. Names that begin with a small letter, or stand at the beginning of a sentence,
are not held to anything.
"""

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from llm.embedded.tokenizer import Tokenizer

Mask = NDArray[np.bool_]

MAX_NAMES = 200
_LONGEST_TOKEN = 64
_BEFORE = b" (["
_ENDS = (b".", b"!", b"?", b":", b"\n")  # of a sentence


class Quoting:
    """Follows the text of one generation: which ids may come next for the sake of the names in it."""

    def __init__(self, names: Iterable[str], tokenizer: Tokenizer) -> None:
        self._names = [name.encode() for name in list(dict.fromkeys(names))[:MAX_NAMES] if name[:1].isupper()]
        self._tokens = tokenizer.bytes
        self._ids, self._after_a_word = _tables(tokenizer)
        self._said = b""
        self._open: list[bytes] = []  # what is left of the names that have been begun

    def narrow(self, mask: Mask) -> Mask:
        """(vocabulary,): of the ids in a mask those that continue a name, where one has been begun."""
        if not self._open:
            return mask
        narrowed = np.zeros_like(mask)
        for rest in self._open:
            if not rest:
                narrowed |= mask & self._after_a_word
            for length in range(1, min(len(rest), _LONGEST_TOKEN) + 1):
                token = self._ids.get(rest[:length])
                if token is not None:
                    narrowed[token] = mask[token]
        return narrowed if narrowed.any() else mask

    def advance(self, token: int) -> None:
        """Take note of the id that was chosen."""
        piece = self._tokens[token]
        continued = [rest[len(piece) :] for rest in self._open if rest and rest.startswith(piece)]
        if not continued and piece != b"I" and self._may_begin():
            continued = [name[len(piece) :] for name in self._names if piece and name.startswith(piece)]
        self._open = continued
        self._said += piece

    def _may_begin(self) -> bool:
        """Whether a name may begin here: after a space or a bracket, inside a sentence."""
        before = self._said.rstrip(_BEFORE)
        return len(before) < len(self._said) and before != b"" and not before.endswith(_ENDS)


@lru_cache(maxsize=4)
def _tables(tokenizer: Tokenizer) -> tuple[dict[bytes, int], Mask]:
    """Of a vocabulary: the ids by their bytes; and (vocabulary,) the ids that may follow a whole word, which are those
    without a letter or a digit first, and the end of the answer, which has no bytes."""
    ids = {piece: token for token, piece in enumerate(tokenizer.bytes) if piece}
    return ids, np.array([not piece or not (piece[:1].isalnum() or piece[0] >= 0x80) for piece in tokenizer.bytes])
