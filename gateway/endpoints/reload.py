"""/admin/reload: the settings read again, and what became of it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from gateway.serving.in_force import InForce


def router(in_force: InForce) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/admin", tags=["admin"])

    @routes.get("/reload")
    async def show() -> dict[str, Any]:
        """Since when the settings are in force, and why those that were read last are not."""
        return in_force.to_json()

    @routes.post("/reload")
    async def reload() -> dict[str, Any]:
        """Reads the settings again. Those that cannot be used are refused with the reason, and nothing changes; else
        this worker serves by them when it answers, and all others do within a second."""
        await in_force.reload()
        return in_force.to_json()

    return routes
