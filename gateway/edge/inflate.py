"""Compressed bodies: inflated, and never beyond a bound."""

from __future__ import annotations

import zlib

from gateway.edge.context import Scope
from gateway.errors import BodyTooLarge, InvalidBody, UnknownEncoding

HEADER = b"content-encoding"
FORMATS = ("gzip", "x-gzip", "deflate")
"""The encodings that are served."""
GZIP, ZLIB, RAW = 31, 15, -15
"""What zlib calls the formats: that of ``gzip``, and the two that are both sent as ``deflate``."""


def encoding_of(scope: Scope) -> str:
    """The ``Content-Encoding`` of a request, nothing where there is none.

    Raises:
        UnknownEncoding: when it is none that :func:`inflated` knows, or there are several.
    """
    named = [value.decode("latin-1").strip().lower() for name, value in scope["headers"] if name == HEADER]
    if named in ([], [""], ["identity"]):
        return ""
    if len(named) > 1 or named[0] not in FORMATS:
        raise UnknownEncoding(f"Content-Encoding '{', '.join(named)}' is not served; send gzip, deflate or none.")
    return str(named[0])


def inflated(body: bytes, encoding: str, most: int) -> bytes:
    """A body without its encoding, which is one of :data:`FORMATS`, or nothing for none.

    Raises:
        BodyTooLarge: when it is longer than ``most`` bytes; no more than that is inflated.
        InvalidBody: when it is not what the encoding says.
    """
    if not encoding:
        return body
    try:
        return _inflated(body, _format(encoding, body), most)
    except zlib.error as error:
        raise InvalidBody(f"the body is no {encoding}: {error}") from None


def _inflated(body: bytes, wbits: int, most: int) -> bytes:
    stream = zlib.decompressobj(wbits)
    whole = stream.decompress(body, most + 1)
    if len(whole) > most:
        raise BodyTooLarge(f"The body of your request is longer than {most} bytes once it is inflated.")
    if not stream.eof:
        raise InvalidBody("the compressed body ends too early")
    if stream.unused_data:
        raise InvalidBody("the compressed body goes on after its end")
    return whole


def _format(name: str, body: bytes) -> int:
    """The format of a body; zlib's own begins with a checked pair of bytes, the raw one does not."""
    if name != "deflate":
        return GZIP
    return ZLIB if len(body) > 1 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0 else RAW
