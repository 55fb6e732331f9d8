"""What a state machine drives: workers with event loops of their own, the upstream they ask, the store they share.

A worker moves only while the machine lets it, and one that is killed never again: so nothing of it happens afterwards
that would not after ``kill -9``.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import redis

from gateway.catalog.deployed import Served
from gateway.config.limits import LimitsEntry, StoreEntry, UsageEntry
from gateway.edge.bounds import Bounds
from gateway.edge.limits import Limiter
from gateway.serving.opening import Opened, opened
from gateway.store.guarded import GuardedStore
from gateway.store.leased import LeasedStore
from gateway.store.protocol import Account, Amount, Hold
from gateway.store.redis import RedisStore
from gateway.store.sqlite import SQLiteStore
from gateway.usage.ledger import UsageLedger
from gateway.usage.redis import RedisUsage
from gateway.usage.row import Describer, UsageRow
from gateway.usage.rows import Span
from gateway.usage.sqlite import SQLiteUsage
from graph import Event, Flow, Hooks
from graph.steps.responder import ResponderStep
from llm import ChatChunk, ChatRequest, Model, Price, UpstreamUnavailable, Usage
from tests.gateway.store.conftest import Clock
from tests.gateway.store.servers import RedisServer

T = TypeVar("T")
LEASE = 30.0
PATIENCE = 0.2
"""Seconds after which a store that is gone is taken for gone."""
TIME_ENOUGH = 30.0
"""Seconds that one which is there may take: on a busy machine it is slow, and not gone."""
ANSWER = 20
"""Tokens that an answer may have."""
PRICE = Price(1.0, 1.0)
PER_TOKEN = 1000
"""Billionths of a dollar, at that price."""
KEPT = 86_400.0
PROMPT = 3


class Upstream:
    """A model that answers when it is told to, and counts what it has said."""

    compares = False

    def __init__(self) -> None:
        self.calls: dict[str, asyncio.Future[int]] = {}
        """Those that are under way, by what was asked: each waits for the tokens of its answer."""
        self.asked = 0
        self.counted: dict[str, int] = {}
        """The tokens of what was answered."""
        self.came = asyncio.Event()

    async def stream(self, model: str, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """One word, and after it the usage."""
        name = str(request.messages[0]["content"])
        waiting = self.calls[name] = asyncio.get_running_loop().create_future()
        self.asked += 1
        self.came.set()
        try:
            tokens = await waiting
        finally:
            del self.calls[name]
        yield ChatChunk.text("word")
        self.counted[name] = PROMPT + tokens
        yield ChatChunk(finish_reason="stop", usage=Usage.of(PROMPT, tokens))

    async def count(self, model: str, request: ChatRequest, answer: str) -> Usage:
        """What nobody has reported on."""
        return Usage.of(PROMPT, len(answer.split()), estimated=True)

    async def start(self) -> None:
        """There is nothing to make ready."""

    async def close(self) -> None:
        """There is nothing to give back."""


@dataclass(eq=False)
class Run:
    """A request that was let in."""

    name: str
    key: str
    worker: Worker
    task: asyncio.Task[Any]
    at: float
    """When it was let in, by the clock of the store."""
    leased: float
    """When its lease was last renewed."""
    tokens: int | None = None
    """What it took; None until it has ended."""


class World(Protocol):
    """A store that workers share."""

    clock: Clock

    def open(self) -> Opened:
        """A worker's own way to it."""
        ...

    def lose(self) -> None:
        """Nobody reaches it any more."""
        ...

    def find(self) -> None:
        """It is there again, with all that it was told."""
        ...

    def close(self) -> None:
        """It is not needed any more."""
        ...


class FileWorld:
    """A SQLite file; it is gone while another process keeps it locked."""

    def __init__(self, path: Path) -> None:
        self.clock = Clock()
        self._path = path
        self._other = sqlite3.connect(path, isolation_level=None)

    def open(self) -> Opened:
        store = SQLiteStore(self._path, self.clock, PATIENCE)
        return opened(StoreEntry(), UsageEntry())._replace(store=store, usage=SQLiteUsage(store, self._path))

    def lose(self) -> None:
        self._other.execute("BEGIN IMMEDIATE")

    def find(self) -> None:
        self._other.execute("ROLLBACK")

    def close(self) -> None:
        if self._other.in_transaction:
            self.find()
        self._other.close()


