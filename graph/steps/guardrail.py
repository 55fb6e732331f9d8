"""GuardrailStep: a guardrail looks at what stands in the body, and sends it on, or back with its reason."""

from __future__ import annotations

from itertools import takewhile
from time import perf_counter_ns
from typing import Any

from graph.errors import InvalidStep
from graph.event import Event
from graph.steps.judge import remark
from guardrails import ContentRefused, Guardrail, Verdict
from guardrails.judge import JudgeRule
from guardrails.looker import Looker
from guardrails.places import PLACES, ROLES, Place
from guardrails.timing import Timing
from guardrails.window import placeholder
from llm import ChatRequest, Message

VERDICT, REFUSALS = "verdict", "refusals"
"""Where the latest verdict, and the number of refusals, stand in the step's notes."""
SAID = frozenset({"role", "content"})
"""What a message says in words, and who; all else stands beside that."""


class GuardrailStep:
    """Looks at all texts of the last message of a chat request, of all results of tools where it ends with those, or at
    a body that is text. What is allowed goes to ``passed``, with its redactions; what is not goes to ``refused``, to a
    request with the reason appended as a user's message ``Reviewer: …``.

    Behind a responder that hides its drafts, ``refused`` may be that responder (``cycle_to``): the client then sees the
    first draft that the guardrail lets pass. A draft is shown as it was written, so a rule that would redact in it
    refuses it; to redact answers instead, put them under a policy.

    Args:
        guardrail: what looks.
        passed, refused: the names of the followers; ``Complete`` leaves the graph.
        drafts: whether what is looked at is a draft that the client will see.
        max_refusals: after so many refusals the event passes all the same, with the verdict in the step's notes; for
            what must never be said leave it away and cap the cycle.

    Raises:
        InvalidStep: when one of the rules asks somebody, which a policy does and a step does not.
    """

    full_event = True
    needs_whole = True

    def __init__(
        self, guardrail: Guardrail, *, passed: str, refused: str, drafts: bool = True, max_refusals: int | None = None
    ) -> None:
        judge = next((rule for rule in guardrail.rules if isinstance(rule, JudgeRule)), None)
        if judge is not None:
            raise InvalidStep(f"a GuardrailStep asks nobody, so '{judge.name}' says nothing in it; use a JudgeStep")
        self._guardrail = guardrail
        self._passed = passed
        self._refused = refused
        self._drafts = drafts
        self._max_refusals = max_refusals

    def do(self, event: Event) -> None:
        timing, place, begun = Timing(), self._place(event.body), perf_counter_ns()
        event.body, verdict = self._admitted(event.body, timing)
        timing.total = perf_counter_ns() - begun
        if (run := event.run) is not None:
            for hook in run.hooks.after_rule:
                for rule, nanoseconds in timing.told(self._guardrail):
                    hook(run, rule, place, nanoseconds)
        event.score = 1.0 if verdict.allowed else 0.0
        event.own_notes[VERDICT] = verdict
        if not verdict.allowed:
            event.own_notes[REFUSALS] = event.own_notes.get(REFUSALS, 0) + 1
            if isinstance(event.body, ChatRequest):
                event.body.messages.append(remark(verdict.reason))

    def select_outlets(self, event: Event) -> str:
        """Where the verdict sends the event."""
        if event.own_notes[VERDICT].allowed:
            return self._passed
        given_up = self._max_refusals is not None and event.own_notes[REFUSALS] > self._max_refusals
        return self._passed if given_up else self._refused

    def _place(self, body: Any) -> Place:
        """The kind of text that it looks at."""
        role = body.messages[-1].get("role", "user") if isinstance(body, ChatRequest) else "user"
        return "output" if self._drafts or role == "assistant" else ROLES.get(role, "input")

    def _admitted(self, body: Any, timing: Timing) -> tuple[Any, Verdict]:
        """The body as it may go on, and what is said of it."""
        if isinstance(body, ChatRequest):
            last = _last(body.messages)
            messages, verdict = self._looked_at(last, timing)
            return body if messages is last else body.having([*body.messages[: -len(last)], *messages]), verdict
        checked = self._guardrail.check(str(body), timing=timing)
        verdict = self._strict(checked.verdict)
        return checked.text if verdict.action == "redact" else body, verdict

    def _looked_at(self, messages: list[Message], timing: Timing) -> tuple[list[Message], Verdict]:
        """Messages, with their redactions, and what is said of all their texts: also of thoughts and calls of tools."""
        guardrails, timings = dict.fromkeys(PLACES, self._guardrail), dict.fromkeys(PLACES, timing)
        looker, beside = (Looker(guardrails, placeholder, timings, beside=beside) for beside in (False, True))
        admitted = []
        try:
            for message in messages:
                said = looker.message({name: value for name, value in message.items() if name in SAID})
                others = {name: value for name, value in message.items() if name not in SAID}
                admitted.append(
                    said | (beside if self._drafts else looker).message({"role": message["role"], **others})
                )
        except ContentRefused as refused:
            return messages, refused.verdict
        verdict = self._strict(Verdict.of([looker.verdict, beside.verdict]))
        return admitted if verdict.action == "redact" else messages, verdict

    def _strict(self, verdict: Verdict) -> Verdict:
        """The verdict, where what would be redacted in a draft refuses it."""
        if not self._drafts or verdict.action != "redact":
            return verdict
        span = next(span for span in verdict.spans if span.action == "redact")
        rule = next(rule for rule in self._guardrail.rules if rule.name == span.rule)
        return Verdict(allowed=False, reason=rule.message, rule=rule.name, spans=verdict.spans, flags=verdict.flags)


def _last(messages: list[Message]) -> list[Message]:
    """The last message; of results of tools, which come several at once, all that the messages end with."""
    results = list(takewhile(lambda message: message.get("role") == "tool", reversed(messages)))
    return results[::-1] or messages[-1:]
