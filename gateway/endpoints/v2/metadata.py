"""GET /v2 and /v2/models…: what the server and its models are, and whether they can be asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request

from gateway.catalog.catalog import Catalog
from gateway.catalog.deployed import Deployed, Served
from gateway.edge.context import context_of
from gateway.endpoints.v2.infer import found
from gateway.endpoints.v2.texts import DECLARED

EXTENSIONS = ("binary_tensor_data", "model_repository", "generate")
"""What is served beyond the core of the protocol, in Triton's words."""
PLATFORM = "penstock"


def router(catalog: Catalog) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["inference"])

    @routes.get("/v2")
    @routes.get("/v2/", include_in_schema=False)
    async def server_metadata() -> dict[str, Any]:
        """Name, version and extensions of the server."""
        return {"name": PLATFORM, "version": version("penstock"), "extensions": EXTENSIONS}

    @routes.get("/v2/models")
    @routes.get("/v2/models/", include_in_schema=False)
    async def list_models(request: Request) -> dict[str, Any]:
        """The names of the models and graphs."""
        visible = catalog.deployed(context_of(request.scope).principal)
        return {"models": [deployed.latest.name for deployed in visible]}

    @routes.get("/v2/models/{model}")
    @routes.get("/v2/models/{model}/versions/{version}")
    async def model_metadata(request: Request) -> dict[str, Any]:
        """What a model takes and gives."""
        context = context_of(request.scope)
        served = found(catalog, context)
        return _metadata(served, catalog.deployed_as(served.name, context.principal))

    @routes.get("/v2/models/{model}/ready")
    @routes.get("/v2/models/{model}/versions/{version}/ready")
    async def model_ready(request: Request) -> dict[str, Any]:
        """200 when a model can be asked."""
        return {"name": found(catalog, context_of(request.scope)).name, "ready": True}

    return routes


def _metadata(served: Served, deployed: Deployed) -> dict[str, Any]:
    versions = [name for name in deployed.versions if name]
    inputs, outputs = _declared(served)
    return {
        "name": served.name,
        **({"versions": versions} if versions else {}),
        "platform": PLATFORM,
        "inputs": inputs,
        "outputs": outputs,
    }


def _declared(served: Served) -> tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]:
    """Inputs and outputs; none where a model of one's own does not say."""
    if served.takes == "chat":
        return DECLARED, DECLARED
    return ([*served.own.inputs], [*served.own.outputs]) if served.own else ([], [])
