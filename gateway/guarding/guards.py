"""Policies around runs: the request is looked at before anything runs, the answer before anything of it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

import orjson

from gateway.answers import as_chunk
from gateway.errors import PolicyMissing
from gateway.guarding.judging import Judges, as_text
from graph import Event, FlowRun, Response
from guardrails import ContentRefused, Policy, Verdict
from guardrails.answer import AnswerWindow
from guardrails.places import Timings
from guardrails.texts import is_longer, with_texts
from guardrails.vault import Vault
from guardrails.verdict import ALLOWED
from llm import ChatChunk, ChatRequest, EmbeddingRequest
from llm.transport import Transport

Looked = TypeVar("Looked")
MUCH = 10_000
"""How many characters are looked at on the event loop; it takes up to about two milliseconds for a thousand of them."""
Through: TypeAlias = Callable[[FlowRun, AsyncGenerator[Any, None]], AsyncGenerator[Any, None]]
SAID = (ChatChunk, ChatRequest, str, bytes, type(None))
"""What is an answer in words; any other value is one by itself."""


class Guards:
    """The policies by name, and whom they hold for.

    Args:
        policies: all of them, by name.
        everywhere: the names of those that hold for everything.
        keys: the names of those that hold for a caller, by the name of its key.
        transports: over which judges are asked.
        written: a digest of what each of them says, to compare it with what it said before.
    """

    def __init__(
        self,
        policies: Mapping[str, Policy],
        everywhere: Sequence[str],
        keys: Mapping[str, Sequence[str]],
        transports: Sequence[Transport] = (),
        written: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._policies = policies
        self._everywhere = tuple(everywhere)
        self._keys = keys
        self._stored: Callable[[str], Sequence[str]] = lambda _: ()
        self._transports = transports
        self._written = written
        self._joined: dict[tuple[str, ...], Policy | None] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._policies)

    def __getitem__(self, name: str) -> Policy:
        return self._policies[name]

    async def close(self) -> None:
        """Closes the connections to judges."""
        for transport in self._transports:
            await transport.close()

    def ask(self, stored: Callable[[str], Sequence[str]]) -> None:
        """Who says from now on which policies a stored key names."""
        self._stored = stored

    def told(self, caller: str, names: Sequence[str]) -> bytes:
        """What holds for a caller of what names these policies, to compare: two answers that were made under the same
        of it were made under the same policies, whoever asked. Nothing where no policy holds."""
        held = sorted({*self._everywhere, *names, *self._of_key(caller)})
        return orjson.dumps([[name, self._written.get(name)] for name in held]) if held else b""

    def of(self, caller: str, names: Sequence[str]) -> Policy | None:
        """What holds for a caller of a model, or graph, that names these policies; None for nothing.

        Raises:
            PolicyMissing: when the caller's key names one that is not there.
        """
        of_key = self._of_key(caller)
        if not self._policies and not of_key:
            return None
        joined = tuple(dict.fromkeys((*self._everywhere, *names, *of_key)))
        if joined not in self._joined:
            for name in of_key:
                if name not in self._policies:
                    raise PolicyMissing(caller, name)
            self._joined[joined] = Policy.of(self._policies[name] for name in joined) if joined else None
        return self._joined[joined]

    def _of_key(self, caller: str) -> tuple[str, ...]:
        """The policies that a caller's key names, whether or not there are such."""
        return (*self._keys.get(caller, ()), *self._stored(caller))


