"""A chat answer as server-sent events, in the form that the official SDKs read.

The role once, in the first chunk; ``finish_reason`` in every chunk, null until the last; usage, if asked for, in one
more chunk with empty choices; then ``[DONE]``. An error after the first byte is an event whose data has a top-level
``error`` object, and nothing follows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from llm import ChatChunk, Usage

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]
DONE = b"data: [DONE]\n\n"


class ChatFrames:
    """The frames of one answer: what they have in common is encoded once."""

    def __init__(self, completion_id: str, created: int, model: str, *, include_usage: bool) -> None:
        head = orjson.dumps(
            {
                "id": completion_id,
                "object": "chat.completion.chunk",
                "created": created,
                "model": model,
                "system_fingerprint": None,
            }
        )
        self._head = b"data: " + head[:-1]
        self._tail = b',"usage":null}\n\n' if include_usage else b"}\n\n"

    def _frame(self, delta: Mapping[str, Any], finish_reason: bytes = b"null", logprobs: bytes = b"null") -> bytes:
        return b"".join(
            (
                self._head,
                b',"choices":[{"index":0,"delta":',
                orjson.dumps(delta),
                b',"logprobs":',
                logprobs,
                b',"finish_reason":',
                finish_reason,
                b"}]",
                self._tail,
            )
        )

    def role(self) -> bytes:
        """The first frame."""
        return self._frame({"role": "assistant", "content": "", "refusal": None})

    def chunk(self, chunk: ChatChunk) -> bytes:
        """The frame of a chunk; nothing when it holds only an end or usage, which have frames of their own."""
        delta = chunk.delta()
        if chunk.logprobs:
            return self._frame(delta, logprobs=orjson.dumps(chunk.logprobs))
        return self._frame(delta) if delta else b""

    def finish(self, reason: str) -> bytes:
        """The frame that says why the answer ended."""
        return self._frame({}, orjson.dumps(reason))

    def usage(self, usage: Usage) -> bytes:
        """The frame with the usage of the whole run."""
        return b"".join((self._head, b',"choices":[],"usage":', orjson.dumps(usage.to_wire()), b"}\n\n"))


def error_frame(body: Mapping[str, Any]) -> bytes:
    """The frame that ends an answer that broke."""
    return b"data: " + orjson.dumps(body) + b"\n\n"
