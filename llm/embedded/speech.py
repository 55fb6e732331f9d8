"""From ids to what a client sees: pieces of text, and tool calls taken apart as they come.

Text is held back while it may be half a character or the start of a stop string; the opening of a tool call until the
tool's name is known; the last character of a call, as the call's own closing brace is not part of the arguments.
"""

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llm.embedded.template import Special
from llm.embedded.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class TextPiece:
    """A piece of the answer's text: never empty, whole characters."""

    text: str


@dataclass(frozen=True, slots=True)
class CallStart:
    """The model begins the call number `index` (from 0), of the tool `name`."""

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    """A piece of the JSON text of the arguments of the call `index`; joined they are the whole."""

    index: int
    text: str


Piece = TextPiece | CallStart | CallArguments


class StopFinder:
    """Finds stop strings across borders of pieces; gives out no text that might still become one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self.found = False
        self._stops = [stop for stop in stops if stop]
        self._held = ""

    def feed(self, text: str) -> str:
        """The text that is certain by now. After a stop string was found there is none."""
        if self.found:
            return ""
        self._held += text
        starts = [start for stop in self._stops if (start := self._held.find(stop)) >= 0]
        self.found = bool(starts)
        certain = min(starts) if starts else len(self._held) - self._doubtful()
        text, self._held = self._held[:certain], "" if self.found else self._held[certain:]
        return text

    def flush(self) -> str:
        """What was held back, now that nothing more comes."""
        text, self._held = self._held, ""
        return text

    def _doubtful(self) -> int:
        """The length of the longest end of the held text that begins a stop string."""
        longest = max(map(len, self._stops), default=1) - 1
        sizes = range(min(longest, len(self._held)), 0, -1)
        return next((size for size in sizes if any(stop.startswith(self._held[-size:]) for stop in self._stops)), 0)


class Speech:
    """Hears the ids of one answer, in order, and gives its pieces.

    `ended`: the end token came; `stopped`: a stop string came; `calls`: how many tool calls were opened.
    """

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str]) -> None:
        self.ended = False
        self.calls = 0
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = StopFinder(stops)
        self._call: _Call | None = None

    @property
    def stopped(self) -> bool:
        return self._text.found

    def hear(self, token: int) -> Iterator[Piece]:
        """The pieces that one more id completes."""
        special = self._tokenizer.special
        if token == special[Special.END]:
            self.ended = True
        elif token == special[Special.TOOL_CALL]:
            yield from self.rest()
            self._utf8.reset()
            self._call = _Call(self.calls)
            self.calls += 1
        elif text := self._utf8.decode(self._tokenizer.bytes[token]):
            yield from self._call.hear(text) if self._call else _text(self._text.feed(text))

    def rest(self) -> Iterator[Piece]:
        """What was held back, once nothing more comes."""
        yield from self._call.rest() if self._call else _text(self._text.flush())


class _Call:
    """The text of one call, `{"name": "n", "arguments": {…}}`."""

    _OPENING = re.compile(r'\{"name": ("(?:[^"\\]|\\.)*"), "arguments": ')

    def __init__(self, index: int) -> None:
        self._index = index
        self._held = ""
        self._named = False

    def hear(self, text: str) -> Iterator[Piece]:
        self._held += text
        if not self._named and (opening := self._OPENING.match(self._held)):
            self._named = True
            self._held = self._held[opening.end() :]
            yield CallStart(self._index, json.loads(opening[1]))
        if self._named and len(self._held) > 1:
            certain, self._held = self._held[:-1], self._held[-1]
            yield CallArguments(self._index, certain)

    def rest(self) -> Iterator[Piece]:
        if self._named and self._held not in {"", "}"}:
            yield CallArguments(self._index, self._held)


def _text(text: str) -> Iterator[TextPiece]:
    if text:
        yield TextPiece(text)
