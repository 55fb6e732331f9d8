"""Stores of both kinds, with a clock that tests can move on."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeAlias

import pytest

from gateway.store.protocol import SLICE, Store
from gateway.store.redis import RedisStore
from gateway.store.sqlite import SQLiteStore
from tests.gateway.store.servers import RedisServer

Restart: TypeAlias = Callable[[], None]


class Clock:
    """How far the clock of the stores is moved on, in seconds; first to the beginning of a slice."""

    def __init__(self) -> None:
        self.seconds = SLICE - time.time() % SLICE

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> float:
        """The time that it shows, in seconds since 1970."""
        return time.time() + self.seconds

    def move(self, seconds: float) -> None:
        """Moves it on."""
        self.seconds += seconds


class Place:
    """Where workers share what they have spent: each of its stores is that of a worker."""

    def __init__(self, make: Callable[[Clock], Store], restart: Restart) -> None:
        self.clock = Clock()
        self.restart = restart
        """Starts what is behind the stores anew; of a file nothing is."""
        self._make = make
        self._open = AsyncExitStack()

    async def worker(self) -> Store:
        """One more worker's store, ready."""
        store = self._make(self.clock)
        await store.start()
        self._open.push_async_callback(store.close)
        return store

    async def close(self) -> None:
        """Closes them all."""
        await self._open.aclose()


@pytest.fixture(params=["sqlite", "redis"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Place, None]:
    """A place of each kind, with nothing in it."""
    if request.param == "sqlite":
        place = Place(lambda clock: SQLiteStore(tmp_path / "penstock.db", clock), lambda: None)
    else:
        server: RedisServer = request.getfixturevalue("own_redis")

        def restart() -> None:
            server.kill()
            server.start()

        place = Place(lambda clock: RedisStore(server.url, 5, clock), restart)
    yield place
    await place.close()


@pytest.fixture
async def store(place: Place) -> Store:
    """The store of one worker."""
    return await place.worker()


@pytest.fixture
def unused_tcp_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port
