"""What the gate knows about a request when it hands it to its endpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias

from gateway.edge.keys import Principal

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

KEY = "penstock"
ANSWERED_BY: ContextVar[list[str]] = ContextVar("answered_by")
"""The deployments that have answered in the request that is under way; routing writes it, its answer names them."""

AFFORD: ContextVar[Callable[[int, int], Awaitable[bool]] | None] = ContextVar("afford", default=None)
"""Reserves so many tokens and billionths of a dollar beside what is reserved for the request that is under way, and
says whether they were granted; None where nothing limits it. Limits write it, routing asks before it tries again."""


@dataclass(frozen=True, slots=True)
class RequestContext:
    """A request that has passed the gate."""

    request_id: str
    principal: Principal
    params: Mapping[str, str]
    """The values captured from the path, decoded."""


def context_of(scope: Scope) -> RequestContext:
    """The context that the gate put into an ASGI scope."""
    context = scope[KEY]
    assert isinstance(context, RequestContext)  # noqa: S101 - only the gate writes it
    return context
