"""/v2/health: whether the process lives, and whether it can serve."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from gateway.errors import NotReady


class Readiness:
    """Whether the gateway serves: not before its providers have started, not once it is stopping; without its store it
    does.

    Attributes:
        without_store: who cannot reach their store; after the settings have changed, there may be two for a while.
    """

    def __init__(self) -> None:
        self.ready = False
        self.without_store: set[object] = set()


def router(readiness: Readiness) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/v2/health", tags=["health"])

    @routes.get("/live")
    async def live() -> dict[str, bool]:
        """200 as long as the process can answer at all."""
        return {"live": True}

    @routes.get("/ready")
    async def ready() -> dict[str, Any]:
        """200 when requests can be served, 503 else. ``store`` is there while that cannot be reached."""
        if not readiness.ready:
            raise NotReady("the gateway is starting or stopping")
        return {"ready": True, **({"store": "unreachable"} if readiness.without_store else {})}

    return routes
