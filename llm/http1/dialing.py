"""How a connection is made: names are looked up once in a while, addresses tried side by side, TLS checked."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import aiohappyeyeballs

from llm.http1.address import Origin

KNOWN = 300.0
"""How long the addresses of a name are used, in seconds."""
STAGGER = 0.25
"""After how many seconds without an answer the next address is tried beside the ones before (RFC 8305)."""


class Dialer:
    """Makes connections to one origin."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._addresses: list[Any] = []
        self._until = 0.0
        self._looking: asyncio.Task[list[Any] | OSError] | None = None
        self._tls: ssl.SSLContext | None = None

    async def dial(self, protocol: asyncio.Protocol) -> None:
        """Gives a protocol its connection.

        Raises:
            OSError: when there is none.
        """
        loop = asyncio.get_running_loop()
        try:
            made = await aiohappyeyeballs.start_connection(
                await self._found(), happy_eyeballs_delay=STAGGER, interleave=1, loop=loop
            )
        except OSError:
            self._until = 0.0
            raise
        try:
            tls = self._context()
            name = None if tls is None else self._origin.host
            await loop.create_connection(lambda: protocol, sock=made, ssl=tls, server_hostname=name)
        except BaseException:
            made.close()
            raise

    async def _found(self) -> list[Any]:
        """The addresses, each time in another order, so that all of them get their share."""
        now = asyncio.get_running_loop().time()
        if self._until <= now:
            self._looking = looking = self._looking or asyncio.create_task(self._looked_up())
            await asyncio.wait([looking])
            found = looking.result()
            if isinstance(found, OSError):
                raise found
            self._addresses, self._until = found, now + KNOWN
        self._addresses = [*self._addresses[1:], self._addresses[0]]
        return self._addresses

    async def _looked_up(self) -> list[Any] | OSError:
        """One look-up for all that wait for it; who of them leaves does not end it."""
        loop = asyncio.get_running_loop()
        try:
            host, port = self._origin.host, self._origin.port
            return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        except OSError as error:
            return error
        finally:
            self._looking = None

    def _context(self) -> ssl.SSLContext | None:
        if self._origin.scheme == "https" and self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls
