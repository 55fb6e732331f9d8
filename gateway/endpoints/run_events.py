"""GET /admin/runs/events: what the runs of all workers are doing, live, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated

import orjson
from fastapi import APIRouter, Header
from fastapi.responses import Response

from gateway.endpoints.health import Readiness
from gateway.telemetry.feed import Feed, Listener

PAUSE = 0.1
"""How many seconds are between two looks at what has come."""


def router(feed: Feed, readiness: Readiness) -> APIRouter:
    """The route. A feed ends when the gateway begins to stop, so that it keeps nobody waiting."""
    routes = APIRouter(prefix="/admin/runs", tags=["admin"])

    @routes.get("/events", response_class=Response, responses={200: {"content": {"text/event-stream": {}}}})
    async def follow(last_event_id: Annotated[str, Header(max_length=10_000)] = "") -> Response:
        """One event for each thing that happens to a run or a step. A client that comes back with ``Last-Event-ID``
        gets what it missed, as far as it is still there."""
        from sse_starlette import EventSourceResponse  # noqa: PLC0415 - it changes uvicorn when it is imported
        from sse_starlette.sse import AppStatus  # noqa: PLC0415

        AppStatus.enable_automatic_graceful_drain = False
        listener = Listener(feed, last_event_id)
        return EventSourceResponse(_events(listener, readiness), ping=0, sep="\n")

    return routes


async def _events(listener: Listener, readiness: Readiness) -> AsyncGenerator[dict[str, str], None]:
    yield {"comment": "listening", "id": listener.id}
    goes_on = True
    while goes_on:
        goes_on = readiness.ready
        for place, body in listener.read():
            kind = orjson.loads(body)["type"]
            yield {"data": body.decode(), "event": kind, "id": place}
        await asyncio.sleep(PAUSE)
