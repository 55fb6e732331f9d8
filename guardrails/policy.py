"""Policy: which guardrail holds for which text of a conversation, and what is said instead of what it refuses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias, get_args

import orjson

from guardrails.errors import ContentRefused
from guardrails.guardrail import MAX_HELD, Guardrail
from guardrails.judge import JudgeRule
from guardrails.rule import Rule
from guardrails.vault import Vault
from guardrails.verdict import Verdict
from guardrails.window import Replace, placeholder
from llm import ChatRequest, Message

Place: TypeAlias = Literal["system", "input", "tool_results", "tool_arguments", "output"]
"""A kind of text: of the system or developer, of the user (and of earlier answers), what tools returned, what they are
called with, and what the model says."""
PLACES: tuple[Place, ...] = get_args(Place)
ROLES: Mapping[str, Place] = {
    "system": "system",
    "developer": "system",
    "tool": "tool_results",
    "function": "tool_results",
}
"""Where the text of a message belongs by its role; all others are ``input``."""


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
    ) -> None:
        self.rules = tuple(rules)
        self.refusal = refusal
        self.replacement = replacement
        self.reversible = reversible
        self.max_held = max_held
        places = dict.fromkeys(place for placed in rules for place in placed.places)
        self._judges = {
            place: tuple(
                placed.rule for placed in rules if place in placed.places and isinstance(placed.rule, JudgeRule)
            )
            for place in places
        }
        self.guardrails: Mapping[Place, Guardrail] = {
            place: Guardrail(place, [placed.rule for placed in rules if place in placed.places], max_held=max_held)
            for place in places
        }

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
        )

    def judges(self, place: Place) -> tuple[JudgeRule, ...]:
        """The rules that ask somebody about a kind of text."""
        return self._judges.get(place, ())

    @property
    def sees_answers(self) -> bool:
        """Whether anything looks at what a model says."""
        return bool(self.guardrails.keys() & {"output", "tool_arguments"}) or self.reversible

    @property
    def passes(self) -> bool:
        """Whether an answer may go out as the bytes that it came in: nobody looks at it, and no judge adds its cost."""
        return not self.sees_answers and not any(self._judges.values())

    def admit(self, request: ChatRequest, vault: Vault) -> tuple[ChatRequest, Verdict]:
        """The request as it may go on, and what was said of it.

        Raises:
            ContentRefused: when it may not; or when it is token ids, which nobody can look at.
        """
        looker = _Looker(self.guardrails, vault.keep if self.reversible else placeholder)
        if request.prompt is not None and not isinstance(request.prompt, str) and "input" in self.guardrails:
            raise ContentRefused("A prompt of token ids cannot be looked at; send it as text.", "token_ids")
        messages = [looker.message(message) for message in request.messages]
        prompt = looker.text(request.prompt, "input") if isinstance(request.prompt, str) else request.prompt
        if not looker.changed:
            return request, looker.verdict
        admitted = request.having()
        admitted.messages, admitted.prompt = messages, prompt
        return admitted, looker.verdict

    def admit_values(self, value: Any, vault: Vault) -> tuple[Any, Verdict]:
        """The same of a body that is no chat: each text in it is one of the user's."""
        looker = _Looker(self.guardrails, vault.keep if self.reversible else placeholder)
        return looker.values(value, "input"), looker.verdict

    def admit_answer(self, value: Any, place: Place = "output") -> tuple[Any, Verdict]:
        """A value that is answered or given to a tool, each text in it looked at.

        Raises:
            ContentRefused: when one of them may not be said.
        """
        looker = _Looker(self.guardrails, placeholder)
        return looker.values(value, place), looker.verdict


class _Looker:
    """Looks at one text after the other, and adds up what is said of them."""

    def __init__(self, guardrails: Mapping[Place, Guardrail], replace: Replace) -> None:
        self._guardrails = guardrails
        self._replace = replace
        self.changed = False
        self.verdict = Verdict(allowed=True)

    def text(self, text: str, place: Place) -> str:
        """A text as it may go on."""
        guardrail = self._guardrails.get(place)
        if guardrail is None or not text:
            return text
        checked = guardrail.check(text, self._replace)
        if not checked.verdict.allowed:
            raise ContentRefused(checked.verdict.reason, checked.verdict.rule)
        self.verdict = Verdict(
            allowed=True,
            spans=self.verdict.spans + checked.verdict.spans,
            flags=tuple(dict.fromkeys(self.verdict.flags + checked.verdict.flags)),
        )
        self.changed = self.changed or checked.text != text
        return checked.text

    def values(self, value: Any, place: Place) -> Any:
        """A value as it may go on, each text in it by itself; the names of members are looked at too."""
        if isinstance(value, str):
            return self.text(value, place)
        if isinstance(value, Mapping):
            return {self.text(str(name), place): self.values(each, place) for name, each in value.items()}
        return [self.values(each, place) for each in value] if isinstance(value, (list, tuple)) else value

    def arguments(self, text: str) -> str:
        """The arguments of a call: of JSON each text in it, else all of it."""
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            return self.text(text, "tool_arguments")
        admitted = self.values(value, "tool_arguments")
        return text if admitted == value else orjson.dumps(admitted).decode()

    def message(self, message: Message) -> Message:
        """A message as it may go on."""
        place = ROLES.get(message["role"], "input")
        content = message.get("content")
        admitted = {**message}
        if isinstance(content, str):
            admitted["content"] = self.text(content, place)
        elif isinstance(content, list):
            admitted["content"] = [
                {**part, "text": self.text(part["text"], place)} if isinstance(part.get("text"), str) else part
                for part in content
            ]
        if calls := message.get("tool_calls"):
            admitted["tool_calls"] = [self._call(call) for call in calls]
        return admitted

    def _call(self, call: Mapping[str, Any]) -> dict[str, Any]:
        kind = call.get("type", "function")
        member = "arguments" if kind == "function" else "input"
        called = call.get(kind)
        if not isinstance(called, Mapping) or not isinstance(called.get(member), str):
            return dict(call)
        return {**call, kind: {**called, member: self.arguments(called[member])}}


def admitted_arguments(policy: Policy, text: str) -> str:
    """The arguments of a call that a model made.

    Raises:
        ContentRefused: when the call may not be made.
    """
    return _Looker(policy.guardrails, placeholder).arguments(text)
