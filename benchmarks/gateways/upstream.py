"""An upstream that costs little: ``python -m benchmarks.gateways.upstream PORT``.

It speaks just enough HTTP/1.1 for chat requests of known length. An answer says ten words; a stream has as many chunks
as the request's ``max_tokens`` says, with ``seed`` milliseconds between them.
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Any

import orjson
import uvloop

COMMON = {"id": "chatcmpl-upstream", "created": 1_700_000_000, "model": "gpt-4o-mini", "system_fingerprint": "fp_1"}
USAGE = {"prompt_tokens": 9, "completion_tokens": 10, "total_tokens": 19}
MESSAGE = {"role": "assistant", "content": "One two three four five six seven eight nine ten.", "refusal": None}
CHOICE = {"index": 0, "message": MESSAGE, "logprobs": None, "finish_reason": "stop"}
ANSWER = orjson.dumps({**COMMON, "object": "chat.completion", "choices": [CHOICE], "usage": USAGE})
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
STREAMED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
CHUNKS, PAUSE = re.compile(rb'"max_tokens": *(\d+)'), re.compile(rb'"seed": *(\d+)')


def event(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    """An event in a chunk of HTTP."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return chunked(orjson.dumps({**COMMON, "object": "chat.completion.chunk", "choices": [choice]}))


def chunked(data: bytes) -> bytes:
    """Some data of an event in a chunk of HTTP."""
    return b"%x\r\ndata: %b\n\n\r\n" % (len(data) + 8, data)


FIRST = STREAMED + event({"role": "assistant", "content": ""})
WORD = event({"content": " word"})
COUNT = chunked(orjson.dumps({**COMMON, "object": "chat.completion.chunk", "choices": [], "usage": USAGE}))
LAST = event({}, "stop") + COUNT + chunked(b"[DONE]") + b"0\r\n\r\n"


class Upstream(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._read = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, body = self._read.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not found or (length is not None and len(body) < int(length[1])):
            return
        self._read = b""
        if re.search(rb'"stream": *true', body):
            chunks, pause = CHUNKS.search(body), PAUSE.search(body)
            self._write(FIRST)
            self._say(int(chunks[1]) if chunks else 10, int(pause[1]) / 1000 if pause else 0)
        else:
            self._write(WHOLE)

    def _say(self, chunks: int, pause: float) -> None:
        """One chunk, and the others later: each is a packet of its own."""
        loop = asyncio.get_running_loop()
        if self._transport is None:
            return
        self._write(WORD if chunks else LAST)
        if chunks and pause:
            loop.call_later(pause, self._say, chunks - 1, pause)
        elif chunks:
            loop.call_soon(self._say, chunks - 1, pause)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


async def main(port: int) -> None:
    """Answers for ever."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
