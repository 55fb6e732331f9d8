"""Judges around runs: of a request beside the model that answers it, of an answer sentence by sentence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from itertools import dropwhile, takewhile
from time import perf_counter_ns
from typing import Any, Final

from graph import Event, FlowRun
from graph.steps.embedding import EmbeddingStep
from graph.steps.model_call import ask
from guardrails import ContentRefused, Policy
from guardrails.judge import JudgeRule
from guardrails.looker import MEDIA
from guardrails.places import Place
from guardrails.texts import texts_of
from llm import ChatChunk, ChatRequest, EmbeddingRequest, Embeddings, Message, Model, text_of

END: Final = object()
PLACE = "guardrails"
"""Where what judges cost stands in the record of a run."""


class Judges:
    """The judges of one run.

    Attributes:
        flags: rules that would have refused, in shadow mode, or that only flag.
    """

    def __init__(self, policy: Policy, run: FlowRun) -> None:
        self._policy = policy
        self._run = run
        self.flags: list[str] = []

    async def beside(self, answer: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        """The answer, nothing of which leaves before the request has been judged; both are made at the same time.

        Raises:
            ContentRefused: when the request is refused; the answer is left then.
        """
        judges = self._policy.judges("input")
        if not judges:
            async for value in answer:
                yield value
            return
        first = asyncio.ensure_future(anext(answer, END))
        try:
            await self.judge(judges, "input", _asked(self._run.event.body))
            value = await first
        finally:
            first.cancel()
            await asyncio.wait([first])
            if not first.cancelled():
                first.exception()
        while value is not END:
            yield value
            value = await anext(answer, END)

    async def judge(self, judges: Sequence[JudgeRule], place: Place, text: str) -> None:
        """Asks all judges at once; the first that refuses, in their order, is the one that is told.

        Raises:
            ContentRefused: when one refuses.
            GuardrailUnavailable: when one must be asked and does not answer.
        """
        if not text:
            return
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [(rule, group.create_task(self._ask(rule, place, text))) for rule in judges]
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        for rule, task in tasks:
            if why := task.result():
                if rule.does == "refuse":
                    raise ContentRefused(f"{rule.message} {why}".strip(), rule.name)
                self.flags.append(rule.name)

    async def _ask(self, rule: JudgeRule, place: Place, text: str) -> str:
        begun = perf_counter_ns()
        try:
            return await rule.judge(text, self)
        finally:
            for hook in self._run.hooks.after_rule:
                hook(self._run, rule.name, place, perf_counter_ns() - begun)

    async def sentences(self, chunks: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        """An answer, each sentence of which is held until all so far has been judged.

        Raises:
            ContentRefused: when it is refused; the sentence in question has not been said.
        """
        judges = self._policy.judges("output")
        held: list[Any] = []
        said = fresh = ""
        async for chunk in chunks:
            held.append(chunk)
            fresh += _said(chunk)
            if fresh and any(rule.is_due(fresh) for rule in judges):
                said, fresh = said + fresh, ""
                await self.judge(judges, "output", said)
                for each in held:
                    yield each
                held = []
        if fresh:
            await self.judge(judges, "output", said + fresh)
        for each in held:
            yield each

    async def ask(self, model: Model, request: ChatRequest) -> str:
        return (await ask(model, request, self._own())).content

    async def embed(self, model: Model, texts: list[str]) -> list[list[float]]:
        event = self._own()
        event.body = EmbeddingRequest(texts)
        await EmbeddingStep(model).do(event)
        vectors: list[list[float]] = event.body.vectors
        return vectors

    async def fetch(self, asked: list[str], make: Callable[[], Awaitable[Any]]) -> Any:
        event = self._own()
        return await (make() if event.tape is None else event.tape.value(event.at, asked, make))

    def _own(self) -> Event:
        """An event beside the one that walks, which shares what the run spends and its tape."""
        event = self._run.event.having(None)
        event.at = PLACE
        return event


def _asked(body: Any) -> str:
    """What is judged of a request: what the user said last, be it in several messages, whatever has been said after it;
    or all texts of a body that is no chat."""
    if isinstance(body, ChatRequest):
        last = dropwhile(lambda message: message["role"] != "user", reversed(body.messages))
        turn = [*takewhile(lambda message: message["role"] != "assistant", last)]
        return "\n".join(_words(message) for message in reversed(turn) if message["role"] == "user")
    return "\n".join(texts_of(body.inputs if isinstance(body, EmbeddingRequest) else body))


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


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
