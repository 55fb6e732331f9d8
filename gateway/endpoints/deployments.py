"""/admin/deployments: what stands behind the model names that are routed, and how it is doing."""

from __future__ import annotations

import os
from typing import Any

from fastapi import APIRouter

from gateway.catalog.catalog import Catalog


def router(catalog: Catalog) -> APIRouter:
    """The route."""
    routes = APIRouter(prefix="/admin", tags=["admin"])

    @routes.get("/deployments")
    async def list_deployments() -> dict[str, Any]:
        """Every deployment, as the worker that answers has seen it: each worker chooses by what it sees itself."""
        return {"worker": os.getpid(), "models": [routed.state() for routed in catalog.routed]}

    return routes
