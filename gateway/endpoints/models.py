"""GET /v1/models and /v1/models/{id}: what a caller may use."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from gateway.catalog import Catalog
from gateway.deployed import Served
from gateway.edge.context import context_of


def router(catalog: Catalog) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["models"])

    @routes.get("/v1/models")
    async def list_models(request: Request) -> dict[str, Any]:
        """The models and graphs that the caller may use."""
        visible = catalog.visible_to(context_of(request.scope).principal)
        return {"object": "list", "data": [_to_wire(served) for served in visible]}

    @routes.get("/v1/models/{id}")
    async def retrieve_model(request: Request) -> dict[str, Any]:
        """One of them."""
        context = context_of(request.scope)
        return _to_wire(catalog.get(context.params["id"], context.principal))

    return routes


def _to_wire(served: Served) -> dict[str, Any]:
    return {
        "id": served.name,
        "object": "model",
        "created": served.created,
        "owned_by": served.owned_by,
        "kind": served.kind,
        "description": served.description,
        "streaming": served.flow.streaming.kind,
    }
