"""/metrics: what all workers have counted, in the form of Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from gateway.telemetry.metrics import Metrics


def router(metrics: Metrics) -> APIRouter:
    """The route."""
    routes = APIRouter(tags=["admin"])

    @routes.get("/metrics", response_class=PlainTextResponse)
    async def tell(request: Request) -> Response:
        """Metrics in Prometheus' text form, or OpenMetrics' where that is asked for."""
        text, kind = metrics.text(request.headers.get("accept", ""))
        return Response(text, media_type=kind)

    return routes
