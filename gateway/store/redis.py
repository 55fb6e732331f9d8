"""RedisStore: a Redis 7, alone or a cluster, that workers on any machine share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.store.periods import starts
from gateway.store.protocol import (
    LATE,
    SLICE,
    SLICES,
    Amount,
    Decision,
    Hold,
    Leaving,
    Limits,
    Standing,
    StoreUnavailable,
    leaves_at,
    none_ahead,
)

CLUSTER: Final = "redis+cluster"
CONNECTIONS: Final = 64
"""How many connections a worker opens at most; who finds none waits for one."""
NONE: Final = ""
"""A limit that there is not, as the scripts are told it."""


class RedisStore:
    """Each operation is one script, and so one round trip, by the clock of Redis.

    All keys of a reservation share a hash tag, that of its widest account, so that a cluster has them in one place; and
    all of them end by themselves, but for the money of budgets that never end. What survives a restart of Redis is what
    Redis itself keeps: switch its append-only file on.

    Args:
        url: ``redis://``, ``rediss://`` or ``redis+cluster://``, as redis-py takes them.
        seconds: how long an answer may take.
    """

    def __init__(self, url: str, seconds: float = 1.0, ahead: Callable[[], float] = none_ahead) -> None:
        self.client = _client(url, seconds)
        self._seconds = seconds
        self._ahead = ahead
        self._asking: dict[str, asyncio.Task[Any]] = {}
        """Reservations that are asked for, by id: on another connection what ends one could be heard before it."""
        folder = files("gateway.store")
        self._scripts = {
            name: self.client.register_script((folder / f"{name}.lua").read_text(encoding="utf-8"))
            for name in ("reserve", "adjust", "renew")
        }

    async def start(self) -> None:
        """Looks whether it answers."""
        await self.within(self.client.ping())

    async def close(self) -> None:
        """Closes the connections."""
        await self.client.aclose()

    async def reserve(self, hold: Hold, asked: Amount, seconds: float) -> Decision:
        """See :meth:`Store.reserve`."""
        by = time.time() + self._ahead()
        given = [self._ahead(), SLICE, SLICES, LATE, hold.id, seconds, *_numbers(asked)]
        for account in hold.accounts:
            given += [*_limits(account.limits), " ".join(map(str, starts(account.period, by)))]
        asking = self._asking[hold.id] = asyncio.create_task(self._run("reserve", hold, given))
        asking.add_done_callback(lambda task: self._asked(hold.id, task))
        granted, now, standings = await asyncio.shield(asking)
        return Decision(bool(granted), float(now), tuple(map(_standing, standings)))

    async def adjust(self, hold: Hold, amount: Amount, *, final: bool) -> bool:
        """See :meth:`Store.adjust`."""
        asking = self._asking.get(hold.id)
        if asking is not None:
            await asyncio.wait((asking,))
        given = [self._ahead(), SLICE, SLICES, hold.id, int(final), *_numbers(amount)]
        return bool(await self._run("adjust", hold, given))

    async def renew(self, holds: Sequence[Hold], seconds: float) -> None:
        """See :meth:`Store.renew`."""
        await asyncio.gather(*(self._run("renew", hold, [self._ahead(), hold.id, seconds, LATE]) for hold in holds))

    def _asked(self, name: str, task: asyncio.Task[Any]) -> None:
        if self._asking.get(name) is task:
            del self._asking[name]
        if not task.cancelled():
            task.exception()  # whoever asked may be gone

    async def _run(self, name: str, hold: Hold, given: Sequence[Any]) -> Any:
        return await self.within(self._scripts[name](keys=_keys(hold), args=given))

    async def within(self, answer: Awaitable[Any]) -> Any:
        """What Redis answers, in time.

        Raises:
            StoreUnavailable: when it does not.
        """
        cancelled = _cancellations()
        try:
            async with asyncio.timeout(self._seconds):
                told = await answer
        except (RedisError, OSError, TimeoutError) as error:
            _heed(cancelled)
            raise StoreUnavailable(f"Redis does not answer: {str(error) or type(error).__name__}") from error
        _heed(cancelled)
        return told


def _cancellations() -> int:
    """How often the current task was told to stop."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _heed(before: int) -> None:
    """Stops where the current task was told to: redis-py takes a cancellation that meets its own time-out for that, and
    goes on."""
    if _cancellations() > before:
        raise asyncio.CancelledError


def _client(url: str, seconds: float) -> Any:
    options: dict[str, Any] = {
        "socket_connect_timeout": seconds,
        "socket_timeout": seconds,
        "retry": Retry(NoBackoff(), 1),
    }
    if url.startswith(f"{CLUSTER}://"):
        return RedisCluster.from_url("redis" + url.removeprefix(CLUSTER), **options)
    pool = BlockingConnectionPool.from_url(url, max_connections=CONNECTIONS, timeout=seconds, **options)
    return Redis.from_pool(pool)


def _keys(hold: Hold) -> list[str]:
    tag = f"penstock:{{{quote(hold.accounts[-1].name, safe='')}}}"
    keys = [f"{tag}:holds", f"{tag}:leases"]
    for account in hold.accounts:
        keys += [f"{tag}:{account.name}:{what}" for what in ("minutes", "spent", "held")]
    return keys


def _numbers(amount: Amount) -> list[int]:
    return [amount.requests, amount.tokens, amount.nanos, amount.slots]


def _limits(limits: Limits) -> list[int | str]:
    given = (limits.requests, limits.tokens, limits.nanos, limits.slots)
    return [NONE if limit is None else limit for limit in given]


def _standing(told: Sequence[Any]) -> Standing:
    rows = iter(told[4])
    leaving = (Leaving(leaves_at(number), requests, tokens) for number, requests, tokens in zip(rows, rows, rows))  # noqa: B905 - one iterator, three at a time
    return Standing(Amount(*told[:4]), tuple(leaving))
