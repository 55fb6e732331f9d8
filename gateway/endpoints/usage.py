"""/admin/usage: what was used, by whom, of what and when."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Query
from pydantic import BeforeValidator

from gateway.errors import NoSuchEndpoint
from gateway.usage.rows import EVER, By, UsageRows, span_of


def _day(text: object) -> object:
    """A day is written as one; a number is none, though pydantic would take it for seconds."""
    if isinstance(text, str) and not WRITTEN.fullmatch(text):
        raise ValueError("a day is written as 2026-11-22")
    return text


Day: TypeAlias = Annotated[date, BeforeValidator(_day), Query()]
WRITTEN = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def router(usage: UsageRows | None) -> APIRouter:
    """The route."""
    routes = APIRouter(prefix="/admin", tags=["admin"])

    @routes.get("/usage")
    async def show_usage(
        *,
        by: Annotated[list[By], Query(max_length=6)] = ["key"],  # noqa: B006 - FastAPI copies it
        since: Day = EVER,
        until: Day | None = None,
        key: str = "",
        team: str = "",
        model: str = "",
    ) -> dict[str, Any]:
        """The sums of all runs in each group, from the day ``since`` to the day ``until`` (UTC, both included)."""
        if usage is None:
            raise NoSuchEndpoint("No usage is recorded: there are no keys, or usage.record is false.")
        groups = list(dict.fromkeys(by))
        totals = await usage.totals(span_of(since, until, key=key, team=team, model=model), groups)
        rows = [{**dict(zip(groups, group, strict=True)), **sums.to_json()} for group, sums in sorted(totals.items())]
        return {"by": groups, "usage": rows}

    return routes
