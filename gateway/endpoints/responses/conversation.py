"""What a request refers to, put in its place: the conversation before it, and single items of it."""

from __future__ import annotations

from typing import Any

from gateway.endpoints.responses.items import Item, items_of, kind_of
from gateway.kept import KeptAnswer, KeptAnswers
from llm import InvalidRequest

ID_DIGITS = 32
"""How many digits the id of a response has; those of its items begin with the same ones."""


async def inlined(body: dict[str, Any], owner: str, kept: KeptAnswers) -> dict[str, Any]:
    """The checked body of a request with everything in it that it refers to.

    Raises:
        InvalidRequest: when this owner has no such response or item.
    """
    previous = body.get("previous_response_id")
    if previous is None and isinstance(body["input"], str):
        return body
    before = [] if previous is None else _said(await _previous(previous, owner, kept))
    items = [await _resolved(item, index, owner, kept) for index, item in enumerate(items_of(body))]
    return {**body, "input": [*before, *items]}


def _said(response: KeptAnswer) -> list[Item]:
    """The conversation so far: what was asked, and what was answered."""
    return [*response.asked, *response.answer["output"]]


async def _previous(response_id: str, owner: str, kept: KeptAnswers) -> KeptAnswer:
    found = await kept.get("response", owner, response_id)
    if found is None:
        raise InvalidRequest(
            f"Previous response with id '{response_id}' not found.",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    if found.answer["status"] in ("queued", "in_progress"):
        raise InvalidRequest(
            f"Previous response with id '{response_id}' is still being made.",
            param="previous_response_id",
            code="previous_response_in_progress",
        )
    return found


async def _resolved(item: Item, index: int, owner: str, kept: KeptAnswers) -> Item:
    if kind_of(item) != "item_reference":
        return item
    digits = item["id"].partition("_")[2][:ID_DIGITS]
    response = await kept.get("response", owner, f"resp_{digits}")
    found = next((other for other in _said(response) if other["id"] == item["id"]), None) if response else None
    if found is None:
        raise InvalidRequest(f"Item with id '{item['id']}' not found.", param=f"input[{index}].id")
    return found
