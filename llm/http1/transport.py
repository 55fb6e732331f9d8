"""HttpTransport: the Transport that everything here uses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import lru_cache, partial
from weakref import WeakKeyDictionary

from llm.errors import UpstreamUnreachable
from llm.http1.address import Origin, located
from llm.http1.answer import Answer
from llm.http1.head import framed, head_of
from llm.http1.pool import Pool
from llm.transport import Response, Timeouts, Transport

MAX_CONNECTIONS = 4096
"""How many connections there may be to one origin at once."""
REMEMBERED = 256
"""How many heads of requests are kept; a provider sends the same few again and again."""


class HttpTransport:
    """A pool of connections for each origin, made on first use inside the running loop.

    It takes no proxy and no credentials from its surroundings, keeps no cookies, and follows no redirect.

    Args:
        timeouts: see :class:`~llm.transport.Timeouts`.
        user_agent: sent where a request does not say another.
        limit: how many connections there may be to one origin; requests beyond wait for their turn.
    """

    def __init__(
        self, timeouts: Timeouts | None = None, *, user_agent: str = "penstock", limit: int = MAX_CONNECTIONS
    ) -> None:
        self._timeouts = timeouts or Timeouts()
        self._user_agent = user_agent
        self._limit = limit
        self._pools: dict[Origin, Pool] = {}
        self._way = lru_cache(REMEMBERED)(self._way_of)

    def __reduce__(self) -> tuple[Callable[[], HttpTransport], tuple[()]]:
        """In another process it begins without connections."""
        return partial(HttpTransport, self._timeouts, user_agent=self._user_agent, limit=self._limit), ()

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Response:
        pool, head = self._way(method, url, tuple(headers.items()))
        head = framed(method, head, body)
        total = self._timeouts.total
        ends = None if total is None else asyncio.get_running_loop().time() + total
        connection, kept, new = pool.idle(), True, False
        while True:
            if connection is None:
                connection, kept = await pool.another(ends, new=new)
            answer = Answer(connection, url, ends)
            connection.ask(head, body, answer, bodiless=method == "HEAD")
            try:
                await answer.begun()
            except BaseException:
                answer.close()
                raise
            if answer.fault is None:
                return answer
            if not kept or answer.heard or not isinstance(answer.fault, UpstreamUnreachable):
                raise answer.fault
            connection, new = None, True

    async def close(self) -> None:
        pools = [*self._pools.values()]
        self._pools.clear()
        self._way.cache_clear()
        for pool in pools:
            await pool.close()

    def _way_of(self, method: str, url: str, headers: tuple[tuple[str, str], ...]) -> tuple[Pool, bytes]:
        """Over which connections a request goes, and how it begins."""
        origin, target = located(url)
        head = head_of(method, origin, target, headers, self._user_agent)
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = Pool(origin, self._timeouts, self._limit)
        return pool, head


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
    transport = HttpTransport(Timeouts(read=LONGEST_SILENCE))
    try:
        yield transport
    finally:
        await transport.close()
