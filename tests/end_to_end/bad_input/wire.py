"""What is no HTTP, or HTTP as it should not be: bytes, the status, and what the message says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

HEAD = b"host: localhost\r\nauthorization: Bearer key-of-the-admin\r\n"
POST = b"POST /v1/chat/completions HTTP/1.1\r\n" + HEAD
GET = b"GET /v1/models HTTP/1.1\r\n" + HEAD
NO_HTTP = "Invalid HTTP request received."
Wire: TypeAlias = tuple[bytes, int, str]

WIRES: Mapping[str, Wire] = {
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, NO_HTTP),
    "a version that there is not": (b"GET /v1/models HTTP/9.9\r\n" + HEAD + b"\r\n", 400, NO_HTTP),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, NO_HTTP),
    "no version": (b"GET /v1/models\r\n\r\n", 401, "API key"),
    "no path": (b"GET  HTTP/1.1\r\n" + HEAD + b"\r\n", 400, NO_HTTP),
    "a method that there is not": (b"FOO /v1/models HTTP/1.1\r\n" + HEAD + b"\r\n", 400, NO_HTTP),
    "a method in small letters": (b"get /v1/models HTTP/1.1\r\n" + HEAD + b"\r\n", 400, NO_HTTP),
    "CONNECT": (b"CONNECT x.example:443 HTTP/1.1\r\n" + HEAD + b"\r\n", 400, NO_HTTP),
    "a star": (b"OPTIONS * HTTP/1.1\r\n" + HEAD + b"\r\n", 404, "Invalid URL"),
    "a path of Latin-1": (b"GET /v1/models/\xff HTTP/1.1\r\n" + HEAD + b"\r\n", 400, NO_HTTP),
    "a path that is no UTF-8": (b"GET /v1/models/%ff HTTP/1.1\r\n" + HEAD + b"\r\n", 404, "Invalid URL"),
    "a space in a header's name": (GET + b"x y: a\r\n\r\n", 400, NO_HTTP),
    "a space behind a header's name": (GET + b"content-length : 0\r\n\r\n", 400, NO_HTTP),
    "a header without a name": (GET + b": a\r\n\r\n", 400, NO_HTTP),
    "a NUL in a header": (GET + b"x: a\0b\r\n\r\n", 400, NO_HTTP),
    "a header in two lines": (GET + b"x: a\r\n b\r\n\r\n", 400, NO_HTTP),
    "line feeds alone": (b"GET /v1/models HTTP/1.1\nhost: localhost\n\n", 400, NO_HTTP),
    "no host": (b"GET /v1/models HTTP/1.1\r\n\r\n", 400, "one Host header"),
    "two hosts": (GET + b"host: x.example\r\n\r\n", 400, "one Host header"),
    "a length and chunks": (POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400, NO_HTTP),
    "chunks and a length": (POST + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n", 400, NO_HTTP),
    "two lengths": (POST + b"content-length: 5\r\ncontent-length: 6\r\n\r\n{}{}{}", 400, NO_HTTP),
    "a length below zero": (POST + b"content-length: -1\r\n\r\n", 400, NO_HTTP),
    "a length that is text": (POST + b"content-length: x\r\n\r\n", 400, NO_HTTP),
    "a length with a plus": (POST + b"content-length: +2\r\n\r\n{}", 400, NO_HTTP),
    "a length in a list": (POST + b"content-length: 2, 2\r\n\r\n{}", 400, NO_HTTP),
    "a length beyond 64 bits": (POST + b"content-length: 99999999999999999999999\r\n\r\n", 400, NO_HTTP),
    "a length that nobody would send": (POST + b"content-length: 999999999999\r\n\r\n{}", 413, "longer than"),
    "a chunk that has no length": (POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n\r\n", 400, NO_HTTP),
    "a chunk that is longer than it says": (
        POST + b"transfer-encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
        400,
        NO_HTTP,
    ),
    "a coding of transfer": (POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, "must be chunked"),
    "chunks in chunks": (POST + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400, ""),
    "a coding that is not chunked": (POST + b"transfer-encoding: xchunked\r\n\r\n{}", 400, "must be chunked"),
    "a head that is too long": (GET + b"x: " + b"a" * 70_000 + b"\r\n\r\n", 431, "longer than 65536 bytes"),
    "a head that never ends": (GET + b"x: " + b"a" * 70_000, 431, "longer than 65536 bytes"),
    "headers that never end": (GET + b"x: aaaaaaaaaa\r\n" * 5_000, 431, "longer than 65536 bytes"),
    "a path that is too long": (
        b"GET /v1/" + b"a" * 70_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n",
        431,
        "longer than 65536 bytes",
    ),
    "a body for no model, in pieces": (
        POST + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        400,
        "model",
    ),
    "a body that is expected otherwise": (POST + b"expect: the worst\r\ncontent-length: 2\r\n\r\n{}", 400, "model"),
}
