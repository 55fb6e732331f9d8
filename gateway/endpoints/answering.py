"""The endpoints that a model answers: one for each API, and all of them alike but for its words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.answers import Api, Asked, give
from gateway.catalog import Catalog
from gateway.edge.body import BodyReader
from gateway.edge.context import Receive, Scope, Send, context_of
from gateway.edge.disconnect import ClientWatch
from graph import Event, Hooks

if TYPE_CHECKING:
    from gateway.telemetry.recordings import Recordings


class AnswerEndpoint:
    """A hot route. One event walks one flow; what its responder yields is encoded and sent."""

    def __init__(
        self, api: Api, catalog: Catalog, hooks: Hooks, bodies: BodyReader, recordings: Recordings | None = None
    ) -> None:
        self.path = api.path
        self._api = api
        self._catalog = catalog
        self._hooks = hooks
        self._bodies = bodies
        self._recordings = recordings
        self._passes = recordings is None and getattr(api, "passes", False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.answer(await self._bodies.json(receive), scope, receive, send)

    async def answer(self, body: Any, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request whose body has been read."""
        context = context_of(scope)
        asked = Asked(self._api, body)
        request = asked.request()
        served = self._catalog.get(request.model, context.principal)
        request.passes = served.passes and self._passes
        event = Event(request, id=context.request_id, path=self._api.path, caller=context.principal.name)
        async with ClientWatch(receive):
            if self._recordings is None:
                await give(served.flow, event, asked.dialect(event), send, self._hooks)
            else:
                await self._recordings.record(served, event, asked, send, self._hooks)
