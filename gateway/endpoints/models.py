"""GET /v1/models and /v1/models/{id}: what a caller may use, what each of it is, and where it answers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request

from gateway.catalog.catalog import Catalog
from gateway.catalog.deployed import Served
from gateway.edge.context import context_of

CHAT = ("chat.completions", "completions", "responses", "messages")
"""The APIs in which whatever chats is asked."""


def router(catalog: Catalog) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["models"])

    @routes.get("/v1/models")
    async def list_models(request: Request) -> dict[str, Any]:
        """The models and graphs that the caller may use."""
        visible = catalog.deployed(context_of(request.scope).principal)
        return {"object": "list", "data": [_to_wire(deployed.latest) for deployed in visible if deployed.in_service]}

    @routes.get("/v1/models/{id}")
    async def retrieve_model(request: Request) -> dict[str, Any]:
        """One of them."""
        context = context_of(request.scope)
        return _to_wire(catalog.find(context.params["id"], context.principal))

    return routes


def _to_wire(served: Served) -> dict[str, Any]:
    price = served.model.price if served.model is not None else None
    return {
        "id": served.name,
        "object": "model",
        "created": served.created,
        "owned_by": served.owned_by,
        "kind": served.kind if served.own is None else "own_model",
        "description": served.description,
        "streaming": served.flow.streaming.kind,
        "endpoints": endpoints_of(served),
        "context_length": served.model.context_length if served.model is not None else None,
        "price": None if price is None else asdict(price),
    }


def endpoints_of(served: Served) -> list[str]:
    """Where it answers: the APIs of chats, ``embeddings``, ``v2``. Whether an upstream embeds, only that knows."""
    if served.takes == "inputs":
        return ["v2"]
    if served.embeddings is served.flow:
        return ["embeddings"]
    return [*CHAT, *(("embeddings",) if served.embeddings is not None else ()), "v2"]
