"""The binary tensor data extension: JSON, and behind it the raw elements of tensors, in one body.

Whether a body is framed is said by the header ``Inference-Header-Content-Length``, never by its type.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from gateway.edge.context import Scope, Send
from gateway.errors import InvalidBody

HEADER = b"inference-header-content-length"
SIZE = "binary_data_size"
OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def header_of(scope: Scope, name: bytes) -> str | None:
    """The value of a request header, or nothing."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


def split(body: bytes, length: str | None) -> tuple[bytes, memoryview | None]:
    """The JSON in a body, and the raw bytes behind it; None where ``length``, the header, is not there.

    Raises:
        InvalidBody: when the header is no length of something in the body.
    """
    if length is None:
        return body, None
    if not (length.isascii() and length.isdigit() and len(length) < 12):
        raise InvalidBody("Inference-Header-Content-Length must be a whole number from 0 on")
    end = int(length)
    if end > len(body):
        raise InvalidBody(f"Inference-Header-Content-Length is {end}, and the body has {len(body)} bytes")
    if end == 0:
        raise InvalidBody("raw binary requests are not served; describe the tensors in JSON before the bytes")
    return body[:end], memoryview(body)[end:]


class Blobs:
    """The raw bytes behind the JSON of a request, taken one after the other."""

    def __init__(self, raw: memoryview | None) -> None:
        self._raw = raw
        self._at = 0

    def take(self, wire: dict[str, Any]) -> memoryview | None:
        """The bytes of an input; None when it has its elements in JSON.

        Raises:
            InvalidBody: when it says that it has bytes that are not there, or ``data`` too.
        """
        size = (wire.get("parameters") or {}).get(SIZE)
        if size is None:
            return None
        if self._raw is None:
            raise InvalidBody(f"{SIZE} needs the header Inference-Header-Content-Length")
        if type(size) is not int or size < 0 or size > len(self._raw) - self._at:
            raise InvalidBody(f"input '{wire['name']}': {SIZE} is {size}, and so many bytes are not there")
        if "data" in wire:
            raise InvalidBody(f"input '{wire['name']}' has both data and {SIZE}")
        self._at += size
        return self._raw[self._at - size : self._at]

    def finish(self) -> None:
        """Looks whether every byte was taken.

        Raises:
            InvalidBody: when some are left over.
        """
        left = 0 if self._raw is None else len(self._raw) - self._at
        if left:
            raise InvalidBody(f"{left} bytes are left over after the last input")


async def send_framed(send: Send, wire: Any, blobs: Sequence[bytes]) -> None:
    """Sends an answer with the blobs of its outputs behind it; without any it is JSON only, and has no such header."""
    document = orjson.dumps(wire, default=plain, option=OPTIONS)
    kind = b"application/octet-stream" if blobs else b"application/json"
    extra = [(HEADER, str(len(document)).encode())] if blobs else []
    length = len(document) + sum(map(len, blobs))
    headers = [(b"content-type", kind), (b"content-length", str(length).encode()), *extra]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for part, last in _marked((document, *blobs)):
        await send({"type": "http.response.body", "body": part, "more_body": not last})


def _marked(parts: Sequence[bytes]) -> Iterable[tuple[bytes, bool]]:
    return ((part, number == len(parts)) for number, part in enumerate(parts, 1))


def plain(value: Any) -> Any:
    """What is no JSON as something that is: what has ``tolist`` as that gives it, bytes as text, other things as they
    print."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
