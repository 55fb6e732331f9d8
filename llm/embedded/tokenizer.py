"""Byte-level BPE in plain Python: the ids that the `tokenizers` library gives for the same tokenizer.json.

Text is cut into words by a pattern over character classes, the bytes of a word are joined by the merges of the file.
The pattern is the one of our own training (`training/tokenizer.py`), so that a name is cut alike wherever it stands:
a space sticks to lower-case words only, a capital starts a new word, digits stand alone.
"""

import heapq
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from llm.embedded.errors import ModelFolderError, PromptTooLong

# The regular expression in tokenizer.json, and the same over one class letter a character (`_kind`).
PATTERN = r" ?\p{Ll}+|\p{Lu}\p{Ll}*|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+(?: [^\s\p{L}\p{N}]+)*|\n+| +|\s"
_WORDS = re.compile(r"s?l+|ul*|[luo]+|d|p+(?:sp+)*|n+|s+|[wns]")
_WHITESPACE = frozenset(
    "\t\v\f\r\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
)
_KINDS = {"Ll": "l", "Lu": "u"}
_LONGEST_CACHED = 24
_BYTES_PER_TOKEN = 64  # no token is longer, so a text of more bytes than 64 a token of the limit cannot fit


class _Classes(dict[int, str]):
    """A table for `str.translate`: code point to class letter; Latin ones are kept, others worked out each time."""

    def __missing__(self, code: int) -> str:
        return _kind(chr(code))


def _kind(character: str) -> str:
    """One letter for the class of a character: l(ower) u(pper) o(ther letter) d(igit) n(ewline) s(pace) w(hite) p."""
    if character == "\n":
        return "n"
    if character == " ":
        return "s"
    if character in _WHITESPACE:
        return "w"
    category = unicodedata.category(character)
    return _KINDS.get(category) or {"L": "o", "N": "d"}.get(category[0], "p")


_CLASSES = _Classes({code: _kind(chr(code)) for code in range(0x250)})


def words(text: str) -> Iterator[str]:
    """The words of a text, in order; joined they are the text."""
    for match in _WORDS.finditer(text.translate(_CLASSES)):
        yield text[match.start() : match.end()]


def byte_alphabet() -> dict[int, str]:
    """GPT-2's printable stand-in for each byte: https://github.com/openai/gpt-2/blob/master/src/encoder.py."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return dict(zip(printable, map(chr, printable), strict=True)) | {
        byte: chr(256 + i) for i, byte in enumerate(others)
    }


class Tokenizer:
    """The vocabulary and merges of one tokenizer.json. Immutable; threads share it.

    `special` maps the names of the special tokens to their ids; `encode` never gives one of those, whatever the text.
    """

    def __init__(self, vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]], special: Mapping[str, int]):
        self.special = dict(special)
        self.size = max([*vocabulary.values(), *special.values()]) + 1
        self._alphabet = byte_alphabet()
        self._bytes_of = {character: byte for byte, character in self._alphabet.items()}
        self._ids = dict(vocabulary)
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        self.bytes = self._token_bytes()
        self._cached = lru_cache(maxsize=8192)(self._merge)

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Read a tokenizer.json of the byte-level BPE kind. Raises ModelFolderError."""
        try:
            data = json.loads(path.read_text("utf-8"))
            special = {token["content"]: token["id"] for token in data["added_tokens"]}
            _check_pattern(data, path)
            return cls(data["model"]["vocab"], [_pair(merge) for merge in data["model"]["merges"]], special)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelFolderError(f"{path}: not a readable byte-level BPE tokenizer: {error}") from error

    def encode(self, text: str, limit: int | None = None) -> list[int]:
        """The ids of a text; raises PromptTooLong as soon as they are more than `limit`."""
        if limit is not None and len(text) > limit * _BYTES_PER_TOKEN:
            raise PromptTooLong(len(text) // _BYTES_PER_TOKEN, limit)
        ids: list[int] = []
        for word in words(text):
            ids += self._cached(word) if len(word) <= _LONGEST_CACHED else self._merge(word)
            if limit is not None and len(ids) > limit:
                raise PromptTooLong(len(ids), limit)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; special tokens are left out, bytes that are no UTF-8 become U+FFFD."""
        return b"".join(self.bytes[token] for token in ids).decode("utf-8", "replace")

    def _token_bytes(self) -> list[bytes]:
        """The bytes of each id; empty for special tokens and for ids that nobody uses."""
        table = [b""] * self.size
        for token, index in self._ids.items():
            if token not in self.special:
                table[index] = bytes(self._bytes_of[character] for character in token)
        return table

    def _merge(self, word: str) -> list[int]:
        """Join the bytes of one word by the merges, lowest rank and leftmost first, in O(n log n)."""
        parts: list[str | None] = [self._alphabet[byte] for byte in word.encode("utf-8", "replace")]
        after = list(range(1, len(parts) + 1))
        before = list(range(-1, len(parts) - 1))
        heap = [entry for left in range(len(parts) - 1) if (entry := self._candidate(parts, left, left + 1))]
        heapq.heapify(heap)
        while heap:
            _, left, right, joined = heapq.heappop(heap)
            if parts[left] is None or parts[right] is None or after[left] != right:
                continue
            if f"{parts[left]}{parts[right]}" != joined:
                continue
            parts[left], parts[right] = joined, None
            after[left] = after[right]
            if after[left] < len(parts):
                before[after[left]] = left
            for pair in ((before[left], left), (left, after[left])):
                if pair[0] >= 0 and pair[1] < len(parts) and (entry := self._candidate(parts, *pair)):
                    heapq.heappush(heap, entry)
        return [self._ids[part] for part in parts if part is not None]

    def _candidate(self, parts: Sequence[str | None], left: int, right: int) -> tuple[int, int, int, str] | None:
        first, second = parts[left], parts[right]
        if first is None or second is None or (rank := self._ranks.get((first, second))) is None:
            return None
        return rank, left, right, first + second


def _pair(merge: Any) -> tuple[str, str]:
    first, second = merge if isinstance(merge, list) else merge.split(" ")
    return first, second


def _check_pattern(data: Mapping[str, Any], path: Path) -> None:
    splits = [step for step in data["pre_tokenizer"].get("pretokenizers", []) if step["type"] == "Split"]
    if [step["pattern"].get("Regex") for step in splits] != [PATTERN]:
        raise ModelFolderError(f"{path}: its pre-tokenizer is not the one that llm/embedded/tokenizer.py implements")
