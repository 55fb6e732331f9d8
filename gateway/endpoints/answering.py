"""The endpoints that a model answers: one for each API, and all of them alike but for its words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from gateway.answers import Api, Asked, give
from gateway.catalog.catalog import Catalog
from gateway.catalog.deployed import Served
from gateway.choices import MAX_CHOICES, ChoiceApi, give_choices
from gateway.edge.body import BodyReader
from gateway.edge.context import Receive, RequestContext, Scope, Send, context_of
from gateway.edge.disconnect import ClientWatch
from graph import Event, Hooks
from llm import ChatRequest, InvalidRequest

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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.answer(await self._bodies.json(scope, receive), scope, receive, send)

    async def answer(self, body: Any, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request whose body has been read."""
        answer = self.prepared(Asked(self._api, body), context_of(scope))
        async with ClientWatch(receive):
            await answer(send)

    def prepared(self, asked: Asked, context: RequestContext) -> Callable[[Send], Awaitable[None]]:
        """What makes the answer and sends it.

        Raises:
            InvalidRequest, UnknownModel, PolicyMissing: whatever can be seen to be wrong before.
        """
        request = asked.request()
        served = self._catalog.get(request.model, context.principal)
        caller = context.principal.name
        mine = self._recordings is None and getattr(asked.api, "passes", False)
        request.passes = mine and served.passes_to(caller)
        event = Event(request, id=context.request_id, path=asked.api.path, caller=caller)
        others = () if request.passes else asked.api.others(request, asked.body)
        if len(others) >= MAX_CHOICES:
            message = f"At most {MAX_CHOICES} choices are made for one request, and yours asks for {len(others) + 1}."
            raise InvalidRequest(message, param="n", code="integer_above_max_value")

        async def answer(send: Send) -> None:
            if others:
                await self._choices(asked.api, served, event, others, send)
            elif self._recordings is None:
                await give(served, event, asked.dialect(event), send, self._hooks)
            else:
                await self._recordings.record(served, event, asked, send, self._hooks)

        return answer

    async def _choices(self, api: Api, served: Served, first: Event, others: Sequence[ChatRequest], send: Send) -> None:
        """Answers with several choices, each a run with an id of its own. They are not recorded."""
        assert isinstance(api, ChoiceApi)  # noqa: S101 - no other API has others
        more = (
            Event(request, id=f"{first.id}-{number}", path=first.path, caller=first.caller)
            for number, request in enumerate(others, 1)
        )
        runs = [served.start(event, self._hooks) for event in (first, *more)]
        dialects = [api.choice(first, index) for index in range(len(runs))]
        await give_choices(runs, dialects, send, stream=first.body.stream)
