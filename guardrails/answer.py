"""AnswerWindow: an answer in chunks, on its way through a policy.

Text goes through the window of its guardrail, thoughts and every other text of an answer through one of their own.
Calls of tools, and members that are no text, are held until they are whole. Log probabilities would tell what was held
back, so they are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter_ns
from typing import Any, TypeVar

from guardrails.errors import ContentRefused
from guardrails.places import Timings
from guardrails.policy import NOT_IN_PIECES, Policy
from guardrails.texts import with_texts
from guardrails.timing import Timing
from guardrails.vault import Vault
from guardrails.verdict import ALLOWED, Verdict
from guardrails.window import Window
from llm import ChatChunk, ChatCompletion, ToolCallDelta

T = TypeVar("T")
TEXTS = frozenset({"reasoning_content", "reasoning", "refusal"})
"""Members of an answer that are texts by what APIs say."""


class AnswerWindow:
    """One answer of a model.

    Args:
        policy: what holds for it.
        vault: what was taken out of the request.
        timings: to which is added how long rules took.

    Attributes:
        allowed: whether it may go on.
    """

    def __init__(self, policy: Policy, vault: Vault, timings: Timings | None = None) -> None:
        self._policy = policy
        self._vault = vault
        self._guardrail, self._recording = policy.streams
        self._timings: Timings = {} if timings is None else timings
        self._timing = self._timings.setdefault("output", Timing()) if any(policy.streams) else Timing()
        self._recorded: dict[str, Window] = {}
        self._windows: dict[str, tuple[Window | None, Window | None]] = {}
        self._held = ChatCompletion()
        self._in_pieces: set[str] = set()
        self._verdicts: list[Verdict] = []
        """What was said of what no window is for; the last one, where it refused."""
        self.allowed = True

    @property
    def verdict(self) -> Verdict:
        """What is said of it so far."""
        windows = [guarding.verdict for guarding, _ in self._windows.values() if guarding is not None]
        recorded = [_as_record(window.verdict) for window in self._recorded.values()]
        return Verdict.of([*windows, *recorded, *self._verdicts])

    def feed(self, chunk: ChatChunk) -> ChatChunk | None:
        """What of a chunk, and of those before it, may be said by now; None for nothing."""
        objects = self._objects(chunk)
        if objects:
            self._in_pieces |= objects.keys() & self._held.extra.keys()
        self._held.add(ChatChunk(tool_calls=chunk.tool_calls, extra=objects))
        extra = {
            name: passed
            for name, text in (chunk.extra or {}).items()
            if isinstance(text, str) and self._may_be_called(name) and (passed := self._say(name, text))
        }
        content = self._say("content", chunk.content) if chunk.content else None
        common = self._whole(chunk.common) if chunk.common else None
        said = ChatChunk(content or None, (), chunk.finish_reason, chunk.usage, extra or None, None, common)
        return said if _says(said) else None

    def end(self) -> ChatChunk | None:
        """The rest that may be said once the answer is whole."""
        texts = {name: rest for name in list(self._windows) if (rest := self._rest(name))}
        content = texts.pop("content", None)
        extra: dict[str, Any] = {**texts}
        calls: tuple[ToolCallDelta, ...] = ()
        if self.allowed:
            try:
                extra |= self._rest_of_extra()
                calls = self._calls()
            except ContentRefused as refused:
                self._refused(refused)
        said = ChatChunk(content, calls, extra=extra or None)
        return said if _says(said) else None

    def _may_be_called(self, name: str) -> bool:
        """Whether a member may have its name, which nobody can redact."""
        if name not in TEXTS and name not in self._windows and self._whole(name) != name and self.allowed:
            self._refused(ContentRefused("A member of the answer has a name that cannot be redacted.", "names"))
        return self.allowed

    def _whole(self, value: Any) -> Any:
        """What comes whole, and may be said at once; nothing of it where one of its texts may not."""
        if not value or not self.allowed:
            return None
        try:
            return self._noted(self._policy.admit_answer(value, timings=self._timings, beside=True))
        except ContentRefused as refused:
            self._refused(refused)
            return None

    def _noted(self, said: tuple[T, Verdict]) -> T:
        """What may be said; what was said of it is kept."""
        admitted, verdict = said
        if verdict != ALLOWED:
            self._verdicts.append(verdict)
        return admitted

    def _refused(self, refused: ContentRefused) -> None:
        self._verdicts.append(refused.verdict)
        self.allowed = False

    def _rest_of_extra(self) -> dict[str, Any]:
        """The members that are no text. Lists may come in pieces, whose texts clients put together again."""
        extra = dict(self._held.extra)
        called = self._function_call(extra.pop("function_call", None))
        admitted = self._noted(self._policy.admit_answer(extra, timings=self._timings, beside=True))
        for name in self._in_pieces:
            self._noted((None, self._policy.check_pieces(admitted.get(name), self._timings)))
        said = {name: self._restored_in(name, value) for name, value in admitted.items()}
        return said if called is None else {**said, "function_call": called}

    def _function_call(self, called: Any) -> Any:
        """A call of the older form, in whatever form it comes."""
        if not isinstance(called, Mapping):
            return self._noted(self._policy.admit_answer(called, "tool_arguments", self._timings))
        called = self._noted(self._policy.admit_call(called, self._timings))
        if isinstance(arguments := called.get("arguments"), str):
            return {**called, "arguments": self._vault.restored_in_json(arguments)}
        return called

    def _objects(self, chunk: ChatChunk) -> dict[str, Any] | None:
        return {name: value for name, value in (chunk.extra or {}).items() if not isinstance(value, str)} or None

    def _calls(self) -> tuple[ToolCallDelta, ...]:
        return tuple(
            ToolCallDelta(index, self._vault.restored_in_json(arguments), call.id or None, name or None, call.kind)
            for index, call in enumerate(self._held.tool_calls)
            for name, arguments in [self._call(call.name, call.arguments)]
        )

    def _call(self, name: str, arguments: str) -> tuple[str, str]:
        """A call as it may be made, its arguments being JSON or a text."""
        called = self._noted(self._policy.admit_call({"name": name, "arguments": arguments}, self._timings))
        return called["name"], called["arguments"]

    def _restored_in(self, name: str, value: Any) -> Any:
        """A member with what its placeholders stand for, also where they came in pieces of a list."""
        if not self._vault:
            return value
        in_pieces = name in self._in_pieces and isinstance(value, list)
        return _put_together(value, self._vault) if in_pieces else with_texts(value, self._vault.restored)

    def _last_of(self, restoring: Window) -> str:
        """What is left in a window of an answer that has just been refused."""
        return "" if self.allowed else restoring.end()

    def _say(self, name: str, text: str) -> str:
        if not self.allowed:
            return ""
        if name not in self._windows:
            beside = name != "content"
            guarding = self._guardrail.window(timing=self._timing, beside=beside) if self._guardrail else None
            self._windows[name] = (guarding, self._vault.window() if self._vault else None)
            if self._recording:
                self._recorded[name] = self._recording.window(timing=self._timing, beside=beside)
        if self._recording is not None:
            self._record(name, text)
        guarding, restoring = self._windows[name]
        said = self._feed(guarding, text) if guarding else text
        if restoring is None:
            return said
        return restoring.feed(said) + self._last_of(restoring)

    def _rest(self, name: str) -> str:
        guarding, restoring = self._windows[name]
        if name in self._recorded:
            self._record(name)
        said = self._feed(guarding) if guarding and self.allowed else ""
        return restoring.feed(said) + restoring.end() if restoring else said

    def _feed(self, window: Window, text: str | None = None) -> str:
        """What a window gives for a piece of text, or at the end; its verdict is taken over."""
        begun = perf_counter_ns()
        said = window.end() if text is None else window.feed(text)
        self._timing.total += perf_counter_ns() - begun
        self.allowed = self.allowed and window.allowed
        return said

    def _record(self, name: str, text: str | None = None) -> None:
        """Shows a piece of text, or the end, to the rules that only record."""
        begun, window = perf_counter_ns(), self._recorded[name]
        _ = window.end() if text is None else window.feed(text)
        self._timing.total += perf_counter_ns() - begun


def _as_record(verdict: Verdict) -> Verdict:
    """What a window that only records says; where it would have held too much, that is a flag."""
    return verdict if verdict.allowed else Verdict(allowed=True, spans=verdict.spans, flags=(*verdict.flags, "window"))


def _put_together(pieces: list[Any], vault: Vault) -> list[Any]:
    """A list that came in pieces with what its placeholders stand for. Each text of it has a window, by the name of its
    member and the index and the id beside it, and what that holds at the end goes to its last piece."""
    texts: dict[tuple[str, ...], tuple[Window, dict[str, Any]]] = {}
    said: list[Any] = []
    for piece in pieces:
        if not isinstance(piece, Mapping):
            said.append(with_texts(piece, vault.restored))
            continue
        made: dict[str, Any] = {}
        for name, value in piece.items():
            if not isinstance(value, str) or name in NOT_IN_PIECES:
                made[name] = with_texts(value, vault.restored)
                continue
            text = (repr(piece.get("index")), repr(piece.get("id")), name)
            window = texts[text][0] if text in texts else vault.window()
            made[name], texts[text] = window.feed(value), (window, made)
        said.append(made)
    for (_, _, name), (window, last) in texts.items():
        last[name] += window.end()
    return said


def _says(chunk: ChatChunk) -> bool:
    return any((chunk.content, chunk.tool_calls, chunk.finish_reason, chunk.usage, chunk.extra, chunk.common))