class RedisWorld:
    """A Redis with nothing in it; it is gone while it is stopped, or killed."""

    def __init__(self, server: RedisServer, *, kills: bool) -> None:
        self.clock = Clock()
        self._server = server
        self._kills = kills
        self.gone = False
        with redis.Redis(unix_socket_path=str(server.socket)) as client:
            client.flushall()

    def open(self) -> Opened:
        store = RedisOfWorld(self, self._server.url, TIME_ENOUGH, self.clock)
        return opened(StoreEntry(), UsageEntry())._replace(store=store, usage=RedisUsage(store, KEPT))

    def lose(self) -> None:
        self.gone = True
        if self._kills:
            self._server.kill()
        else:
            self._server.hold_up()

    def find(self) -> None:
        self.gone = False
        if self._kills:
            self._server.start()
        else:
            self._server.go_on()

    def close(self) -> None:
        if self.gone:
            self.find()


class RedisOfWorld(RedisStore):
    """What a worker sees of it. Nothing but that it is gone makes it wait too long, however slow the machine is."""

    def __init__(self, world: RedisWorld, url: str, seconds: float, ahead: Callable[[], float]) -> None:
        super().__init__(url, seconds, ahead)
        self._world = world

    async def within(self, answer: Awaitable[Any]) -> Any:
        self._seconds = PATIENCE if self._world.gone else TIME_ENOUGH
        return await super().within(answer)


