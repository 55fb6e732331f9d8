"""Request bodies: read with bounds, parsed once. Answers: encoded once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator, Mapping
from dataclasses import dataclass
from types import MappingProxyType, coroutine
from typing import Any, Final

import orjson

from gateway.edge.context import Receive, Scope, Send
from gateway.edge.inflate import encoding_of, inflated
from gateway.errors import BodyTimeout, BodyTooLarge, InvalidBody
from gateway.telemetry.passage import PARSE, READ, turn

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
REFUSED: Final = object()
MAX_VALUES = 200_000
"""How many arrays and objects a body may hold: parsed, each takes a hundred times the memory of its two bytes."""
MAX_LEVELS: Final = 200
"""How many of them may be in one another."""
WRITABLE: Final = 254
"""How many levels orjson writes; it reads 1024."""


@dataclass(frozen=True, slots=True)
class BodyReader:
    """Reads bodies of at most ``max_bytes``, which must have come within ``seconds``."""

    max_bytes: int
    seconds: float

    async def json(self, scope: Scope, receive: Receive, empty: Any = REFUSED) -> Any:
        """The JSON value in the body of a request; ``empty`` where there is no body, if that is given.

        Raises:
            BodyTooLarge, BodyTimeout, ClientLeft: like :meth:`whole`.
            InvalidBody: like :func:`parsed`.
        """
        body = await self.whole(scope, receive)
        return empty if not body and empty is not REFUSED else parsed(body)

    async def whole(self, scope: Scope, receive: Receive) -> bytes:
        """The body of a request, without the ``Content-Encoding`` that it was sent in.

        Raises:
            BodyTooLarge: as soon as more than ``max_bytes`` are announced, have come, or were inflated.
            BodyTimeout: when it is not whole in time.
            InvalidBody: when it is not in that encoding.
            UnknownEncoding: before it is read, when the encoding is none that is served.
            ClientLeft: when the client went away before it was whole.
        """
        encoding = encoding_of(scope)
        if _declared(scope) > self.max_bytes:
            raise self._too_large()
        turn(READ)
        body = await self._in_time(self._read(receive))
        turn(PARSE)
        return inflated(body, encoding, self.max_bytes)

    async def _in_time(self, reading: Coroutine[Any, Any, bytes]) -> bytes:
        """What is read. Most bodies come together with their heads, and need no timer: it is started at the first
        wait."""
        try:
            waits = reading.send(None)
        except StopIteration as read:
            body: bytes = read.value
            return body
        try:
            async with asyncio.timeout(self.seconds):
                return await _resumed(reading, waits)
        except TimeoutError:
            raise BodyTimeout(f"The body of your request was not here within {self.seconds:g} seconds.") from None

    async def _read(self, receive: Receive) -> bytes:
        reads: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            reads.append(message.get("body", b""))
            size += len(reads[-1])
            if size > self.max_bytes:
                raise self._too_large()
            if not message.get("more_body", False):
                return b"".join(reads)

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"The body of your request is longer than {self.max_bytes} bytes.")


@coroutine
def _resumed(begun: Coroutine[Any, Any, bytes], waits: Any) -> Generator[Any, Any, bytes]:
    """The rest of a coroutine that has been begun, and waits for something."""
    try:
        while True:
            try:
                sent = yield waits
            except BaseException as error:
                waits = begun.throw(error)
            else:
                waits = begun.send(sent)
    except StopIteration as read:
        body: bytes = read.value
        return body


def _declared(scope: Scope) -> int:
    """How long a body says that it is; 0 where it says nothing."""
    return next((int(value) for name, value in scope["headers"] if name == b"content-length" and value.isdigit()), 0)


def parsed(body: bytes) -> Any:
    """The JSON value in a body.

    Raises:
        InvalidBody: when it is no JSON (RFC 8259: no NaN, no lone surrogates, no name twice in an object), or holds
            more than :data:`MAX_VALUES` arrays and objects, or :data:`MAX_LEVELS` of them in one another.
    """
    objects = body.count(b"{")
    most = objects + body.count(b"[")
    if most > MAX_VALUES:
        raise InvalidBody(f"The body of your request holds more than {MAX_VALUES} arrays and objects.")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidBody(f"We could not parse the JSON body of your request: {error}") from None
    if most > MAX_LEVELS and not _is_written(value):
        raise InvalidBody(f"The body of your request has more than {MAX_LEVELS} levels of arrays and objects.")
    names = _names_in(value, objects)
    if body.count(b":") > names and _names_written(body) > names:
        raise InvalidBody("We could not parse the JSON body of your request: an object has the same name twice.")
    return value


def _is_written(value: Any) -> bool:
    """Whether a value can be written as JSON too, within others: what is sent on, counted and compared is."""
    for _ in range(WRITABLE - MAX_LEVELS):
        value = [value]
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


def _names_written(body: bytes) -> int:
    """How many members are written in JSON: the colons outside of strings."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(body.split(b'"')[::2]).count(b":")


def _names_in(value: Any, objects: int) -> int:
    """How many members all objects in a value have; there are at most so many objects."""
    names, rest = 0, [value]
    while rest and objects:
        each = rest.pop()
        if isinstance(each, dict):
            objects -= 1
            names += len(each)
            rest.extend(each.values())
        elif isinstance(each, list):
            rest.extend(each)
    return names


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
                (b"content-length", b"%d" % len(content)),
                *((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()),
            ],
        }
    )
    await send({"type": "http.response.body", "body": content})
