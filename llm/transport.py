"""Transport: two methods between a provider and the network, so that the client behind them can be changed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Protocol

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""The longest answer that is read whole."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds: for a connection, for each read of the answer, and for all of it."""

    connect: float = 10.0
    read: float = 300.0
    total: float | None = None


class Response(Protocol):
    """An answer whose head has arrived. It must be closed; closing it before its end closes the connection."""

    status: int

    @property
    def headers(self) -> Mapping[str, str]:
        """What its head says; the names are in lower case."""
        ...

    async def read(self) -> bytes:
        """The whole body."""
        ...

    def reads(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes off the wire."""
        ...

    def leave(self) -> None:
        """What it says is over: nobody waits for the rest of the body; the connection is kept if that comes soon."""
        ...

    def close(self) -> None:
        """Ends the exchange, whatever is left of it."""
        ...


class Transport(Protocol):
    """Sends requests to upstreams. Redirects are never followed."""

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Response:
        """The answer to a request, once its head has arrived; without ``body`` the request has none.

        Raises:
            UpstreamError: when there is no answer.
            ValueError: when a header could be read as more than that.
        """
        ...

    async def close(self) -> None:
        """Closes all connections."""
        ...
