"""From ids to what a client sees: text that is certain, stop strings cut out, tool calls in their many forms.

Text is held back while it may be half a character, the start of a stop string or of a marker of calls; the opening of a
call until its name is known. Once a call has begun there is no text any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from llm.chat import ChatChunk
from llm.huggingface.calls import Calls
from llm.huggingface.forms import CLOSINGS, OPENINGS

HALF = "\ufffd"


class Speech:
    """Hears the ids of one answer and says what is certain of it.

    Args:
        tokenizer: a tokenizer of transformers'.
        ends: the ids that end an answer.
        tools: the names that may be called; without them nothing is taken for a call.

    Attributes:
        ended: whether the answer is complete: by an end token or a stop string.
    """

    def __init__(
        self, tokenizer: Any, ends: frozenset[int], stop: Sequence[str] = (), tools: frozenset[str] = frozenset()
    ) -> None:
        self.ended = False
        self._text = _Decoder(tokenizer, OPENINGS if tools else ())
        self._ends = ends
        self._stop = [text for text in stop if text]
        self._tools = tools
        self._markers = (*OPENINGS, *CLOSINGS) if tools else ()
        self._held = ""
        self._said = False
        self._stopped = False
        self._marked = False
        self._calls: Calls | None = None

    @property
    def calls(self) -> int:
        """How many tools were called."""
        return self._calls.count if self._calls else 0

    def hear(self, token: int) -> Iterator[ChatChunk]:
        """The chunks that one more id makes certain; :attr:`ended` tells whether the answer goes on."""
        if token in self._ends:
            self.ended = True
        else:
            yield from self._go_on(self._text.hear(token))

    def rest(self) -> Iterator[ChatChunk]:
        """What was held back, once nothing more comes; but not the beginning of a call that was cut off."""
        yield from self._go_on(self._text.rest())
        while self._calls and not self._calls.count:
            yield from self._refused("" if self._marked and not self.ended else self._calls.text)
        yield from self._say(len(self._held))

    def _go_on(self, text: str) -> Iterator[ChatChunk]:
        if self._calls is None:
            self._held += text
            yield from self._certain()
            return
        for delta in self._calls.hear(text):
            yield ChatChunk(tool_calls=(delta,))
        if self._calls.refused:
            yield from self._refused(self._calls.text)

    def _refused(self, text: str) -> Iterator[ChatChunk]:
        """What was taken for a call is text."""
        self._calls, self._said = None, True
        yield from self._go_on(text)

    def _certain(self) -> Iterator[ChatChunk]:
        stop, _ = self._first(self._stop)
        at, marker = self._first(self._markers)
        certain = at if at >= 0 else len(self._held) - self._uncertain()
        fresh = bool(self._tools) and not self._said
        blank = fresh and not self._held[:certain].strip()
        if stop >= 0 and not 0 <= at < stop:
            yield from self._say(stop)
            self._held, self.ended, self._stopped = "", True, True
        elif at >= 0:
            yield from self._say(0 if blank else certain)
            yield from self._mark(self._held.partition(marker)[2], marker)
        elif fresh and self._held.lstrip().startswith("{"):
            yield from self._mark(self._held, "")
        elif not blank:
            yield from self._say(certain)

    def _mark(self, rest: str, marker: str) -> Iterator[ChatChunk]:
        """What follows a marker, or stands bare, may be calls."""
        self._held, self._marked = "", bool(marker)
        if marker not in CLOSINGS:
            self._calls = Calls(self._tools)
        yield from self._go_on(rest)

    def _say(self, size: int) -> Iterator[ChatChunk]:
        if size > 0 and not self._stopped:
            text, self._held = self._held[:size], self._held[size:]
            self._said = True
            yield ChatChunk.text(text)

    def _first(self, texts: Sequence[str]) -> tuple[int, str]:
        """Where the first of some texts stands, and which; -1 where none does."""
        return min(((at, text) for text in texts if (at := self._held.find(text)) >= 0), default=(-1, ""))

    def _uncertain(self) -> int:
        """How many characters at the end may be the start of something."""
        longest = 0
        for text in (*self._stop, *self._markers):
            starts = (size for size in range(min(len(text) - 1, len(self._held)), 0, -1))
            longest = max(longest, next((size for size in starts if self._held.endswith(text[:size])), 0))
        return longest


class _Decoder:
    """From ids to whole characters; special tokens say nothing, but for some markers."""

    def __init__(self, tokenizer: Any, markers: Sequence[str]) -> None:
        spelled = {token: tokenizer.decode([token]) for token in tokenizer.all_special_ids}
        self._special = {token: text if text in markers else "" for token, text in spelled.items()}
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._decoded = 0

    def hear(self, token: int) -> str:
        """The text that an id adds."""
        if token in self._special:
            return self.rest() + self._special[token]
        self._ids.append(token)
        whole = self._whole()
        if whole.endswith(HALF):
            return ""
        text, self._decoded = whole[self._decoded :], len(whole)
        if len(self._ids) > 1 and text:  # keep one id, as tokenizers drop a space before the first
            self._ids = self._ids[-1:]
            self._decoded = len(self._whole())
        return text

    def rest(self) -> str:
        """What was held back."""
        text = self._whole()[self._decoded :]
        self._ids, self._decoded = [], 0
        return text

    def _whole(self) -> str:
        return str(self._tokenizer.decode(self._ids, clean_up_tokenization_spaces=False)) if self._ids else ""
