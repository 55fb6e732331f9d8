"""Request bodies: read with a bound, parsed once. Answers: encoded once."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import orjson

from gateway.edge.context import Receive, Send
from gateway.errors import BodyTooLarge, InvalidBody

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


async def read_json(receive: Receive, max_bytes: int) -> Any:
    """The JSON value in the body of a request.

    Raises:
        BodyTooLarge: as soon as more than ``max_bytes`` have come.
        InvalidBody: when the body is no JSON (RFC 8259: no NaN, no lone surrogates, no more than 1024 levels).
        ClientLeft: when the client went away before the body was whole.
    """
    try:
        return orjson.loads(await _read(receive, max_bytes))
    except orjson.JSONDecodeError as error:
        raise InvalidBody(f"We could not parse the JSON body of your request: {error}") from None


async def _read(receive: Receive, max_bytes: int) -> bytes:
    reads: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        reads.append(message.get("body", b""))
        size += len(reads[-1])
        if size > max_bytes:
            raise BodyTooLarge(f"The body of your request is longer than {max_bytes} bytes.")
        if not message.get("more_body", False):
            return b"".join(reads)


class ClientLeft(Exception):
    """The client went away before its request was whole. Nobody is there to be told."""


async def send_json(send: Send, status: int, body: Any, headers: Mapping[str, str] = NO_HEADERS) -> None:
    """Sends a whole JSON answer."""
    content = orjson.dumps(body)
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(content)).encode()),
                *((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()),
            ],
        }
    )
    await send({"type": "http.response.body", "body": content})
