"""What is no body, for every endpoint that reads one."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping

from tests.end_to_end.bad_input.kind import (
    CHAT,
    COMPLETIONS,
    COUNT,
    EMBEDDINGS,
    GENERATE,
    INFER,
    MAX_BODY,
    MESSAGES,
    RESPONSES,
    STREAM,
    Bad,
)

BODIES: tuple[str, ...] = (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    MESSAGES,
    COUNT,
    RESPONSES,
    INFER,
    GENERATE,
    STREAM,
    "/v2/models",
    "/v2/models/up",
    "/v2/repository/index",
    "/v1/chat/completions/chatcmpl-1",
    "/asked/me",
)
"""The endpoints that read JSON."""
PARSE = "could not parse the JSON body"
NO_JSON: Mapping[str, bytes] = {
    "a brace alone": b"{",
    "a word": b"nul",
    "white space alone": b" \n\t",
    "a comma at the end": b'{"model": "up",}',
    "a comma too many": b"[1,,2]",
    "quotes of the wrong kind": b"{'model': 'up'}",
    "a name without quotes": b'{model: "up"}',
    "a number as a name": b'{1: "up"}',
    "NaN": b'{"temperature": NaN}',
    "Infinity": b'{"temperature": Infinity}',
    "minus Infinity": b'{"temperature": -Infinity}',
    "a number beyond doubles": b'{"temperature": 1e999}',
    "a number with a leading zero": b'{"n": 01}',
    "a number with a leading plus": b'{"n": +1}',
    "a number that begins with its point": b'{"n": .5}',
    "a number that ends with its point": b'{"n": 5.}',
    "a number in hexadecimal": b'{"n": 0x10}',
    "an integer of 5000 digits": b'{"seed": ' + b"9" * 5000 + b"}",
    "a lone surrogate, escaped": b'{"model": "\\ud800"}',
    "a lone low surrogate, escaped": b'{"model": "\\udc00x"}',
    "a surrogate in UTF-8": b'{"model": "\xed\xa0\x80"}',
    "a byte that is no UTF-8": b'{"model": "\xff"}',
    "UTF-8 that is too long": b'{"model": "\xc0\x80"}',
    "UTF-8 beyond Unicode": b'{"model": "\xf4\x90\x80\x80"}',
    "UTF-8 that is cut": b'{"model": "\xe2\x82',
    "Latin-1": '{"model": "ü"}'.encode("latin-1"),
    "UTF-16": '{"model": "up"}'.encode("utf-16"),
    "UTF-32": '{"model": "up"}'.encode("utf-32"),
    "a byte order mark": b'\xef\xbb\xbf{"model": "up"}',
    "a line break in a string": b'{"model": "a\nb"}',
    "a NUL in a string": b'{"model": "a\0b"}',
    "an unknown escape": b'{"model": "\\x41"}',
    "an escape that is cut": b'{"model": "\\u00"}',
    "a comment": b'{"model": "up"} // yes',
    "a NUL behind it": b'{"model": "up"}\0',
    "two documents": b'{"model": "up"}{"model": "up"}',
    "a form": b"model=up&messages=hi",
    "XML": b"<?xml version='1.0'?><model>up</model>",
    "a multipart form": b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nup\r\n--x--\r\n',
    "1025 levels of arrays": b"[" * 1025 + b"]" * 1025,
    "1025 levels of objects": b'{"a":' * 1025 + b"1" + b"}" * 1025,
    "100,000 arrays that nobody closes": b"[" * 100_000,
    "a name that is twice in an object": b'{"model": "up", "model": "other"}',
    "a name that is twice further in": b'{"model": "up", "x": [{"a": 1, "b": ":", "a": 2}]}',
    "a name that is twice by an escape": b'{"model": "up", "\\u006dodel": "other"}',
    "gzip that does not say so": gzip.compress(b'{"model": "up"}'),
}
NO_OBJECT: Mapping[str, bytes] = {
    "an array": b"[]",
    "an array of requests": b'[{"model": "up"}]',
    "a string": b'"up"',
    "a number": b"5",
    "true": b"true",
    "null": b"null",
}
ENCODED: Mapping[str, tuple[str, bytes, int, str | None, str]] = {
    "gzip that is none": ("gzip", b"{}", 400, None, "the body is no gzip"),
    "gzip that is cut": ("gzip", gzip.compress(b'{"model": "up"}')[:-4], 400, None, "ends too early"),
    "gzip with something behind it": ("gzip", gzip.compress(b"{}") + b"x", 400, None, "goes on after its end"),
    "gzip of no JSON": ("gzip", gzip.compress(b"{"), 400, None, PARSE),
    "a bomb of gzip": ("gzip", gzip.compress(b" " * 10 * MAX_BODY), 413, "body_too_large", "once it is inflated"),
    "deflate that is none": ("deflate", b"\xff{}{}", 400, None, "the body is no deflate"),
    "Brotli": ("br", b"x", 415, "unsupported_encoding", "send gzip, deflate or none"),
    "Zstandard": ("zstd", b"x", 415, "unsupported_encoding", "send gzip, deflate or none"),
    "an encoding in an encoding": ("gzip, gzip", b"x", 415, "unsupported_encoding", "send gzip, deflate or none"),
    "an encoding that there is not": ("utf-8", b"{}", 415, "unsupported_encoding", "send gzip, deflate or none"),
}


def bodies() -> Iterator[Bad]:
    """What is no body, for every endpoint that reads one."""
    for path in BODIES:
        for kind, body in NO_JSON.items():
            yield Bad(kind, path, body, says=PARSE)
        for kind, body in NO_OBJECT.items():
            yield Bad(kind, path, body, says="bject")
        for kind, (encoding, body, status, code, says) in ENCODED.items():
            yield Bad(kind, path, body, status, code=code, says=says, headers={"Content-Encoding": encoding})
        yield Bad("too long", path, b" " * (MAX_BODY + 1), 413, code="body_too_large", says=f"longer than {MAX_BODY}")
