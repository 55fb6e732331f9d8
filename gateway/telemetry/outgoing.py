"""WatchedTransport: a transport to upstreams that says when somebody waits for one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from contextvars import ContextVar

from gateway.telemetry.passage import PASSAGE, Passage
from llm.transport import Response, Transport

TRACE: ContextVar[Mapping[str, str] | None] = ContextVar("trace", default=None)
"""The headers that tell an upstream which trace its request is part of."""


class WatchedTransport:
    """The same transport. Time that a request waits for it is the upstream's and not the gateway's."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Response:
        trace = TRACE.get()
        if trace is not None:
            headers = {**headers, **trace}
        passage = PASSAGE.get()
        if passage is None:
            return await self._transport.request(method, url, headers, body)
        passage.wait()
        try:
            response = await self._transport.request(method, url, headers, body)
        finally:
            passage.go_on()
        return _Watched(response, passage)

    async def close(self) -> None:
        await self._transport.close()


class _Watched:
    """The same response."""

    def __init__(self, response: Response, passage: Passage) -> None:
        self.status = response.status
        self.headers = response.headers
        self._response = response
        self._passage = passage

    async def read(self) -> bytes:
        self._passage.wait()
        try:
            return await self._response.read()
        finally:
            self._passage.go_on()

    async def reads(self) -> AsyncGenerator[bytes, None]:
        passage = self._passage
        async with aclosing(self._response.reads()) as reads:
            while True:
                passage.wait()
                try:
                    read = await anext(reads, b"")
                finally:
                    passage.go_on()
                if not read:
                    return
                yield read

    def leave(self) -> None:
        self._response.leave()

    def close(self) -> None:
        self._response.close()
