"""/v2/health: whether the process lives, and whether it can serve."""

from __future__ import annotations

from fastapi import APIRouter

from gateway.errors import NotReady


class Readiness:
    """Whether the gateway serves: not before its providers have started, not once it is stopping."""

    def __init__(self) -> None:
        self.ready = False


def router(readiness: Readiness) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/v2/health", tags=["health"])

    @routes.get("/live")
    async def live() -> dict[str, bool]:
        """200 as long as the process can answer at all."""
        return {"live": True}

    @routes.get("/ready")
    async def ready() -> dict[str, bool]:
        """200 when requests can be served, 503 else."""
        if not readiness.ready:
            raise NotReady("the gateway is starting or stopping")
        return {"ready": True}

    return routes
