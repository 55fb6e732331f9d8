"""TiktokenCounter: OpenAI's vocabularies, by tiktoken, from files that were made when Penstock was built.

Nothing is ever downloaded: ``scripts/vocabularies`` makes the files, a wheel carries them, and where they are missing
characters are counted. tiktoken's own loaders, which would fetch, are never called.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import orjson

from llm.chat import ChatRequest, text_of
from llm.tokens.counter import CHARACTERS
from llm.usage import Usage

if TYPE_CHECKING:
    from tiktoken import Encoding

FOLDER = Path(__file__).parent / "vocabularies"
LONGEST = 2_000_000
"""Of texts with more characters than this, characters are counted."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """An encoding as tiktoken's ``openai_public.py`` defines it: the digest of its file, how text is cut into words."""

    sha256: str
    pattern: str


VOCABULARIES: Mapping[str, Vocabulary] = {
    "o200k_base": Vocabulary(
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
        r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
    "cl100k_base": Vocabulary(
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|"
        r"\s+(?!\S)|\s",
    ),
}
OLDER = re.compile(r"(.*/)?(gpt-3\.5|gpt-35|gpt-4(?!o|\.)|text-embedding-|davinci-002|babbage-002).*")
"""Models of the encoding ``cl100k_base``; all newer ones have ``o200k_base``, which is also nearest to strangers'."""
TOKENS_PER_MESSAGE = 3
TOKENS_PER_NAME = 1
TOKENS_OF_ANSWER = 3
"""Those that open the answer (https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken)."""


@dataclass(frozen=True, slots=True)
class TiktokenCounter:
    """Counts by the vocabulary of a model's name, or by the one that is given.

    Exact for messages of text to OpenAI's models, and for their answers; tools are counted as the JSON that they are,
    and images not at all. The first count reads the vocabulary, about a second. Counting is done in a thread.

    Raises:
        ValueError: when there is no such encoding.
    """

    encoding: str = ""
    """``o200k_base`` or ``cl100k_base``; by default the name of the model says."""
    folder: Path = FOLDER
    """Where the vocabularies lie, as ``o200k_base.tiktoken``."""

    def __post_init__(self) -> None:
        if self.encoding and self.encoding not in VOCABULARIES:
            raise ValueError(f"there is no encoding '{self.encoding}'; there are: {', '.join(VOCABULARIES)}")

    async def count(self, model: str, request: ChatRequest, answer: str) -> Usage:
        """See :meth:`~llm.tokens.TokenCounter.count`."""
        path = self.folder / f"{self.encoding or encoding_of(model)}.tiktoken"
        text = ChatText.of(request)
        if not path.exists() or text.characters + len(answer) > LONGEST:
            return await CHARACTERS.count(model, request, answer)
        return await asyncio.to_thread(self._count, path, text, answer)

    @staticmethod
    def _count(path: Path, text: ChatText, answer: str) -> Usage:
        encode = _read(path).encode_ordinary  # takes "<|endoftext|>" for text, as a user's it is
        asked = sum(len(encode(piece)) for piece in text.pieces)
        return Usage.of(asked + text.overhead, len(encode(answer)), estimated=True)


TIKTOKEN = TiktokenCounter()


def text_of_ids(ids: Sequence[int], encoding: str = "cl100k_base", folder: Path = FOLDER) -> str:
    """The text that token ids of an encoding stand for; bytes that are no UTF-8 become U+FFFD.

    The first call reads the vocabulary, about a second.

    Raises:
        ValueError: when one of them is no id of that encoding, or its vocabulary is not there.
    """
    path = folder / f"{encoding}.tiktoken"
    if not path.exists():
        raise ValueError(f"token ids cannot be read, because the vocabulary of {encoding} is not installed")
    try:
        return _read(path).decode(list(ids))
    except KeyError as error:
        raise ValueError(f"token ids are those of {encoding}, and one of these is none") from error


def encoding_of(model: str) -> str:
    """The encoding of a model by the name that its provider gives it."""
    return "cl100k_base" if OLDER.fullmatch(model) else "o200k_base"


@dataclass(frozen=True, slots=True)
class ChatText:
    """What of a request is text, and how many tokens stand between."""

    pieces: list[str] = field(default_factory=list)
    overhead: int = TOKENS_OF_ANSWER

    @property
    def characters(self) -> int:
        """How long the text is."""
        return sum(map(len, self.pieces))

    @classmethod
    def of(cls, request: ChatRequest) -> ChatText:
        """That of a request."""
        pieces = [piece for message in request.messages for piece in _pieces(message)]
        pieces += [orjson.dumps(tool, default=str).decode() for tool in request.tools]
        names = sum("name" in message for message in request.messages)
        overhead = len(request.messages) * TOKENS_PER_MESSAGE + names * TOKENS_PER_NAME + TOKENS_OF_ANSWER
        return cls(pieces, overhead)


def _pieces(message: Mapping[str, Any]) -> Iterator[str]:
    yield message["role"]
    yield text_of(message)
    if "name" in message:
        yield str(message["name"])
    for call in message.get("tool_calls") or ():
        for member in ("function", "custom"):
            yield from (str(value) for value in (call.get(member) or {}).values())


_lock = Lock()
_loaded: dict[Path, Encoding] = {}


def _read(path: Path) -> Encoding:
    """The encoding in a file, read once a process; raises ValueError when the file is another than tiktoken's."""
    from tiktoken import Encoding  # noqa: PLC0415 - few processes need it

    with _lock:
        if path not in _loaded:
            vocabulary, data = VOCABULARIES[path.stem], path.read_bytes()
            if sha256(data).hexdigest() != vocabulary.sha256:
                raise ValueError(
                    f"{path} is not the vocabulary of {path.stem}: make it again with scripts/vocabularies"
                )
            ranks = {b64decode(token): int(rank) for token, rank in map(bytes.split, data.splitlines())}
            _loaded[path] = Encoding(path.stem, pat_str=vocabulary.pattern, mergeable_ranks=ranks, special_tokens={})
        return _loaded[path]
