"""Transport: two methods between a provider and the network, so that the client behind them can be changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Protocol
from weakref import WeakKeyDictionary, WeakSet

import aiohttp

from llm.errors import UpstreamBrokeOff, UpstreamError, UpstreamGarbled, UpstreamTimeout, UpstreamUnreachable

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""The longest answer that is read whole."""
KEEP_ALIVE = 30.0
"""How many seconds a connection is kept that nobody uses; most servers keep it longer."""
LARGE = 1024 * 1024
"""From this size on a body is written piece by piece, so that the loop can breathe."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds: for a connection, for each read of the answer, and for all of it."""

    connect: float = 10.0
    read: float = 300.0
    total: float | None = None


class Response(Protocol):
    """An answer whose head has arrived. It must be closed; closing it before its end closes the connection."""

    status: int
    headers: Mapping[str, str]

    async def read(self) -> bytes:
        """The whole body."""
        ...

    def reads(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes off the wire."""
        ...

    def close(self) -> None:
        """Ends the exchange, whatever is left of it."""
        ...


class Transport(Protocol):
    """Sends requests to upstreams. Redirects are never followed."""

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Response:
        """The answer to a request, once its head has arrived; without ``body`` the request has none.

        Raises:
            UpstreamError: when there is no answer.
        """
        ...

    async def close(self) -> None:
        """Closes all connections."""
        ...


FAULTS = (aiohttp.ClientError, OSError)
"""What aiohttp raises; a timeout is an OSError."""


def _our_error(error: Exception, url: str, broken: type[UpstreamError] = UpstreamUnreachable) -> UpstreamError:
    """Our error for one of aiohttp's; the message names the place, never the headers."""
    if isinstance(error, TimeoutError):
        return UpstreamTimeout(f"no answer in time from {url}")
    if isinstance(error, aiohttp.ClientResponseError):
        return UpstreamGarbled(f"the answer from {url} is not HTTP as it should be")
    return broken(f"the connection to {url} failed ({type(error).__name__})")


class AiohttpResponse:
    """An aiohttp answer behind :class:`Response`."""

    def __init__(self, response: aiohttp.ClientResponse, url: str) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._url = url

    async def read(self) -> bytes:
        body = bytearray()
        while read := await self._read():
            body += read
            if len(body) > MAX_ANSWER_BYTES:
                raise UpstreamGarbled(f"the answer from {self._url} is longer than {MAX_ANSWER_BYTES} bytes")
        return bytes(body)

    async def reads(self) -> AsyncGenerator[bytes, None]:
        while read := await self._read():
            yield read

    async def _read(self) -> bytes:
        """What has come; nothing at the end."""
        try:
            return await self._response.content.readany()
        except FAULTS as error:
            raise _our_error(error, self._url, UpstreamBrokeOff) from error

    def close(self) -> None:
        self._response.close()


KEPT: ContextVar[bool] = ContextVar("kept", default=False)
"""Whether the connection that this task was given last had been used before."""
STALE = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)
"""How a connection ends that its server had given up while nobody used it: before a byte of an answer. The request did
not reach anybody (RFC 9112, section 9.3.1), and is sent again over another one."""


class _Connector(aiohttp.TCPConnector):
    """Says of each connection that it gives whether it had been kept from another request."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._given: WeakSet[Any] = WeakSet()

    async def connect(self, *given: Any, **named: Any) -> Any:
        KEPT.set(False)
        connection = await super().connect(*given, **named)
        KEPT.set(connection.protocol in self._given)
        self._given.add(connection.protocol)
        return connection


class AiohttpTransport:
    """One connection pool for all upstreams of a provider, made on first use inside the running loop."""

    def __init__(self, timeouts: Timeouts | None = None, *, user_agent: str = "penstock") -> None:
        self._timeouts = timeouts or Timeouts()
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Response:
        while True:
            data = BytesIO(body) if body is not None and len(body) > LARGE else body
            try:
                response = await self._pool().request(method, url, headers=headers, data=data, allow_redirects=False)
            except FAULTS as error:
                if not (isinstance(error, STALE) and KEPT.get()):
                    raise _our_error(error, url) from error
            else:
                return AiohttpResponse(response, url)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(
                total=self._timeouts.total, sock_connect=self._timeouts.connect, sock_read=self._timeouts.read
            )
            connector = _Connector(
                limit=0, ttl_dns_cache=300, keepalive_timeout=KEEP_ALIVE, loop=asyncio.get_running_loop()
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"user-agent": self._user_agent},
                trust_env=False,
                auto_decompress=True,
            )
        return self._session


_SHARED: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[Transport, AsyncGenerator[Transport, None]]] = (
    WeakKeyDictionary()
)
LONGEST_SILENCE = 3600.0
"""The read timeout of the shared transport, in seconds, for callers with a shorter deadline of their own."""


async def shared_transport() -> Transport:
    """The transport that everybody in the running loop may share, closed when the loop ends.

    What a loop does last is to close the async generators that are still open, and one of them holds the transport.
    """
    loop = asyncio.get_running_loop()
    if loop not in _SHARED:
        holder = _held()
        _SHARED[loop] = (await anext(holder), holder)
    return _SHARED[loop][0]


async def _held() -> AsyncGenerator[Transport, None]:
    transport = AiohttpTransport(Timeouts(read=LONGEST_SILENCE))
    try:
        yield transport
    finally:
        await transport.close()
