"""A load of chat requests: one command a line of JSON on standard input, one result a line on standard output.

    closed   so many connections, each of which asks again as soon as it is answered
    open     so many requests a second, whether or not the earlier ones are answered; times count from the moment at
             which a request was due
    streams  so many streams at once; how long the longest silence in any of them was

Times are in seconds. An answer counts when its status is 200 and its end has come.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import uvloop

PATIENCE = 30.0
"""Seconds that an answer may take."""


@dataclass(slots=True)
class Exchange:
    """One answer: whether it is one, and when its first words and its end came."""

    done: asyncio.Future[None]
    begun: float
    good: bool = False
    head: bytes = b""
    left: int = -1
    first: float = 0.0
    last: float = 0.0
    silence: float = 0.0
    ended: float = 0.0
    tail: bytes = b""
    reads: int = 0


class Client(asyncio.Protocol):
    """A connection that is asked one thing at a time."""

    def __init__(self) -> None:
        self.exchange: Exchange | None = None
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._end(good=False)

    def ask(self, request: bytes, begun: float | None = None) -> Exchange:
        """Sends a request; its exchange is done when the answer is."""
        loop = asyncio.get_running_loop()
        self.exchange = Exchange(loop.create_future(), time.perf_counter() if begun is None else begun)
        self.transport.write(request)
        return self.exchange

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            return
        if exchange.left == -1:
            exchange.head += data
            head, found, data = exchange.head.partition(b"\r\n\r\n")
            if not found:
                return
            exchange.good = head.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200"))
            _, _, length = head.lower().partition(b"content-length:")
            exchange.left = int(length.split(b"\r\n")[0]) if length else -2
        self._take(exchange, data)

    def _take(self, exchange: Exchange, data: bytes) -> None:
        now = time.perf_counter()
        if data:
            exchange.first = exchange.first or now
            exchange.silence = max(exchange.silence, now - (exchange.last or now))
            exchange.last = now
            exchange.reads += 1
        if exchange.left >= 0:
            exchange.left -= len(data)
            ended = exchange.left <= 0
        else:
            exchange.tail = (exchange.tail + data)[-7:]
            ended = exchange.tail.endswith(b"\r\n0\r\n\r\n")
        if ended:
            exchange.ended = now
            self._end(good=exchange.good)

    def _end(self, *, good: bool) -> None:
        if self.exchange is not None and not self.exchange.done.done():
            self.exchange.good = good
            self.exchange.done.set_result(None)


@dataclass(slots=True)
class Load:
    """What is asked of whom."""

    port: int
    request: bytes
    results: list[Exchange] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    """Answers that were none, by their status or by what came instead."""
    free: list[Client] = field(default_factory=list)

    @classmethod
    def of(cls, command: dict[str, Any]) -> Load:
        """The load that a command describes."""
        body = orjson.dumps(command["body"])
        headers = {"host": "127.0.0.1", "content-type": "application/json", **command["headers"]}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"POST {command['path']} HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n"
        return cls(command["port"], head.encode() + body)

    async def connect(self) -> Client:
        """A new connection."""
        _, client = await asyncio.get_running_loop().create_connection(Client, "127.0.0.1", self.port)
        return client

    @property
    def failed(self) -> int:
        """How many answers were none."""
        return self.failures.total()

    async def one(self, begun: float | None = None) -> None:
        """One exchange over a connection that nobody uses. One that was closed while nobody did, before a byte of an
        answer, is asked again over another, as HTTP clients do."""
        try:
            kept = next((client for client in self._kept() if client.transport is not None), None)
            client = kept or await self.connect()
            exchange = await self._exchanged(client, begun)
            if kept is not None and client.transport is None and not exchange.head:
                client = await self.connect()
                exchange = await self._exchanged(client, begun)
        except (OSError, TimeoutError) as error:
            self.failures[type(error).__name__] += 1
            await asyncio.sleep(0.05)
            return
        if exchange.good:
            self.results.append(exchange)
        else:
            self.failures[exchange.head.partition(b"\r\n")[0].decode("latin-1") or "closed"] += 1
        if client.transport is not None:
            self.free.append(client)

    def _kept(self) -> Iterator[Client]:
        while self.free:
            yield self.free.pop()

    async def _exchanged(self, client: Client, begun: float | None) -> Exchange:
        exchange = client.ask(self.request, begun)
        async with asyncio.timeout(PATIENCE):
            await exchange.done
        return exchange

    def close(self) -> None:
        """Closes all connections."""
        for client in self.free:
            if client.transport is not None:
                client.transport.abort()


async def closed(load: Load, command: dict[str, Any]) -> None:
    """Connections that ask again and again."""
    until = time.perf_counter() + command["seconds"]

    async def work() -> None:
        while time.perf_counter() < until:
            await load.one()

    await asyncio.gather(*(work() for _ in range(command["connections"])))


async def open_(load: Load, command: dict[str, Any]) -> None:
    """Requests at a rate."""
    loop, begun = asyncio.get_running_loop(), time.perf_counter()
    tasks = []
    for number in range(int(command["rate"] * command["seconds"])):
        due = begun + number / command["rate"]
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        tasks.append(loop.create_task(load.one(due)))
    await asyncio.gather(*tasks)


async def streams(load: Load, command: dict[str, Any]) -> None:
    """Streams at once."""
    await asyncio.gather(*(load.one() for _ in range(command["streams"])))


MODES: dict[str, Callable[[Load, dict[str, Any]], Awaitable[None]]] = {
    "closed": closed,
    "open": open_,
    "streams": streams,
}


async def run(command: dict[str, Any]) -> dict[str, Any]:
    """The result of a command."""
    load = Load.of(command)
    begun = time.perf_counter()
    await MODES[command["mode"]](load, command)
    seconds = time.perf_counter() - begun
    load.close()
    took = sorted(each.ended - each.begun for each in load.results)
    first = sorted(each.first - each.begun for each in load.results)
    return {
        "answers": len(took),
        "failed": load.failed,
        "seconds": seconds,
        "p50": _part(took, 0.5),
        "p99": _part(took, 0.99),
        "first_p50": _part(first, 0.5),
        "first_p99": _part(first, 0.99),
        "silence": max((each.silence for each in load.results), default=0.0),
        "reads": sum(each.reads for each in load.results),
    }


def _part(values: list[float], part: float) -> float | None:
    return values[min(len(values) - 1, int(len(values) * part))] if values else None


async def main() -> None:
    """Does what it is told, line by line."""
    for line in sys.stdin:
        print(orjson.dumps(await run(orjson.loads(line))).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
