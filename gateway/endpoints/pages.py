"""Lists, as OpenAI's APIs give them: a page at a time, each behind the last one of the page before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llm import InvalidRequest


def page(items: Sequence[Mapping[str, Any]], after: str | None, limit: int, order: str) -> Mapping[str, Any]:
    """Some of a list of items, as the API lists them.

    Raises:
        InvalidRequest: when no item has the id ``after``.
    """
    ordered = items if order == "asc" else items[::-1]
    begin = 0
    if after is not None:
        places = [index for index, item in enumerate(ordered) if item["id"] == after]
        if not places:
            raise InvalidRequest(f"Item with id '{after}' not found.", param="after")
        begin = places[0] + 1
    return listed(ordered[begin : begin + limit], has_more=begin + limit < len(ordered))


def listed(shown: Sequence[Mapping[str, Any]], *, has_more: bool) -> Mapping[str, Any]:
    """A page of a list, as OpenAI's APIs give it."""
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": has_more,
    }
