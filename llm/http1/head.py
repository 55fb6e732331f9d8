"""The head of a request, up to what says how long its body is."""

from __future__ import annotations

import re
from collections.abc import Iterable

from llm.http1.address import Origin

METHOD = re.compile(r"[A-Z]{1,32}")
NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
FRAMING = ("content-length", "transfer-encoding")
"""Headers that say where a body ends; only the client that writes it may."""
SENDS_BODY = ("POST", "PUT", "PATCH")


def head_of(method: str, origin: Origin, target: str, headers: Iterable[tuple[str, str]], agent: str) -> bytes:
    """The request line and the headers, the caller's before ours.

    Raises:
        ValueError: when a method, a name or a value could be read as more than that. Values are not repeated.
    """
    if not METHOD.fullmatch(method) or method == "CONNECT":
        raise ValueError(f"{method!r} is no method that can be sent")
    own = {"host": origin.authority, "accept": "*/*", "accept-encoding": "gzip, deflate", "user-agent": agent}
    lines = {name.lower(): _value(name, value) for name, value in headers}
    written = "".join(f"{name}: {value}\r\n" for name, value in {**own, **lines}.items())
    return f"{method} {target} HTTP/1.1\r\n{written}".encode()


def framed(method: str, head: bytes, body: bytes | None) -> bytes:
    """The whole head of a request with this body."""
    if body is None and method not in SENDS_BODY:
        return head + b"\r\n"
    return b"%bcontent-length: %d\r\n\r\n" % (head, len(body or b""))


def _value(name: str, value: str) -> str:
    if not NAME.fullmatch(name) or name.lower() in FRAMING:
        raise ValueError(f"{name!r} is no header that can be sent")
    if CONTROL.search(value):
        raise ValueError(f"the header {name!r} holds a line break or another control character")
    return value
