"""/admin: the graphs that are served and the runs of late. The role stands in the table of endpoints."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from gateway.catalog.catalog import Catalog
from gateway.catalog.deployed import Served
from gateway.edge.context import context_of
from gateway.errors import NoSuchEndpoint
from gateway.telemetry.runs import KEPT, RunRecorder


def router(catalog: Catalog, recorder: RunRecorder) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/admin", tags=["admin"])

    @routes.get("/graphs")
    async def list_graphs() -> dict[str, Any]:
        """Everything that is served, as graphs: steps, drawing, and whether the answer streams."""
        return {"graphs": [_graph(served) for served in catalog]}

    @routes.get("/graphs/{name}")
    async def show_graph(request: Request) -> dict[str, Any]:
        """One of them."""
        context = context_of(request.scope)
        return _graph(catalog.find(context.params["name"], context.principal))

    @routes.get("/runs")
    async def list_runs(limit: Annotated[int, Query(ge=1, le=KEPT)] = 20) -> dict[str, Any]:
        """The runs that ended last, the latest first, step by step, with what each model call cost."""
        return {"runs": [record.to_json() for record in recorder.recent(limit)]}

    @routes.get("/runs/{id}")
    async def show_run(request: Request) -> dict[str, Any]:
        """One of them; its id is the request id of the answer."""
        run_id = context_of(request.scope).params["id"]
        record = recorder.find(run_id)
        if record is None:
            raise NoSuchEndpoint(f"The run `{run_id}` is not among the last {KEPT}.")
        return record.to_json()

    return routes


def _graph(served: Served) -> dict[str, Any]:
    verdict = served.flow.streaming
    return {
        "name": served.name,
        **({"version": served.version} if served.version else {}),
        "kind": served.kind,
        "description": served.description,
        "steps": list(served.flow.steps),
        "streaming": {"kind": verdict.kind, "because": verdict.because},
        "mermaid": served.flow.plot(),
    }
