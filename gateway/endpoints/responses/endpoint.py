"""POST /v1/responses: what a request refers to is put into it, and what it makes is kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from gateway.answers import Asked
from gateway.edge.body import BodyReader, send_json
from gateway.edge.context import Receive, RequestContext, Scope, Send, context_of
from gateway.edge.disconnect import ClientWatch
from gateway.edge.sse import HEADERS
from gateway.endpoints.answering import AnswerEndpoint
from gateway.endpoints.responses.background import Background
from gateway.endpoints.responses.checks import checked
from gateway.endpoints.responses.conversation import inlined
from gateway.endpoints.responses.echo import opening
from gateway.endpoints.responses.event_log import EventLog
from gateway.endpoints.responses.items import items_of, shown
from gateway.endpoints.responses.making import Making, Overheard
from gateway.kept import KeptAnswers


class ResponsesEndpoint:
    """Makes responses. Where the caller wants so, it goes on without waiting for them."""

    def __init__(
        self, answering: AnswerEndpoint, bodies: BodyReader, kept: KeptAnswers, background: Background
    ) -> None:
        self._answering = answering
        self._bodies = bodies
        self._kept = kept
        self._background = background

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = context_of(scope)
        body = checked(await self._bodies.json(scope, receive))
        whole = await inlined(body, context.principal.name, self._kept)
        making = self._making(whole, context)
        if body.get("background"):
            await self._make_in_background(making, body, context, receive, send)
            return
        make = making.run if body.get("store", True) else making.answer
        async with ClientWatch(receive):
            await make(send)

    def _making(self, body: dict[str, Any], context: RequestContext) -> Making:
        api = Overheard()
        answer = self._answering.prepared(Asked(api, body), context)
        items = shown(items_of(body), _suffix(context))
        return Making(context.principal.name, items, self._kept, api, answer)

    async def _make_in_background(
        self, making: Making, body: Mapping[str, Any], context: RequestContext, receive: Receive, send: Send
    ) -> None:
        self._background.check()
        making.first = opening(_suffix(context), int(datetime.now(UTC).timestamp()), body)
        log = EventLog() if body.get("stream") else None
        await making.keep()
        self._background.start((making.owner, making.first["id"]), making, log)
        if log is None:
            await send_json(send, 200, making.first)
        else:
            async with ClientWatch(receive):
                await send_events(log.follow(0), send)


def _suffix(context: RequestContext) -> str:
    return context.request_id.removeprefix("req_")


async def send_events(events: AsyncGenerator[bytes, None], send: Send) -> None:
    """Sends events as they come, until there are no more."""
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    async with aclosing(events) as frames:
        async for frame in frames:
            await send({"type": "http.response.body", "body": frame, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
