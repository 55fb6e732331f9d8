"""Call: one request to one model, in one operation of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self
from urllib.parse import quote

from gateway.catalog.deployed import Served
from gateway.edge.context import RequestContext
from gateway.endpoints.v2.request import InferRequest
from gateway.endpoints.v2.tensor import Tensor
from graph import Event, Hooks
from graph.models.v2 import PREFIX


@dataclass(frozen=True, slots=True)
class Call:
    """Who asks which model for what."""

    served: Served
    operation: str
    path: str
    request_id: str
    caller: str
    hooks: Hooks

    @classmethod
    def of(cls, context: RequestContext, served: Served, operation: str, hooks: Hooks) -> Self:
        """The call of a request that has passed the gate."""
        segments = [PREFIX, quote(served.name, safe=""), *(("versions", served.version) if served.version else ())]
        path = "/".join((*segments, operation))
        return cls(served, operation, path, context.request_id, context.principal.name, hooks)

    def event(self, body: Any, number: int = 0, path: str = "") -> Event:
        """The event that asks it; of several the first has the id of the request."""
        own_id = f"{self.request_id}-{number}" if number else self.request_id
        return Event(body, id=own_id, path=path or self.path, caller=self.caller)


class Answerer(Protocol):
    """How a kind of model answers the two forms of V2."""

    async def tensors(self, call: Call, request: InferRequest) -> Sequence[Tensor]:
        """The outputs for a request in tensors."""

    async def rows(self, call: Call, body: dict[str, Any]) -> Any:
        """The answer to a request in the loose form."""

    async def text(self, call: Call, text: str, parameters: Mapping[str, Any]) -> str:
        """The answer to a text, as text."""
