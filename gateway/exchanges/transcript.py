"""Transcript: an answer as it is sent, in frames that can be sent again.

The first frame is the head; of a stream each further one is an event, of any other answer a part of its body.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, MutableMapping
from contextlib import aclosing
from typing import Any

import orjson

from gateway.edge.context import Send
from gateway.edge.sse import EVENTS

END = b"\n\n"
Headers = Iterable[tuple[bytes, bytes]]


class Transcript:
    """Takes down the messages of an answer.

    Args:
        numbered: whether the events of a stream are given ids: their numbers, from 1 on.
    """

    def __init__(self, *, numbered: bool) -> None:
        self.status = 0
        self.ended = False
        """Whether the last message of the answer has come."""
        self._numbered = numbered
        self._is_stream = False
        self._rest = b""
        self._number = 0

    def frames_of(self, message: MutableMapping[str, Any]) -> list[bytes]:
        """The frames that a message of ASGI makes, perhaps together with what came before it."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._is_stream = EVENTS in message.get("headers", ())
            return [_written(self.status, message.get("headers", ()))]
        self.ended = not message.get("more_body", False)
        body = message.get("body", b"")
        if not self._is_stream:
            return [body] if body else []
        *events, self._rest = (self._rest + body).split(END)
        frames = [self._event(event + END) for event in events]
        if self.ended and self._rest:
            frames.append(self._rest)
        return frames

    def _event(self, event: bytes) -> bytes:
        self._number += 1
        return b"id: %d\n%b" % (self._number, event) if self._numbered else event


def _written(status: int, headers: Headers) -> bytes:
    names = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers]
    return orjson.dumps({"status": status, "headers": names})


def start_of(head: bytes, more: Headers = ()) -> dict[str, Any]:
    """The message that a frame holds which is a head, with some headers more."""
    written = orjson.loads(head)
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in written["headers"]]
    return {"type": "http.response.start", "status": written["status"], "headers": [*headers, *more]}


def first_of(head: bytes, after: int) -> int:
    """The number of the frame that follows on ``after``: clients know those of the events of a stream, and any other
    answer is told from its beginning."""
    is_stream = EVENTS in start_of(head)["headers"]
    return after + 1 if is_stream else 1


def body_of(frame: bytes, *, last: bool = False) -> dict[str, Any]:
    """The message that sends a part of a body."""
    return {"type": "http.response.body", "body": frame, "more_body": not last}


async def replayed(frames: AsyncGenerator[bytes, None], send: Send, more: Headers = ()) -> bool:
    """Sends frames as they come, all but the end of the answer; whether there were any."""
    begun = False
    async with aclosing(frames) as each:
        async for frame in each:
            await send(body_of(frame) if begun else start_of(frame, more))
            begun = True
    return begun
