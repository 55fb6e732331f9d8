"""POST /v1/chat/completions with ``store``: the answer is kept before its end is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.answers import Api, Asked
from gateway.choices import ChoiceDialect
from gateway.edge.body import BodyReader
from gateway.edge.context import Receive, Scope, Send, context_of
from gateway.edge.disconnect import ClientWatch
from gateway.endpoints.answering import AnswerEndpoint
from gateway.endpoints.chat import ChatApi, ChatDialect
from gateway.faults import Fault
from gateway.kept import KeptAnswer, KeptAnswers, keeping_last
from graph import Event
from llm import ChatChunk, ChatCompletion, ChatRequest, Usage


class ChatEndpoint:
    """Answers chats, and keeps the answers of those who ask for it."""

    def __init__(self, answering: AnswerEndpoint, bodies: BodyReader, kept: KeptAnswers) -> None:
        self._answering = answering
        self._bodies = bodies
        self._kept = kept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await self._bodies.json(scope, receive)
        if not isinstance(body, dict) or body.get("store") is not True:
            await self._answering.answer(body, scope, receive, send)
            return
        context, api = context_of(scope), OverheardChat()
        answer = self._answering.prepared(Asked(api, body), context)
        asked = [without_nulls(message) for message in body["messages"]]

        async def keep() -> None:
            if api.said is not None:
                await self._kept.put(KeptAnswer(context.principal.name, api.said, asked))

        async with ClientWatch(receive):
            await answer(keeping_last(send, keep))


def without_nulls(message: dict[str, Any]) -> dict[str, Any]:
    """A message without the members that are null, which SDKs send back."""
    return {name: value for name, value in message.items() if value is not None}


class OverheardChat(Api):
    """The chat API for one request; ``said`` is its answer, as soon as that is whole."""

    path = ChatApi.path

    def __init__(self) -> None:
        self._chat = ChatApi()
        self._heard: list[OverheardDialect] = []
        self._metadata: dict[str, str] = {}
        self.said: dict[str, Any] | None = None

    def request(self, body: Any) -> ChatRequest:
        self._metadata = body.get("metadata") or {}
        return self._chat.request(body)

    def others(self, request: ChatRequest, body: Any) -> Sequence[ChatRequest]:
        return self._chat.others(request, body)

    def dialect(self, event: Event, body: Any) -> ChoiceDialect:
        return self.choice(event, 0)

    def choice(self, event: Event, index: int) -> ChoiceDialect:
        """One choice in the answer to this event."""
        self._heard.append(OverheardDialect(event, index, self))
        return self._heard[-1]

    def close(self, usage: Usage) -> None:
        """A stream is over: its choices make the answer."""
        choices = [heard.choice(heard.completion, heard.reason) for heard in self._heard]
        self._heard[0].body(choices, usage)

    def tell(self, answer: dict[str, Any]) -> None:
        """The answer is whole."""
        self.said = {**answer, "metadata": self._metadata}


class OverheardDialect(ChatDialect):
    """One choice of an answer that is kept."""

    def __init__(self, event: Event, index: int, api: OverheardChat) -> None:
        super().__init__(event, index)
        self._api = api
        self.completion = ChatCompletion()
        self.reason = "stop"

    def chunk(self, chunk: ChatChunk) -> bytes:
        self.completion.add(chunk)
        return super().chunk(chunk)

    def finish(self, reason: str) -> bytes:
        self.reason = reason
        return super().finish(reason)

    def close(self, usage: Usage) -> bytes:
        frames = super().close(usage)
        self._api.close(usage)
        return frames

    def error(self, fault: Fault) -> bytes:
        self._api.said = None
        return super().error(fault)

    def body(self, choices: Sequence[dict[str, Any]], usage: Usage) -> dict[str, Any]:
        body = super().body(choices, usage)
        self._api.tell(body)
        return body
