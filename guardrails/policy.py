"""Policy: which guardrail holds for which text of a conversation, and what is said instead of what it refuses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from guardrails.errors import ContentRefused
from guardrails.guardrail import MAX_HELD, Guardrail
from guardrails.judge import JudgeRule
from guardrails.looker import SEALED, WORDS_OF_THE_PROTOCOL, Looker
from guardrails.places import Place, Timings
from guardrails.rule import Rule
from guardrails.vault import Vault
from guardrails.verdict import ALLOWED, Verdict
from guardrails.window import Replace, placeholder
from llm import ChatRequest, EmbeddingRequest, Embeddings

NOT_IN_PIECES = WORDS_OF_THE_PROTOCOL | SEALED | {"id"}
"""Members of the pieces of a list that are the same in each, or no text."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A rule, and the texts that it is for."""

    rule: Rule
    places: tuple[Place, ...]


class Policy:
    """Rules for the texts of a conversation.

    Args:
        rules: each with its places.
        refusal: what is said instead of an error when the request is refused; empty for the error.
        replacement: what is said in place of the rest when the answer is refused; empty for nothing.
        reversible: whether what is taken out of the request is put back into the answer.
        max_held: how many characters of an answer may be held back.
        media: whether images, sounds and files pass, at which nobody can look.
        lookalikes: whether texts are looked at as they are read, too.

    Attributes:
        streams: what holds for answers in words, and what only records them.

    Raises:
        PatternRefused: when a pattern cannot be looked for in a stream.
    """

    def __init__(
        self,
        rules: Sequence[Placed],
        *,
        refusal: str = "",
        replacement: str = "",
        reversible: bool = False,
        max_held: int = MAX_HELD,
        media: bool = True,
        lookalikes: bool = True,
    ) -> None:
        self.rules = tuple(rules)
        self.refusal = refusal
        self.replacement = replacement
        self.reversible = reversible
        self.max_held = max_held
        self.media = media
        self.lookalikes = lookalikes
        places = dict.fromkeys(place for placed in rules for place in placed.places)
        self._judges = {
            place: tuple(
                placed.rule for placed in rules if place in placed.places and isinstance(placed.rule, JudgeRule)
            )
            for place in places
        }
        self.guardrails: Mapping[Place, Guardrail] = {
            place: self._guardrail(place, [placed.rule for placed in rules if place in placed.places])
            for place in places
        }
        self.streams = self._streams()

    def _guardrail(self, place: Place, rules: Sequence[Rule]) -> Guardrail:
        return Guardrail(place, rules, max_held=self.max_held, lookalikes=self.lookalikes)

    def _streams(self) -> tuple[Guardrail | None, Guardrail | None]:
        """What holds for answers in words, and what only records them, for which nothing of them is held back."""
        output = self.guardrails.get("output")
        recording = [rule for rule in output.rules if rule.does == "flag"] if output else []
        if output is None or not recording:
            return output, None
        if not output.enforces:
            return None, output
        enforcing = [rule for rule in output.rules if rule.does != "flag"]
        return self._guardrail("output", enforcing), self._guardrail("output", recording)

    @classmethod
    def of(cls, policies: Iterable[Policy]) -> Self:
        """Several policies as one: all rules hold; of what is said instead the first that says something counts."""
        policies = list(policies)
        return cls(
            [placed for policy in policies for placed in policy.rules],
            refusal=next((policy.refusal for policy in policies if policy.refusal), ""),
            replacement=next((policy.replacement for policy in policies if policy.replacement), ""),
            reversible=any(policy.reversible for policy in policies),
            max_held=min((policy.max_held for policy in policies), default=MAX_HELD),
            media=all(policy.media for policy in policies),
            lookalikes=any(policy.lookalikes for policy in policies),
        )

    def judges(self, place: Place) -> tuple[JudgeRule, ...]:
        """The rules that ask somebody about a kind of text."""
        return self._judges.get(place, ())

    @property
    def sees_answers(self) -> bool:
        """Whether anything looks at what a model says."""
        return bool(self.guardrails.keys() & {"output", "tool_arguments"}) or self.reversible

    @property
    def sees_tools(self) -> bool:
        """Whether anything looks at the calls of tools that a graph makes itself."""
        return bool(self.guardrails.keys() & {"tool_arguments", "tool_results"}) or self.reversible

    @property
    def passes(self) -> bool:
        """Whether an answer may go out as the bytes that it came in: nobody looks at it, and no judge adds its cost."""
        return not self.sees_answers and not any(self._judges.values())

    def admit(self, body: Any, vault: Vault, timings: Timings | None = None) -> tuple[Any, Verdict]:
        """A body as it may go on, and what was said of it. In one that asks neither for a chat nor for embeddings each
        text is one of the user's.

        Raises:
            ContentRefused: when it may not; or when it is token ids or bytes, which nobody can look at.
        """
        looker = self._looker(timings, vault.keep if self.reversible else placeholder)
        if isinstance(body, ChatRequest):
            return _chat(body, looker), looker.verdict
        if isinstance(body, EmbeddingRequest):
            return _embedding(body, looker), looker.verdict
        return looker.values(body, "input"), looker.verdict

    def admit_answer(
        self, value: Any, place: Place = "output", timings: Timings | None = None, *, beside: bool = False
    ) -> tuple[Any, Verdict]:
        """A value that is answered, stands ``beside`` an answer or is given to a tool, each text in it looked at.

        Raises:
            ContentRefused: when one of them may not be said, or bytes are no text.
        """
        if isinstance(value, Embeddings):
            return value, ALLOWED
        looker = self._looker(timings, beside=beside)
        return looker.values(value, place), looker.verdict

    def admit_call(self, called: Mapping[str, Any], timings: Timings | None = None) -> tuple[dict[str, Any], Verdict]:
        """The function that a model calls, with its arguments.

        Raises:
            ContentRefused: when it may not be called so.
        """
        looker = self._looker(timings)
        return looker.call({"function": called})["function"], looker.verdict

    def admit_result(self, content: str, vault: Vault, timings: Timings | None = None) -> tuple[str, Verdict]:
        """What a tool returned, as a model may read it: without what had been taken out of the request, too.

        Raises:
            ContentRefused: when no model may read it.
        """
        looker = self._looker(timings, vault.keep if self.reversible else placeholder)
        return looker.text(vault.hidden(content), "tool_results"), looker.verdict

    def check_pieces(self, pieces: Any, timings: Timings | None = None) -> Verdict:
        """What is said of a member that an answer brought in pieces: of the texts in its lists one after the other.

        Raises:
            ContentRefused: when they are not to be said so, or would have to be redacted across pieces.
        """
        looker = self._looker(timings, beside=True)
        for text in _together(pieces).values():
            if looker.text(text, "output") != text:
                raise ContentRefused("A part of the answer came in pieces, and cannot be redacted.", "pieces")
        return looker.verdict

    def _looker(self, timings: Timings | None, replace: Replace = placeholder, *, beside: bool = False) -> Looker:
        return Looker(self.guardrails, replace, {} if timings is None else timings, media=self.media, beside=beside)


