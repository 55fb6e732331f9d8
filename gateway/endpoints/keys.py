"""/admin/keys: keys are made, listed, changed, replaced and revoked; /admin/audit says who did it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ValidationError

from gateway.config import Settings
from gateway.config.faults import tell_faults
from gateway.config.hints import names_of, unserved
from gateway.edge.body import BodyReader
from gateway.edge.context import context_of
from gateway.errors import InvalidBody, KeyChangeRefused
from gateway.keys.book import KeyBook
from gateway.keys.stored import KeyChange, NewKey, Rotation

MAX_RECORDS = 1000
Body = TypeVar("Body", bound=BaseModel)
WARNINGS: Mapping[str, Any] = {
    "type": "array",
    "items": {"type": "string"},
    "minItems": 1,
    "description": "A sentence for each of the models that nothing is served under; absent when there is none.",
}
WARNING: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {"schema": {"properties": {"warnings": WARNINGS}}}}}
}
"""What the document says of answers about the models of a key."""


def router(settings: Settings, book: KeyBook | None, bodies: BodyReader) -> APIRouter:
    """The routes. Without ``auth.secret`` keys are listed only."""
    routes = APIRouter(prefix="/admin", tags=["admin"])
    served = names_of(settings)

    def warned(said: NewKey | KeyChange) -> dict[str, list[str]]:
        warnings = unserved(said.models, served)
        return {"warnings": warnings} if warnings else {}

    @routes.get("/keys")
    async def list_keys() -> dict[str, Any]:
        """All keys: those of the settings, and those of the store, also if they are revoked."""
        rows = [{**key.model_dump(mode="json", exclude={"key"}), "source": "settings"} for key in settings.auth.keys]
        if book is not None:
            await book.refresh()
            rows += [key.to_json() for key in book.keys.values()]
        return {"keys": rows}

    @routes.post("/keys", responses=WARNING)
    async def create_key(request: Request) -> dict[str, Any]:
        """Makes a key. The answer is the only place where it is ever shown. It may name models that are not served yet,
        of which ``warnings`` tells."""
        new = _read(NewKey, await bodies.json(request.scope, request.receive))
        key, shown = await _stored(book).create(new, _caller(request))
        return {"key": shown, **key.to_json(), **warned(new)}

    @routes.patch("/keys/{name}", responses=WARNING)
    async def change_key(request: Request) -> dict[str, Any]:
        """Changes those of its limits and permissions that are named; with ``warnings`` as when it is made."""
        change = _read(KeyChange, await bodies.json(request.scope, request.receive))
        key = await _stored(book).change(_named(request), change, _caller(request))
        return {**key.to_json(), **warned(change)}

    @routes.delete("/keys/{name}")
    async def revoke_key(request: Request) -> dict[str, Any]:
        """Ends a key for good. Its name is not given again."""
        return (await _stored(book).revoke(_named(request), _caller(request))).to_json()

    @routes.post("/keys/{name}/rotate")
    async def rotate_key(request: Request) -> dict[str, Any]:
        """Makes a new key in its place; the old one is valid for ``grace_seconds`` more, by default a day."""
        said = _read(Rotation, await bodies.json(request.scope, request.receive, {}))
        key, shown = await _stored(book).rotate(_named(request), said.grace_seconds, _caller(request))
        return {"key": shown, **key.to_json()}

    @routes.get("/audit")
    async def audit(limit: Annotated[int, Query(ge=1, le=MAX_RECORDS)] = 100) -> dict[str, Any]:
        """What was done to keys, by whom and when; the latest first."""
        return {"records": await book.records(limit) if book is not None else []}

    return routes


def _stored(book: KeyBook | None) -> KeyBook:
    if book is None:
        raise KeyChangeRefused("Keys are made only where auth.secret is set.")
    return book


def _caller(request: Request) -> str:
    return context_of(request.scope).principal.name


def _named(request: Request) -> str:
    return context_of(request.scope).params["name"]


def _read(kind: type[Body], body: Any) -> Body:
    """A body of this kind; no other members than its own are taken.

    Raises:
        InvalidBody: naming every fault.
    """
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise InvalidBody(f"Invalid request: {tell_faults(error, kind, 'body')}") from None