@dataclass(eq=False)
class Worker:
    """One process of a gateway, as far as limits and the ledger are concerned."""

    world: World
    accounts: dict[str, tuple[Account, ...]]
    exact: bool
    upstream: Upstream = field(default_factory=Upstream)
    lost: int = 0
    """How often it has lost the store."""
    given_up: list[UsageRow] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._runner = asyncio.Runner()
        self._begun: list[asyncio.Task[Any]] = []
        self._way = self.world.open()
        self.guarded = GuardedStore(self._way.store, SQLiteStore(None, self.world.clock), self._tell, pause=0.01)
        self.store = self.guarded if self.exact else LeasedStore(self.guarded, ahead=self.world.clock)
        model = Model("up", self.upstream, "upstream-model", price=PRICE)
        self._flow = Flow("up")
        self._flow.to(ResponderStep(model), name="responder").respond()
        served = Served("up", "model", self._flow.validate(), "", "", 0, model=model, models=(model,))
        self.limiter = Limiter(self.store, Bounds([served], LimitsEntry(), lambda _: True), LEASE)
        describe = Describer(lambda _: "all", {})
        self.ledger = UsageLedger(self._way.usage, describe, self.given_up.append, KEPT, pause=0.001)
        self._hooks = Hooks.of([self.limiter, self.ledger])
        self.wait(self._start())

    def wait(self, work: Awaitable[T]) -> T:
        """What some work in it makes; only meanwhile it moves."""

        async def within() -> T:
            async with asyncio.timeout(2 * TIME_ENOUGH):
                return await work

        return self._runner.run(within())

    def ask(self, names: list[str], key: str) -> list[Run]:
        """Requests of a key, all at once; those of them that reach the upstream."""
        return self.wait(self._ask(names, key))

    def leave(self, names: list[str], key: str, steps: int) -> int:
        """The same, but that all of their clients leave after so many steps of the loop. How many had reached it."""
        return self.wait(self._leave(names, key, steps))

    def end(self, run: Run, how: Callable[[asyncio.Future[int]], object]) -> None:
        """Ends a request that is under way."""
        self.wait(self._end(run, how))

    def renew(self) -> None:
        """What the limiter does each third of a lease."""
        self.wait(self.limiter.renew())

    def return_to_store(self) -> None:
        """Waits until it has told the store everything."""
        self.wait(self._reached())

    def stop(self) -> None:
        """Lets it end as it does when it is told to."""
        try:
            self.wait(self._stop())
        finally:
            self._runner.close()

    def bury(self) -> None:
        """Takes away what is left of one that was killed; nobody may look at the store afterwards."""
        with suppress(Exception):
            self.wait(self._leave_all())
        with suppress(Exception):
            self.stop()

    def _tell(self, lost: str) -> None:
        self.lost += bool(lost)

    async def _leave_all(self) -> None:
        for task in self._begun:
            task.cancel()
        await asyncio.gather(*self._begun, return_exceptions=True)

    async def _start(self) -> None:
        for each in (self.store, self.limiter, self.ledger):
            await each.start()

    async def _stop(self) -> None:
        for each in (self.ledger, self.limiter, self.store):
            await each.close()

    def _begin(self, name: str, key: str) -> asyncio.Task[Any]:
        async def answer(message: Any) -> None:
            """Nobody reads it."""

        self.limiter.admit(self.accounts[key], answer)
        request = ChatRequest("up", [{"role": "user", "content": name}], parameters={"max_tokens": ANSWER})
        task = asyncio.create_task(self._flow.start(Event(request, id=name, caller=key), self._hooks).result())
        self._begun.append(task)
        return task

    async def _ask(self, names: list[str], key: str) -> list[Run]:
        now = self.world.clock.now()
        tasks = {name: self._begin(name, key) for name in names}
        while not all(task.done() or name in self.upstream.calls for name, task in tasks.items()):
            self.upstream.came.clear()
            coming = asyncio.create_task(self.upstream.came.wait())
            waiting = [task for name, task in tasks.items() if name not in self.upstream.calls and not task.done()]
            await asyncio.wait([coming, *waiting], return_when=asyncio.FIRST_COMPLETED)
            coming.cancel()
        for task in tasks.values():
            if task.done():
                task.exception()
        return [Run(name, key, self, task, now, now) for name, task in tasks.items() if not task.done()]

    async def _leave(self, names: list[str], key: str, steps: int) -> int:
        asked = self.upstream.asked
        tasks = [self._begin(name, key) for name in names]
        for _ in range(steps):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return self.upstream.asked - asked

    async def _end(self, run: Run, how: Callable[[asyncio.Future[int]], object]) -> None:
        how(self.upstream.calls[run.name])
        await asyncio.wait((run.task,))
        if not run.task.cancelled():
            run.task.exception()

    async def _reached(self) -> None:
        while not self.guarded.reachable:
            await asyncio.sleep(0.001)


async def rows_of(way: Opened) -> list[UsageRow]:
    """All rows of the ledger."""
    pages: AsyncGenerator[list[UsageRow], None] = way.usage.read(Span())
    async with aclosing(pages):
        return [row async for page in pages for row in page]


async def used(way: Opened, all_accounts: Iterable[tuple[Account, ...]]) -> dict[str, Amount]:
    """What the store says is taken of each account."""
    taken: dict[str, Amount] = {}
    for accounts in all_accounts:
        hold = Hold("look", accounts)
        decision = await way.store.reserve(hold, Amount(), 1)
        await way.store.adjust(hold, Amount(), final=True)
        taken |= {each.name: standing.used for each, standing in zip(accounts, decision.standings, strict=True)}
    return taken


def seen(world: World, look: Callable[[Opened], Awaitable[T]]) -> T:
    """What somebody sees who is no worker."""

    async def looked() -> T:
        way = world.open()
        await way.store.start()
        try:
            return await look(way)
        finally:
            await way.store.close()

    return asyncio.run(looked())


def fail(call: asyncio.Future[int]) -> None:
    """The upstream fails before it has said anything."""
    call.set_exception(UpstreamUnavailable("gone"))


def leave(run: Run) -> Callable[[asyncio.Future[int]], object]:
    """The client of a request leaves."""
    return lambda _: run.task.cancel()