def _together(pieces: Any) -> dict[str, str]:
    """The texts in the lists of a member, by the names of the members that lead there, one after the other."""
    together: dict[str, str] = {}
    todo = [("", pieces)]
    while todo:
        path, value = todo.pop()
        if isinstance(value, str):
            together[path] = together.get(path, "") + value
        elif isinstance(value, list):
            todo += [(path, each) for each in reversed(value)]
        elif isinstance(value, Mapping):
            todo += [(f"{path}/{name}", each) for name, each in value.items() if name not in NOT_IN_PIECES]
    return together


def _chat(request: ChatRequest, looker: Looker) -> ChatRequest:
    if request.prompt is not None and not isinstance(request.prompt, str):
        looker.unread("input", "A prompt of token ids", "token_ids")
    messages = [looker.message(message) for message in request.messages]
    prompt = request.prompt
    if isinstance(prompt, str):
        is_said = request.messages == [{"role": "user", "content": prompt}]
        prompt = messages[0]["content"] if is_said else looker.text(prompt, "input")
    parameters = looker.parameters(request)
    if not looker.changed:
        return request
    return replace(request, messages=messages, prompt=prompt, parameters=parameters)


def _embedding(request: EmbeddingRequest, looker: Looker) -> EmbeddingRequest:
    if any(not isinstance(each, str) for each in request.inputs):
        looker.unread("input", "An input of token ids", "token_ids")
        inputs = request.inputs
    else:
        inputs = looker.values(request.inputs, "input")
    parameters = looker.values(request.parameters, "input")
    return replace(request, inputs=inputs, parameters=parameters) if looker.changed else request
