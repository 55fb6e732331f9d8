"""/v2/repository: which models are in service, and for admins to load them anew or take them out of service.

What is loaded stands in the settings: no request brings a configuration, a file or a path.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from gateway.catalog.catalog import Catalog
from gateway.catalog.deployed import Deployed
from gateway.edge.body import BodyReader, parsed
from gateway.edge.context import context_of
from gateway.endpoints.v2.request import parameters_of
from gateway.errors import InvalidBody


def router(catalog: Catalog, bodies: BodyReader) -> APIRouter:
    """The routes. The roles that they take stand in the table of endpoints."""
    routes = APIRouter(prefix="/v2/repository", tags=["repository"])

    @routes.post("/index")
    async def index(request: Request) -> list[dict[str, str]]:
        """Every version of every model that the caller may use; with ``{"ready": true}`` those in service."""
        body = await _body(request, bodies)
        ready = body.get("ready", False)
        if type(ready) is not bool:
            raise InvalidBody("'ready' must be true or false")
        visible = catalog.deployed(context_of(request.scope).principal)
        return [row for deployed in visible if deployed.in_service or not ready for row in _rows(deployed)]

    @routes.post("/models/{model}/load", response_class=Response)
    async def load(request: Request) -> Response:
        """Loads a model of one's own anew, from where the settings say; any model is in service from then on."""
        parameters = parameters_of(await _body(request, bodies), "the request")
        if parameters:
            raise InvalidBody(
                f"a model is loaded as the settings say; the parameter {next(iter(parameters))} is not taken"
            )
        await _deployed(catalog, request).load()
        return Response()

    @routes.post("/models/{model}/unload", response_class=Response)
    async def unload(request: Request) -> Response:
        """Takes a model out of service; requests that have begun go on."""
        parameters_of(await _body(request, bodies), "the request")
        _deployed(catalog, request).unload()
        return Response()

    return routes


async def _body(request: Request, bodies: BodyReader) -> dict[str, Any]:
    body = parsed(await bodies.whole(request.scope, request.receive) or b"{}")
    if not isinstance(body, dict):
        raise InvalidBody("the body must be a JSON object, or empty")
    return body


def _deployed(catalog: Catalog, request: Request) -> Deployed:
    context = context_of(request.scope)
    return catalog.deployed_as(context.params["model"], context.principal)


def _rows(deployed: Deployed) -> list[dict[str, str]]:
    state, reason = ("READY", "") if deployed.in_service else ("UNAVAILABLE", "unloaded")
    return [
        {"name": served.name, "version": version, "state": state, "reason": reason}
        for version, served in deployed.versions.items()
    ]
