"""The control plane: what administers and describes the gateway, and what none of its users wait for by the token."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.catalog.catalog import Catalog
from gateway.config import Settings
from gateway.edge.body import BodyReader
from gateway.endpoints import admin, deployments, guardrails, health, keys, metrics, models, reload, run_events, usage
from gateway.endpoints.responses import routes as responses
from gateway.endpoints.stored import routes as stored
from gateway.endpoints.v2 import metadata, repository
from gateway.errors import GatewayError, InvalidBody
from gateway.faults import Fault
from gateway.serving.shared import Shared
from gateway.serving.standing import Standing
from gateway.store.protocol import StoreUnavailable
from graph import GraphError
from llm import ModelError


def control_plane(
    settings: Settings, catalog: Catalog, standing: Standing, shared: Shared, bodies: BodyReader
) -> FastAPI:
    """The routes that are not hot, with their documentation, and the life of the providers."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        async with AsyncExitStack() as life:
            life.push_async_callback(catalog.close)
            await catalog.start()
            await shared.start(life)
            async with standing.generation():
                yield

    app = FastAPI(
        title="Penstock",
        version=version("penstock"),
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for routes in _routers(settings, catalog, standing, shared, bodies):
        app.include_router(routes)
    for kind in (GatewayError, ModelError, GraphError, StoreUnavailable, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _tell)
    return app


def _routers(
    settings: Settings, catalog: Catalog, standing: Standing, shared: Shared, bodies: BodyReader
) -> Iterator[APIRouter]:
    """What it answers, by what it is about."""
    yield models.router(catalog)
    yield metadata.router(catalog)
    yield health.router(standing.readiness)
    yield run_events.router(standing.feed, standing.readiness)
    yield admin.router(catalog, standing.recorder)
    yield metrics.router(standing.metrics)
    yield reload.router(standing.in_force)
    yield usage.router(shared.usage)
    yield keys.router(settings, shared.book, bodies)
    yield deployments.router(catalog)
    yield guardrails.router(catalog.guards, bodies)
    yield repository.router(catalog, bodies)
    yield responses.router(standing.kept, standing.background)
    yield stored.router(standing.kept, bodies)


async def _tell(request: Request, error: Exception) -> JSONResponse:
    """An error of the control plane, in the language of the API that was asked."""
    if isinstance(error, RequestValidationError):
        told = ((fault["loc"][1], fault["msg"].removeprefix("Value error, ")) for fault in error.errors())
        error = InvalidBody(f"Invalid request: {'; '.join(f'{name}: {said}' for name, said in told)}")
    fault = Fault.of(error)
    return JSONResponse(fault.body_for(request.scope["path"]), fault.status, dict(fault.headers))
