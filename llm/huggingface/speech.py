"""From ids to what a client sees: text that is certain, stop strings cut out, tool calls in their many forms.

Text is held back while it may be half a character, the start of a stop string or of a tool call. Once a call has begun,
everything is held until the answer ends: the forms differ in where a call ends, and JSON says so by itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from secrets import token_hex
from typing import Any

from llm.chat import ChatChunk, ToolCallDelta

OPENINGS = ("<tool_call>", "<|tool_call|>", "[TOOL_CALLS]", "<|python_tag|>")
"""What models write before a call: Hermes and Qwen; ours; Mistral; Llama 3. The last also writes bare JSON."""
HALF = "\ufffd"


class Speech:
    """Hears the ids of one answer and says what is certain of it.

    Args:
        tokenizer: a tokenizer of transformers'.
        ends: the ids that end an answer.
        tools: the names that may be called; without them nothing is taken for a call.

    Attributes:
        ended: whether the answer is complete: by an end token or a stop string.
        calls: how many tools were called; known when :meth:`rest` was read.
    """

    def __init__(
        self, tokenizer: Any, ends: frozenset[int], stop: Sequence[str] = (), tools: frozenset[str] = frozenset()
    ) -> None:
        self.ended = False
        self.calls = 0
        self._tokenizer = tokenizer
        self._ends = ends
        self._stop = [text for text in stop if text]
        self._tools = tools
        self._openings = OPENINGS if tools else ()
        self._special = {token: tokenizer.decode([token]) for token in tokenizer.all_special_ids}
        self._ids: list[int] = []
        self._decoded = 0
        self._held = ""
        self._said = False
        self._calling = False

    def hear(self, token: int) -> Iterator[ChatChunk]:
        """The chunks that one more id makes certain; :attr:`ended` tells whether the answer goes on."""
        if token in self._ends:
            self.ended = True
            return
        self._held += self._new_text(token)
        if not self._calling:
            yield from self._certain()

    def rest(self) -> Iterator[ChatChunk]:
        """What was held back, once nothing more comes."""
        self._held += self._whole()[self._decoded :]
        held, self._held = self._held, ""
        calls = list(self._calls_in(held)) if self._calling or self._may_be_bare(held) else []
        if calls:
            self.calls = len(calls)
            yield ChatChunk(tool_calls=tuple(calls))
        elif held:
            yield ChatChunk.text(held)

    def _certain(self) -> Iterator[ChatChunk]:
        stop = min(((at, text) for text in self._stop if (at := self._held.find(text)) >= 0), default=None)
        if stop is not None:
            self.ended, self._held = True, self._held[: stop[0]]
            return
        opening = min((at for text in self._openings if (at := self._held.find(text)) >= 0), default=None)
        certain = opening if opening is not None else len(self._held) - self._uncertain()
        self._calling = opening is not None
        if self._may_be_bare(self._held):
            return
        if certain > 0:
            text, self._held = self._held[:certain], self._held[certain:]
            self._said = True
            yield ChatChunk.text(text)

    def _uncertain(self) -> int:
        """How many characters at the end may be the start of something."""
        longest = 0
        for text in (*self._stop, *self._openings):
            starts = (size for size in range(min(len(text) - 1, len(self._held)), 0, -1))
            longest = max(longest, next((size for size in starts if self._held.endswith(text[:size])), 0))
        return longest

    def _may_be_bare(self, text: str) -> bool:
        """Whether an answer starts as JSON, where a model may call without an opening."""
        return bool(self._tools) and not self._said and text.lstrip().startswith("{")

    def _new_text(self, token: int) -> str:
        """The text that an id adds; special tokens say nothing, but for the openings of calls."""
        if token in self._special:
            spelled = self._special[token]
            before = self._whole()[self._decoded :]
            self._ids, self._decoded = [], 0
            return before + (spelled if spelled in self._openings else "")
        self._ids.append(token)
        whole = self._whole()
        if whole.endswith(HALF):
            return ""
        text, self._decoded = whole[self._decoded :], len(whole)
        if len(self._ids) > 1 and text:  # keep one id, as tokenizers drop a space before the first
            self._ids = self._ids[-1:]
            self._decoded = len(self._whole())
        return text

    def _whole(self) -> str:
        return str(self._tokenizer.decode(self._ids, clean_up_tokenization_spaces=False)) if self._ids else ""

    def _calls_in(self, text: str) -> Iterator[ToolCallDelta]:
        """The calls of declared tools in a text; none when there is anything that is none."""
        found = list(_objects(text))
        names = {str(call.get("name")) for call in found}
        if not found or not names <= self._tools:
            return
        for index, call in enumerate(found):
            given = call.get("arguments", call.get("parameters"))
            arguments = given if isinstance(given, str) else json.dumps(given or {}, ensure_ascii=False)
            yield ToolCallDelta(index, arguments, f"call_{token_hex(12)}", str(call["name"]))


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in a text, those of lists among them; what stands between them is passed over."""
    decoder, at = json.JSONDecoder(), 0
    for opening in OPENINGS:
        text = text.replace(opening, " ")
    while (start := min((i for mark in "{[" if (i := text.find(mark, at)) >= 0), default=-1)) >= 0:
        try:
            value, at = decoder.raw_decode(text, start)
        except (json.JSONDecodeError, RecursionError):
            return
        for item in value if isinstance(value, list) else [value]:
            yield item if isinstance(item, dict) else {}
