"""GET /openapi.json: the endpoints of the table that the caller may use, as OpenAPI 3.1 describes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI

from gateway.api_handler import RANK, Listed
from gateway.config.api import PLACEHOLDER, ApiRow
from gateway.edge.body import send_json
from gateway.edge.context import Receive, Scope, Send, context_of
from gateway.endpoints.openapi.hot import HOT, error_of
from gateway.endpoints.openapi.schemas import schemas

KEY = "key"
"""The name of the scheme by which callers show their key."""


class OpenAPIEndpoint:
    """Describes the table. What the control plane knows of its own routes is taken over; hot routes are described in
    :mod:`gateway.endpoints.openapi.hot`, endpoints of one's own by their rows."""

    def __init__(self, control: FastAPI) -> None:
        self._control = control
        self.table: Sequence[Listed] = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal = context_of(scope).principal
        usable = [row for row in self.table if row.action == "ALLOW" and RANK[row.role] <= RANK[principal.role]]
        await send_json(send, 200, self._document(usable))

    def _document(self, rows: Sequence[Listed]) -> dict[str, Any]:
        known = self._control.openapi()
        paths: dict[str, dict[str, Any]] = {}
        for row in rows:
            method, path = row.endpoint.method.lower(), row.endpoint.path
            paths.setdefault(path, {})[method] = _operation(row, known["paths"].get(path, {}).get(method))
        schemes = {KEY: {"type": "http", "scheme": "bearer"}}
        components = {
            "schemas": {**known.get("components", {}).get("schemas", {}), **schemas()},
            "securitySchemes": schemes,
        }
        return {"openapi": known["openapi"], "info": known["info"], "paths": paths, "components": components}


def _operation(row: Listed, known: Mapping[str, Any] | None) -> dict[str, Any]:
    """One endpoint: what is known of it, and what holds for all."""
    endpoint = row.endpoint
    own: ApiRow | None = getattr(endpoint.app, "row", None)
    described = _described(own) if own is not None else dict(known or HOT.get((endpoint.method, endpoint.path), {}))
    errors = dict.fromkeys(("4XX", "5XX") if own is None else ("default",), error_of(endpoint.path))
    answers = {"200": {"description": "The answer."}, **described.get("responses", {})}
    answers = {status: answer for status, answer in answers.items() if status != "422"}
    parameters = [_captured(name) for name in PLACEHOLDER.findall(endpoint.path)]
    parameters += [one for one in described.get("parameters", ()) if one["in"] != "path"]
    return {
        **described,
        "operationId": f"{endpoint.method.lower()}{_words(endpoint.path)}",
        **({"parameters": parameters} if parameters else {}),
        "responses": {**answers, **errors},
        "security": [] if row.role == "anyone" else [{KEY: []}],
    }


def _words(path: str) -> str:
    """A path as a part of a name; paths that differ do so here too."""
    return path.replace("/", "_").replace("{", "_").replace("}", "").replace("*", "_all")


def _captured(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _described(row: ApiRow) -> dict[str, Any]:
    """An endpoint of one's own, as its row has it."""
    summary = row.description or f"Answered by the {'graph' if row.graph else 'model'} {row.target}."
    described: dict[str, Any] = {"summary": summary, "tags": ["own"], "responses": {"200": _answer(row)}}
    queried = [name for name in row.input or {} if name not in row.captures]
    if queried:
        described["parameters"] = [
            {"name": name, "in": "query", "required": False, "schema": {"type": ["string", "array"]}}
            for name in queried
        ]
    if row.method not in ("GET", "HEAD"):
        described["requestBody"] = {"required": False, "content": {"application/json": {"schema": _body(row)}}}
    return described


def _answer(row: ApiRow) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    if row.output is not None:
        schema = {
            "type": "object",
            "properties": {name: {"description": source.source_path} for name, source in row.output.items()},
            "required": list(row.output),
        }
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if row.stream:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    return {"description": "The answer.", "content": content}


def _body(row: ApiRow) -> dict[str, Any]:
    """What the body may hold. A path of one name is a property of that name; deeper ones are told in words."""
    if row.input is None:
        return {}
    paths = {name: source.source_path for name, source in row.input.items() if source.source_path is not None}
    tops = {path.removeprefix("$."): name for name, path in paths.items() if path.removeprefix("$.").isidentifier()}
    described = "; ".join(f"{name} is taken from {path}" for name, path in paths.items())
    return {
        "properties": {top: {} for top in tops},
        **({"description": f"{described}."} if described else {}),
    }
