"""Pool: the connections to one origin, those that are used and those that are kept."""

from __future__ import annotations

import asyncio
from collections import deque

from llm.errors import UpstreamConnectTimeout, UpstreamUnreachable
from llm.http1.address import Origin
from llm.http1.connection import Connection
from llm.http1.dialing import Dialer
from llm.transport import Timeouts

KEEP_ALIVE = 30.0
"""How many seconds a connection is kept that nobody uses; most servers keep it longer."""


class Pool:
    """Gives each request a connection of its own: the one that was used last, a new one, or, at the limit, the next
    that is given back; who has waited longest is served first."""

    def __init__(self, origin: Origin, timeouts: Timeouts, limit: int) -> None:
        self._origin = origin
        self._timeouts = timeouts
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._dialer = Dialer(origin)
        self._taken = 0
        """How many there are or are being made."""
        self._made: set[Connection] = set()
        self._idle: list[Connection] = []
        self._queue: deque[asyncio.Future[Connection | None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Future[None] | None = None

    # --- for who asks

    def idle(self) -> Connection | None:
        """A connection that was kept, if there is one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            connection.abort()
        return None

    async def another(self, ends: float | None, *, new: bool) -> tuple[Connection, bool]:
        """A connection, when there may be one more or one is given back, and whether it was kept; a ``new`` one was
        not.

        Raises:
            UpstreamUnreachable: when there is none.
            UpstreamConnectTimeout: when there is none in time.
        """
        due = self._loop.time() + self._timeouts.connect
        try:
            async with asyncio.timeout_at(due if ends is None else min(due, ends)):
                given = await self._turn(first=new)
                while given is not None and (new or not given.usable):
                    given.abort()
                    given = await self._turn(first=True)
                return (await self._dialled(), False) if given is None else (given, True)
        except TimeoutError as error:
            raise UpstreamConnectTimeout(f"no connection in time to {self._origin.authority}") from error
        except OSError as error:
            kind = type(error).__name__
            raise UpstreamUnreachable(f"the connection to {self._origin.authority} failed ({kind})") from error

    async def close(self) -> None:
        """Closes all connections, and returns when they are closed."""
        for waiting in self._queue:
            if not waiting.done():
                waiting.set_exception(self._closed())
        for connection in tuple(self._made):
            connection.abort(self._closed())
        if self._made:
            self._emptied = self._loop.create_future()
            await self._emptied
        if self._sweeper is not None:
            self._sweeper.cancel()

    # --- for the connections

    def free(self, connection: Connection) -> None:
        """A connection may be used by somebody else."""
        if not self._handed(connection):
            connection.idle_since = self._loop.time()
            self._idle.append(connection)
            if self._sweeper is None:
                self._sweeper = self._loop.call_later(KEEP_ALIVE, self._sweep)

    def lost(self, connection: Connection) -> None:
        """A connection is no more."""
        if connection not in self._made:
            return
        self._made.remove(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._give_place()
        if self._emptied is not None and not self._made:
            self._emptied.set_result(None)

    # --- inside

    async def _turn(self, *, first: bool) -> Connection | None:
        """A connection that was given back, or None when there is a place for a new one."""
        if self._taken < self._limit:
            self._taken += 1
            return None
        waiting: asyncio.Future[Connection | None] = self._loop.create_future()
        (self._queue.appendleft if first else self._queue.append)(waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting in self._queue:
                self._queue.remove(waiting)
            elif not waiting.cancelled() and waiting.exception() is None:
                self._pass_on(waiting.result())
            raise

    async def _dialled(self) -> Connection:
        connection = Connection(self, self._timeouts.read)
        try:
            await self._dialer.dial(connection)
            if connection.closed:
                raise ConnectionResetError
        except BaseException:
            connection.abort()
            self._give_place()
            raise
        self._made.add(connection)
        return connection

    def _handed(self, given: Connection | None) -> bool:
        """Whether who has waited longest was given it."""
        while self._queue:
            waiting = self._queue.popleft()
            if not waiting.done():
                waiting.set_result(given)
                return True
        return False

    def _pass_on(self, given: Connection | None) -> None:
        """What was given to somebody who has left."""
        if given is None:
            self._give_place()
        elif not given.closed:
            self.free(given)

    def _give_place(self) -> None:
        if not self._handed(None):
            self._taken -= 1

    def _sweep(self) -> None:
        """Closes what nobody has used for long; the first of the idle ones is the one that has lain there longest."""
        self._sweeper = None
        while self._idle and self._idle[0].idle_since + KEEP_ALIVE <= self._loop.time():
            self._idle.pop(0).abort()
        if self._idle:
            self._sweeper = self._loop.call_at(self._idle[0].idle_since + KEEP_ALIVE, self._sweep)

    def _closed(self) -> UpstreamUnreachable:
        return UpstreamUnreachable(f"the connections to {self._origin.authority} are closed")