def guarded(policy: Policy, *, in_words: bool = True) -> Through:
    """What leads a run's answer through a policy, after its request. Where the answer is not ``in_words``, nothing can
    be said instead of what is refused: that is an error then."""

    def through(run: FlowRun, answer: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        return _Guarded(policy, run, in_words).chunks(answer)

    return through


class _Guarded:
    """One run under a policy."""

    def __init__(self, policy: Policy, run: FlowRun, in_words: bool) -> None:
        self._policy = policy
        self._run = run
        self._in_words = in_words
        self._timings: Timings = {}
        self._vault = Vault()
        self._judges = Judges(policy, run, self._vault)
        self._asked_for = False
        self._tools = asyncio.Lock()
        if policy.sees_tools:
            run.tool_guard = self

    async def chunks(self, answer: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        """The answer, or what is said instead."""
        said = False
        try:
            async with self._judges, aclosing(answer):
                try:
                    await self._admit(self._run.event)
                    async with aclosing(self._said(answer)) as chunks:
                        async for chunk in chunks:
                            yield chunk
                            said = True
                except ContentRefused as refused:
                    self._add(refused.verdict)
                    instead = self._policy.replacement if self._asked_for else self._policy.refusal
                    if not self._in_words or not (said or self._asked_for or instead):
                        raise
                    yield ChatChunk(instead or None, finish_reason="content_filter")
        finally:
            self._tell_timings()
            self._flag()

    async def _admit(self, event: Event) -> None:
        body = event.body
        asked = (body.messages, body.parameters, body.prompt) if isinstance(body, ChatRequest) else body
        asked = (body.inputs, body.parameters) if isinstance(body, EmbeddingRequest) else asked
        admitting = partial(self._policy.admit, body, self._vault, self._timings)
        event.body, self._run.verdict = await _looked(admitting, asked)

    # --- calls of tools that the graph makes itself: what is refused of them a model is told, and the run goes on

    async def arguments(self, called: Mapping[str, Any]) -> str:
        """See :class:`~graph.running.run.ToolGuard`. A tool is given what was taken out of the request."""
        with self._recorded():
            admitted = await self._of_a_tool(partial(self._policy.admit_call, called, self._timings), called)
            await self._judges.judge("tool_arguments", as_text(admitted["name"], admitted["arguments"]))
        return self._vault.restored_in_json(admitted["arguments"])

    async def result(self, content: str) -> str:
        """See :class:`~graph.running.run.ToolGuard`."""
        with self._recorded():
            admitting = partial(self._policy.admit_result, content, self._vault, self._timings)
            admitted = await self._of_a_tool(admitting, content)
            await self._judges.judge("tool_results", admitted)
        return admitted

    async def _of_a_tool(self, look: Callable[[], tuple[Looked, Verdict]], at: Any) -> Looked:
        async with self._tools:
            admitted, verdict = await _looked(look, at)
            self._add(verdict)
        return admitted

    @contextmanager
    def _recorded(self) -> Iterator[None]:
        """What is refused in here does not end the run, so that it is recorded like what is flagged."""
        try:
            yield
        except ContentRefused as refused:
            self._add(replace(refused.before, flags=_flagged(refused)))
            raise

    def _tell_timings(self) -> None:
        for place, timing in self._timings.items():
            for rule, nanoseconds in timing.told(self._policy.guardrails[place]):
                for hook in self._run.hooks.after_rule:
                    hook(self._run, rule, place, nanoseconds)

    async def _said(self, answer: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        """What may be said of an answer, the request having been judged."""
        async with aclosing(self._judges.beside(answer)) as chunks:
            looked_at = self._looked_at(chunks) if self._policy.sees_answers else chunks
            async with aclosing(looked_at) as passed:
                judged = self._judges.sentences(passed) if self._judges.judge_answers else passed
                async with aclosing(judged) as said:
                    async for chunk in said:
                        yield chunk

    async def _looked_at(self, answer: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        """What may be said of an answer by rules that need not ask anybody.

        Raises:
            ContentRefused: where it is refused; what stands before has been said.
        """
        window = AnswerWindow(self._policy, self._vault, self._timings)
        async for value in answer:
            self._asked_for = True
            if self._in_words and _says(value):
                chunk = as_chunk(value)
                if len(chunk.content or "") <= MUCH:
                    said = window.feed(chunk)
                else:
                    said = await asyncio.to_thread(window.feed, chunk)
                if said is not None:
                    yield said
            else:
                yield await _looked(partial(self._value, value), value)
            if not window.allowed:
                break
        else:
            if (said := window.end()) is not None:
                yield said
        self._add(window.verdict)
        if not window.allowed:
            raise ContentRefused(window.verdict.reason, window.verdict.rule)

    def _flag(self) -> None:
        if self._judges.flags:
            self._add(Verdict(allowed=True, flags=tuple(self._judges.flags)))

    def _add(self, verdict: Verdict) -> None:
        """What is said of the answer, beside what was said of the request."""
        self._run.verdict = Verdict.of([self._run.verdict or ALLOWED, verdict])

    def _value(self, value: Any) -> Any:
        """An answer that is no text: each text in it is looked at by itself."""
        if isinstance(value, Response):
            return replace(value, body=self._value(value.body), headers=self._value(dict(value.headers)))
        admitted, verdict = self._policy.admit_answer(value, timings=self._timings)
        self._add(verdict)
        return with_texts(admitted, self._vault.restored) if self._vault else admitted


def _flagged(refused: ContentRefused) -> tuple[str, ...]:
    """The rules that are recorded by name where what was refused did not end the run; others are by what they found."""
    found = any(span.rule == refused.rule for span in refused.before.spans)
    return refused.before.flags if found else tuple(dict.fromkeys((*refused.before.flags, refused.rule)))


async def _looked(look: Callable[[], Looked], at: Any) -> Looked:
    """What becomes of looking at something: at much of it in a thread, so that nobody else waits for it."""
    return await asyncio.to_thread(look) if is_longer(at, MUCH) else look()


def _says(value: Any) -> bool:
    """Whether a value is an answer in words."""
    return isinstance(value, SAID) or (isinstance(value, dict) and isinstance(value.get("answer"), str))
