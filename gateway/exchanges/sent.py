"""A request whose body has been read, for an app that reads it once more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from hashlib import blake2b
from typing import Any

from gateway.edge.context import Receive, Scope


async def nothing() -> None:
    """Waits for nothing."""


class Sent:
    """The ``receive`` of such a request.

    Args:
        left: what is waited for after the client has left, before the app is told so.
    """

    def __init__(self, body: bytes, receive: Receive, left: Callable[[], Awaitable[None]] = nothing) -> None:
        self._body: bytes | None = body
        self._receive = receive
        self._left = left

    async def __call__(self) -> MutableMapping[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        while (message := await self._receive())["type"] != "http.disconnect":
            pass
        await self._left()
        return message


def plain(scope: Scope) -> Scope:
    """The scope of such a request: its body has been inflated."""
    return {**scope, "headers": [header for header in scope["headers"] if header[0] != b"content-encoding"]}


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of a name."""
    for each, value in scope["headers"]:
        if each == name:
            found: bytes = value
            return found
    return None


def digest(*parts: bytes) -> bytes:
    """What stands for all of these together."""
    made = blake2b(digest_size=24)
    for part in parts:
        made.update(b"%d:" % len(part))
        made.update(part)
    return made.digest()
