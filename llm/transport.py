"""Transport: two methods between a provider and the network, so that the client behind them can be changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Protocol
from weakref import WeakKeyDictionary

import aiohttp

from llm.errors import UpstreamBrokeOff, UpstreamError, UpstreamGarbled, UpstreamTimeout, UpstreamUnreachable

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""The longest answer that is read whole."""
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


@contextmanager
def _our_errors(url: str, broken: type[UpstreamError] = UpstreamUnreachable) -> Iterator[None]:
    """Turns aiohttp's errors into ours; the messages name the place, never the headers."""
    try:
        yield
    except TimeoutError as error:
        raise UpstreamTimeout(f"no answer in time from {url}") from error
    except aiohttp.ClientResponseError as error:
        raise UpstreamGarbled(f"the answer from {url} is not HTTP as it should be") from error
    except (aiohttp.ClientError, OSError) as error:
        raise broken(f"the connection to {url} failed ({type(error).__name__})") from error


class AiohttpResponse:
    """An aiohttp answer behind :class:`Response`."""

    def __init__(self, response: aiohttp.ClientResponse, url: str) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._url = url

    async def read(self) -> bytes:
        body = bytearray()
        async with aclosing(self.reads()) as reads:
            async for read in reads:
                body += read
                if len(body) > MAX_ANSWER_BYTES:
                    raise UpstreamGarbled(f"the answer from {self._url} is longer than {MAX_ANSWER_BYTES} bytes")
        return bytes(body)

    async def reads(self) -> AsyncGenerator[bytes, None]:
        while True:
            with _our_errors(self._url, UpstreamBrokeOff):
                read = await self._response.content.readany()
            if not read:
                return
            yield read

    def close(self) -> None:
        self._response.close()


class AiohttpTransport:
    """One connection pool for all upstreams of a provider, made on first use inside the running loop."""

    def __init__(self, timeouts: Timeouts | None = None, *, user_agent: str = "penstock") -> None:
        self._timeouts = timeouts or Timeouts()
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Response:
        data = BytesIO(body) if body is not None and len(body) > LARGE else body
        with _our_errors(url):
            response = await self._pool().request(method, url, headers=headers, data=data, allow_redirects=False)
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
            connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=300, loop=asyncio.get_running_loop())
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
