"""Policies around runs: the request is looked at before anything runs, the answer before anything of it leaves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeAlias

from gateway.answers import as_chunk
from graph import Event, FlowRun, Response
from guardrails import ContentRefused, Policy, Verdict
from guardrails.answer import AnswerWindow
from guardrails.vault import Vault
from llm import ChatChunk, ChatRequest

Through: TypeAlias = Callable[[FlowRun, AsyncGenerator[Any, None]], AsyncGenerator[Any, None]]
SAID = (ChatChunk, ChatRequest, str, bytes, type(None))
"""What is an answer in words; any other value is one by itself."""


class Guards:
    """The policies by name, and whom they hold for.

    Args:
        policies: all of them, by name.
        everywhere: the names of those that hold for everything.
        keys: the names of those that hold for a caller, by the name of its key.
    """

    def __init__(
        self, policies: Mapping[str, Policy], everywhere: Sequence[str], keys: Mapping[str, Sequence[str]]
    ) -> None:
        self._policies = policies
        self._everywhere = tuple(everywhere)
        self._keys = keys
        self._joined: dict[tuple[str, ...], Policy | None] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._policies)

    def __getitem__(self, name: str) -> Policy:
        return self._policies[name]

    def of(self, caller: str, names: Sequence[str]) -> Policy | None:
        """What holds for a caller of a model, or graph, that names these policies; None for nothing."""
        joined = tuple(dict.fromkeys((*self._everywhere, *names, *self._keys.get(caller, ()))))
        if joined not in self._joined:
            self._joined[joined] = Policy.of(self._policies[name] for name in joined) if joined else None
        return self._joined[joined]

    def sees_answers(self, names: Sequence[str]) -> bool:
        """Whether anyone's answers of such a model are looked at."""
        callers = ("", *self._keys)
        return any((policy := self.of(caller, names)) is not None and policy.sees_answers for caller in callers)


def guarded(policy: Policy) -> Through:
    """What leads a run's answer through a policy, after its request."""

    def through(run: FlowRun, answer: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        return _Guarded(policy, run).chunks(answer)

    return through


class _Guarded:
    """One run under a policy."""

    def __init__(self, policy: Policy, run: FlowRun) -> None:
        self._policy = policy
        self._run = run
        self._vault = Vault()

    async def chunks(self, answer: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        """The answer, or what is said instead."""
        async with aclosing(answer):
            try:
                self._admit(self._run.event)
            except ContentRefused as refused:
                self._run.verdict = Verdict(allowed=False, reason=str(refused), rule=refused.rule)
                if not self._policy.refusal:
                    raise
                yield ChatChunk(self._policy.refusal, finish_reason="content_filter")
                return
            said = self._looked_at(answer) if self._policy.sees_answers else answer
            async with aclosing(said) as chunks:
                async for chunk in chunks:
                    yield chunk

    def _admit(self, event: Event) -> None:
        if isinstance(event.body, ChatRequest):
            event.body, self._run.verdict = self._policy.admit(event.body, self._vault)
        else:
            event.body, self._run.verdict = self._policy.admit_values(event.body, self._vault)

    async def _looked_at(self, answer: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        """What may be said of an answer. Where it is refused, the run is closed and with it what is under way."""
        window = AnswerWindow(self._policy, self._vault)
        async for value in answer:
            if isinstance(value, SAID) or (isinstance(value, dict) and isinstance(value.get("answer"), str)):
                said = window.feed(as_chunk(value))
            else:
                said = None
                yield self._value(value)
            if not window.verdict.allowed:
                break
            if said is not None:
                yield said
        else:
            said = window.end()
        if said is not None:
            yield said
        self._told(window.verdict)
        if not window.verdict.allowed:
            yield ChatChunk(self._policy.replacement or None, finish_reason="content_filter")

    def _value(self, value: Any) -> Any:
        """An answer that is no text: each text in it is looked at by itself."""
        if isinstance(value, Response):
            return replace(value, body=self._policy.admit_answer(value.body)[0])
        return self._policy.admit_answer(value)[0]

    def _told(self, verdict: Verdict) -> None:
        """What is said of the answer, beside what was said of the request."""
        asked = self._run.verdict or verdict
        spans, flags = asked.spans + verdict.spans, asked.flags + verdict.flags
        self._run.verdict = Verdict(verdict.allowed, verdict.reason, rule=verdict.rule, spans=spans, flags=flags)
