"""Compressed bodies: inflated, and never beyond a bound."""

from __future__ import annotations

import zlib

from gateway.errors import BodyTooLarge, InvalidBody

GZIP, ZLIB, RAW = 31, 15, -15
"""What zlib calls the formats: that of ``gzip``, and the two that are both sent as ``deflate``."""


def inflated(body: bytes, encoding: str, most: int) -> bytes:
    """A body without its ``Content-Encoding``: ``gzip``, ``deflate``, or ``identity`` and nothing for none.

    Raises:
        BodyTooLarge: when it is longer than ``most`` bytes; no more than that is inflated.
        InvalidBody: when it is not what the encoding says, or the encoding is none of these.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in ("gzip", "x-gzip", "deflate"):
        raise InvalidBody(f"Content-Encoding '{encoding}' is not known; send gzip, deflate or none")
    try:
        return _inflated(body, _format(name, body), most)
    except zlib.error as error:
        raise InvalidBody(f"the body is no {name}: {error}") from None


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
