"""The routes of chat completions that are kept: list them, look at one and its messages, mark it, delete it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from fastapi import APIRouter, Query, Request

from gateway.edge.body import BodyReader, parsed
from gateway.edge.context import context_of
from gateway.endpoints.pages import listed, page
from gateway.endpoints.stored.shown import messages_of
from gateway.errors import NoSuchAnswer
from gateway.kept import KeptAnswer, KeptAnswers, Kind
from llm import InvalidRequest
from llm.chat.validation import check_metadata

MAX_PAGE = 100
"""How many completions or messages are listed at once."""
KIND: Kind = "chat.completion"
PATH = "/v1/chat/completions"
NAMED = re.compile(r"metadata\[(.+)\]", re.DOTALL)
Limit: TypeAlias = Annotated[int, Query(ge=1, le=MAX_PAGE)]
Order: TypeAlias = Literal["asc", "desc"]
MARKS = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["metadata"],
                    "properties": {
                        "metadata": {"type": ["object", "null"], "additionalProperties": {"type": "string"}}
                    },
                }
            }
        },
    }
}


def router(kept: KeptAnswers, bodies: BodyReader) -> APIRouter:
    """The routes. Each caller finds only what its own key made."""
    routes = APIRouter(tags=["chat"])

    async def find(request: Request) -> KeptAnswer:
        context = context_of(request.scope)
        found = await kept.get(KIND, context.principal.name, context.params["id"])
        if found is None:
            raise NoSuchAnswer(f"Completion with id '{context.params['id']}' not found.")
        return found

    @routes.get(PATH)
    async def list_completions(
        request: Request,
        after: str | None = None,
        limit: Limit = 20,
        order: Order = "asc",
        model: str | None = None,
    ) -> Any:
        """The completions that were made with ``store``, by model and by ``metadata[name]=value`` if need be."""
        owner, labels = context_of(request.scope).principal.name, _labels(model, request.query_params)
        found = await kept.page(KIND, owner, labels, after=after, limit=limit, newest_first=order == "desc")
        if found is None:
            raise InvalidRequest(f"Completion with id '{after}' not found.", param="after")
        return listed([answer.answer for answer in found.answers], has_more=found.has_more)

    @routes.get(f"{PATH}/{{id}}")
    async def retrieve(request: Request) -> Any:
        """One of them."""
        return (await find(request)).answer

    @routes.post(f"{PATH}/{{id}}", openapi_extra=MARKS)
    async def update(request: Request) -> Any:
        """Sets the metadata of one; nothing else of it changes."""
        metadata = _marks(parsed(await bodies.whole(request.scope, request.receive)))
        found = await find(request)
        changed = KeptAnswer(found.owner, {**found.answer, "metadata": metadata}, found.asked)
        await kept.put(changed)
        return changed.answer

    @routes.delete(f"{PATH}/{{id}}")
    async def delete(request: Request) -> dict[str, Any]:
        """Forgets one."""
        found = await find(request)
        await kept.delete(KIND, found.owner, found.id)
        return {"id": found.id, "object": "chat.completion.deleted", "deleted": True}

    @routes.get(f"{PATH}/{{id}}/messages")
    async def list_messages(request: Request, after: str | None = None, limit: Limit = 20, order: Order = "asc") -> Any:
        """The messages that one answers, in the order in which they were said."""
        return page(messages_of(await find(request)), after, limit, order)

    return routes


def _labels(model: str | None, query: Mapping[str, str]) -> dict[str, str]:
    labels = {} if model is None else {"model": model}
    marks = ((NAMED.fullmatch(name), value) for name, value in query.items())
    return labels | {f"metadata.{match[1]}": value for match, value in marks if match}


def _marks(body: Any) -> dict[str, str]:
    """The metadata in the body of an update; none where it is null.

    Raises:
        InvalidRequest: when there is none, when it has another shape, or when something else is to change.
    """
    if not isinstance(body, dict):
        raise InvalidRequest("We expected a JSON object as the body of your request.")
    for name in body:
        if name != "metadata":
            message = f"Unknown parameter: '{name}'. Only 'metadata' can be changed."
            raise InvalidRequest(message, param=name, code="unknown_parameter")
    if "metadata" not in body:
        message = "Missing required parameter: 'metadata'."
        raise InvalidRequest(message, param="metadata", code="missing_required_parameter")
    metadata: dict[str, str] = {} if body["metadata"] is None else body["metadata"]
    check_metadata("metadata", metadata)
    return metadata
