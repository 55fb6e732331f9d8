"""Judges around runs: of a request beside the model that answers it, of an answer sentence by sentence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from itertools import dropwhile, takewhile
from random import random
from time import perf_counter_ns
from typing import Any, Final, NamedTuple, Self

import orjson

from gateway.edge.context import ANSWERED_BY
from graph import Event, FlowRun, LimitExceeded, PriceUnknown
from graph.steps.embedding import EmbeddingStep
from graph.steps.model_call import ask
from guardrails import ContentRefused, GuardrailUnavailable, Policy
from guardrails.judge import JudgeRule
from guardrails.looker import MEDIA
from guardrails.places import ROLES, Place
from guardrails.texts import texts_of
from guardrails.vault import Vault
from llm import ChatChunk, ChatRequest, EmbeddingRequest, Embeddings, Message, Model, text_of

END: Final = object()
PLACE = "guardrails"
"""Where what judges cost stands in the record of a run."""


class Question(NamedTuple):
    """A text, and who is asked about it."""

    rule: JudgeRule
    place: Place
    text: str


class Judges:
    """The judges of one run. Those who only record are not waited for before the run has ended.

    Args:
        policy: whose rules they are.
        run: which pays for them.
        vault: what was taken out of the request, which they are not shown either.

    Attributes:
        flags: rules that would have refused, in shadow mode, or that only flag.
    """

    def __init__(self, policy: Policy, run: FlowRun, vault: Vault) -> None:
        self._policy = policy
        self._run = run
        self._vault = vault
        self._recording: list[asyncio.Task[None]] = []
        self._ended = False
        self.flags: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Waits for those who only record; after a failure they are left. No others are asked from then on, as side
        branches of the run may still want to."""
        self._ended = True
        if kind is not None:
            for task in self._recording:
                task.cancel()
        ended = await asyncio.gather(*self._recording, return_exceptions=True)
        failures = [each for each in ended if each is not None]
        if kind is None and failures:
            raise failures[0]

    @property
    def judge_answers(self) -> bool:
        """Whether any of them is asked about answers, or the calls in them."""
        return bool(self._policy.judges("output") or self._policy.judges("tool_arguments"))

    async def judge(self, place: Place, *texts: str) -> None:
        """Asks about texts of a kind, those whose sample they are in.

        Raises:
            ContentRefused: when one of them is refused.
            GuardrailUnavailable: when one must be asked and does not answer.
        """
        await self._answered([question for text in texts for question in self._questions(place, text)])

    async def beside(self, answer: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        """The answer, nothing of which leaves before the request has been judged; both are made at the same time.

        Raises:
            ContentRefused: when the request is refused; the answer is left then.
            GuardrailUnavailable: when one must be asked and does not answer.
        """
        body = self._run.event.body
        questions = self._questions("input", _asked(body)) if self._policy.judges("input") else []
        questions += self._questions("tool_results", _returned(body)) if self._policy.judges("tool_results") else []
        waited = self._begun(questions)
        if not waited:
            async for value in answer:
                yield value
            return
        first = asyncio.ensure_future(anext(answer, END))
        try:
            await self._answered(waited)
            value = await first
        finally:
            first.cancel()
            await asyncio.wait([first])
            if not first.cancelled():
                first.exception()
        while value is not END:
            yield value
            value = await anext(answer, END)

    async def sentences(self, chunks: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        """An answer, each sentence of which is held until all so far has been judged, and each call until it has been.
        Who only records is asked about all of it once, after its last word.

        Raises:
            ContentRefused: when it is refused; the sentence in question has not been said.
            GuardrailUnavailable: when one must be asked and does not answer.
        """
        rules = [rule for rule in self._policy.judges("output") if self._looks(rule, "output", "")]
        waiting = [rule for rule in rules if rule.does == "refuse"]
        held: list[Any] = []
        said = fresh = ""
        async for chunk in chunks:
            held.append(chunk)
            fresh += _said(chunk)
            await self.judge("tool_arguments", *_calls(chunk))
            if waiting:
                if not fresh or not any(rule.is_due(fresh) for rule in waiting):
                    continue
                said, fresh = said + fresh, ""
                await self._answered([Question(rule, "output", said) for rule in waiting])
            for each in held:
                yield each
            held = []
        last = [rule for rule in rules if fresh or rule not in waiting] if said + fresh else []
        await self._answered([Question(rule, "output", said + fresh) for rule in last])
        for each in held:
            yield each

    def _questions(self, place: Place, text: str) -> list[Question]:
        rules = self._policy.judges(place) if text else ()
        return [Question(rule, place, text) for rule in rules if self._looks(rule, place, text)]

    def _begun(self, questions: Sequence[Question]) -> list[Question]:
        """Asks those who only record; what is left are the questions whose answer has to be waited for."""
        for question in questions:
            if question.rule.does != "refuse" and not self._ended:
                self._recording.append(asyncio.create_task(self._record(question)))
        return [question for question in questions if question.rule.does == "refuse"]

    async def _answered(self, questions: Sequence[Question]) -> None:
        """Asks all at once; the first that refuses, in their order, is the one that is told."""
        waited = self._begun(questions)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [(question.rule, group.create_task(self._ask(question))) for question in waited]
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        for rule, task in tasks:
            if why := task.result():
                raise ContentRefused(f"{rule.message} {why}".strip(), rule.name)

    async def _record(self, question: Question) -> None:
        """Asks one who only records: nobody answering, or none that the run may pay for, is what it would have refused
        for."""
        name = question.rule.name
        try:
            refuses = bool(await self._ask(question))
        except (GuardrailUnavailable, LimitExceeded, PriceUnknown):
            refuses = not question.rule.fails_open
        if refuses and name not in self.flags:
            self.flags.append(name)

    async def _ask(self, question: Question) -> str:
        """In a task of its own: who answers here gave nothing of the answer."""
        rule, place, text = question
        ANSWERED_BY.set([])
        begun = perf_counter_ns()
        try:
            return await rule.judge(self._vault.hidden(text), place, _Asker(self._own(question)))
        finally:
            for hook in self._run.hooks.after_rule:
                hook(self._run, rule.name, place, perf_counter_ns() - begun)

    def _looks(self, rule: JudgeRule, place: Place, text: str) -> bool:
        tape = self._own(Question(rule, place, text)).tape if rule.sample < 1 else None
        return rule.looks() if tape is None else rule.looks(lambda: tape.draw(PLACE, random))

    def _own(self, question: Question) -> Event:
        """An event beside the one that walks, which shares what the run spends and its tape."""
        event = self._run.event.having(None)
        event.at = PLACE
        if event.tape is not None:
            rules = [placed.rule for placed in self._policy.rules]
            event.tape = event.tape.about([rules.index(question.rule), question.place, question.text])
        return event


class _Asker:
    """See :class:`~guardrails.judge.Asker`. It asks about one text, of which the event is."""

    def __init__(self, event: Event) -> None:
        self._event = event
        self.taped = event.tape is not None

    async def ask(self, model: Model, request: ChatRequest) -> str:
        return (await ask(model, request, self._event)).content

    async def embed(self, model: Model, texts: list[str]) -> list[list[float]]:
        event = self._event.having(EmbeddingRequest(texts))
        await EmbeddingStep(model).do(event)
        vectors: list[list[float]] = event.body.vectors
        return vectors

    async def fetch(self, asked: list[str], make: Callable[[], Awaitable[Any]]) -> Any:
        event = self._event
        return await (make() if event.tape is None else event.tape.value(event.at, asked, make))


def _asked(body: Any) -> str:
    """What is judged of a request: what the user said last, be it in several messages, whatever has been said after it;
    or all texts of a body that is no chat."""
    if isinstance(body, ChatRequest):
        last = dropwhile(lambda message: message["role"] != "user", reversed(body.messages))
        turn = [*takewhile(lambda message: message["role"] != "assistant", last)]
        return "\n".join(_words(message) for message in reversed(turn) if message["role"] == "user")
    return "\n".join(texts_of(body.inputs if isinstance(body, EmbeddingRequest) else body))


def _returned(body: Any) -> str:
    """What tools returned since the model called them, which it is to read now."""
    if not isinstance(body, ChatRequest):
        return ""
    turn = [*takewhile(lambda message: message["role"] != "assistant", reversed(body.messages))]
    return "\n".join(_words(each) for each in reversed(turn) if ROLES.get(each["role"]) == "tool_results")


def _words(message: Message) -> str:
    """The text of a message, and what else is one in its parts."""
    parts = message["content"] if isinstance(message.get("content"), list) else ()
    others = [part for part in parts if part["type"] not in {"text", *MEDIA}]
    return "\n".join((text_of(message), *texts_of(others)))


def _said(value: Any) -> str:
    """What is judged of a part of an answer: its words and thoughts, or all texts of one that is no chat."""
    if isinstance(value, ChatChunk):
        return "".join((value.content or "", *filter(_is_text, (value.extra or {}).values())))
    return "" if isinstance(value, Embeddings) else "\n".join(texts_of(value))


def _calls(value: Any) -> list[str]:
    """What is judged of the calls in a part of an answer, which come whole."""
    if not isinstance(value, ChatChunk):
        return []
    called = (value.extra or {}).get("function_call")
    older = [(str(called.get("name", "")), str(called.get("arguments", "")))] if isinstance(called, Mapping) else []
    return [
        as_text(name, arguments) for name, arguments in [*((c.name, c.arguments) for c in value.tool_calls), *older]
    ]


def as_text(name: str | None, arguments: str) -> str:
    """A call of a tool as a judge reads it, in JSON."""
    try:
        return orjson.dumps({"name": name, "arguments": orjson.loads(arguments)}).decode()
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return orjson.dumps({"name": name, "arguments": arguments}).decode()


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
