"""RawServer: a server whose every byte is written by the test."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Self, TypeAlias

LENGTH = re.compile(rb"content-length: (\d+)")
OK = b"HTTP/1.1 200 OK\r\n"


class Exchange:
    """One connection, and the request that came last over it."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        """Which connection it is, from 1 on."""
        self.head = b""
        self.body = b""
        self.reader = reader
        self.writer = writer

    async def request(self) -> bool:
        """Takes the next request; false when there is none."""
        try:
            self.head = await self.reader.readuntil(b"\r\n\r\n")
            length = LENGTH.search(self.head)
            self.body = await self.reader.readexactly(int(length[1])) if length else b""
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        return True

    async def say(self, *pieces: bytes) -> None:
        """Writes each piece as a packet of its own."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def left(self) -> None:
        """Waits until the client has closed the connection, whatever it says before."""
        with suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


Serving: TypeAlias = Callable[[Exchange], Awaitable[None]]


class RawServer:
    """Does the same on each of its connections; counts them. ``async with`` starts it on a free port."""

    def __init__(self, serve: Serving, tls: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self.requests = 0
        self.closed = asyncio.Event()
        """Set when a connection has ended."""
        self._serve = serve
        self._tls = tls
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """An address of it."""
        return f"http{'s' if self._tls else ''}://localhost:{self.port}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        exchange = Exchange(self.connections, reader, writer)
        try:
            await self._serve(exchange)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()
            self.closed.set()


def length(body: bytes, *headers: bytes) -> bytes:
    """An answer whose head says how long it is."""
    return OK + b"".join(each + b"\r\n" for each in headers) + b"content-length: %d\r\n\r\n%b" % (len(body), body)


def chunked(*pieces: bytes, trailers: bytes = b"") -> bytes:
    """An answer in chunks."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return OK + b"transfer-encoding: chunked\r\n\r\n" + body + b"0\r\n" + trailers + b"\r\n"


def always(*pieces: bytes) -> Serving:
    """Answers every request with these packets."""

    async def serve(exchange: Exchange) -> None:
        while await exchange.request():
            await exchange.say(*pieces)

    return serve


def once(*pieces: bytes) -> Serving:
    """Answers one request with these packets, and closes the connection in order."""

    async def serve(exchange: Exchange) -> None:
        await exchange.request()
        await exchange.say(*pieces)
        exchange.writer.close()
        await exchange.writer.wait_closed()

    return serve
