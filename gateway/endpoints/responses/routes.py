"""The routes of responses that are kept: look at one, follow it, cancel it, list what it answers, delete it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from gateway.edge.context import Receive, Scope, Send, context_of
from gateway.edge.disconnect import ClientWatch
from gateway.endpoints.pages import page
from gateway.endpoints.responses.background import Background
from gateway.endpoints.responses.endpoint import send_events
from gateway.endpoints.responses.event_log import EventLog
from gateway.errors import NoSuchAnswer
from gateway.kept import KeptAnswer, KeptAnswers
from llm import InvalidRequest

MAX_PAGE = 100
"""How many items are listed at once."""


def router(kept: KeptAnswers, background: Background) -> APIRouter:
    """The routes under ``/v1/responses/{id}``. Each caller finds only what its own key made."""
    routes = APIRouter(tags=["responses"])

    async def find(request: Request) -> KeptAnswer:
        owner, response_id = _key(request)
        found = await kept.get("response", owner, response_id)
        if found is None:
            raise NoSuchAnswer(f"Response with id '{response_id}' not found.")
        return found

    @routes.get("/v1/responses/{id}", response_model=None)
    async def retrieve(
        request: Request, stream: bool = False, starting_after: Annotated[int, Query(ge=-1)] = -1
    ) -> Any:
        """A response as it stands; with ``stream`` the events of one that is made in the background."""
        found = await find(request)
        return _followed(background.log_of(_key(request)), starting_after + 1) if stream else found.answer

    @routes.delete("/v1/responses/{id}")
    async def delete(request: Request) -> dict[str, Any]:
        """Forgets a response; one that is being made is ended."""
        found = await find(request)
        await background.cancel(_key(request))
        background.forget(_key(request))
        await kept.delete("response", found.owner, found.id)
        return {"id": found.id, "object": "response", "deleted": True}

    @routes.post("/v1/responses/{id}/cancel")
    async def cancel(request: Request) -> Any:
        """Ends a response that is being made in the background; one that has ended stays as it is."""
        if not (await find(request)).answer["background"]:
            raise InvalidRequest("Only responses that were created with 'background' set to true can be cancelled.")
        await background.cancel(_key(request))
        return (await find(request)).answer

    @routes.get("/v1/responses/{id}/input_items")
    async def input_items(
        request: Request,
        after: str | None = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 20,
        order: Literal["asc", "desc"] = "desc",
    ) -> Any:
        """The items that a response answers, the last one first."""
        return page(list((await find(request)).asked), after, limit, order)

    return routes


def _key(request: Request) -> tuple[str, str]:
    context = context_of(request.scope)
    return context.principal.name, context.params["id"]


def _followed(log: EventLog | None, number: int) -> Response:
    if log is None:
        raise InvalidRequest(
            "Only responses that were created with 'background' and 'stream' set to true can be streamed, "
            "and only for a while after their end.",
            param="stream",
        )
    log.check(number)
    return Following(log, number)


class Following(Response):
    """The events of a response, from a number on, as they come."""

    def __init__(self, log: EventLog, number: int) -> None:
        super().__init__()
        self._log = log
        self._number = number

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with ClientWatch(receive):
            await send_events(self._log.follow(self._number), send)
