"""Shared: what the workers of a gateway share, over the store that the settings name: keys, limits, usage."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from gateway.catalog import Catalog
from gateway.config import Settings
from gateway.edge.bounds import Bounds
from gateway.edge.keys import KeyRing
from gateway.edge.limits import Limiter
from gateway.keys.book import KeyBook
from gateway.opening import book_of, opened
from gateway.standing import Standing
from gateway.store.guarded import GuardedStore
from gateway.store.leased import LeasedStore
from gateway.store.protocol import Limits, Store
from gateway.store.sqlite import SQLiteStore
from gateway.usage.ledger import UsageLedger
from gateway.usage.row import Describer, UsageRow
from gateway.usage.rows import UsageRows
from graph import Instrument


@dataclass(slots=True)
class Shared:
    """What is there of it; of a gateway without keys only an empty key ring is, and no file is made."""

    ring: KeyRing
    store: Store | None = None
    book: KeyBook | None = None
    limiter: Limiter | None = None
    ledger: UsageLedger | None = None
    usage: UsageRows | None = None

    @classmethod
    def of(cls, settings: Settings, catalog: Catalog, standing: Standing) -> Shared:
        """That which the settings ask for. The log, the metrics and who asks for readiness hear when the store is lost
        and when it is back."""
        if not _is_needed(settings):
            return cls(KeyRing(settings.auth))

        log, breaker = standing.log, standing.metrics.breaker("store")

        def tell(lost: str) -> None:
            standing.readiness.store_lost = bool(lost)
            breaker.set(int(bool(lost)))
            if lost:
                log.error("store_lost", because=lost, meanwhile="each worker grants a part of the limits by itself")
            else:
                log.info("store_back")

        def give_up(row: UsageRow) -> None:
            log.error("usage_not_kept", **row.to_json())

        inner, usage, keys = opened(settings.store, settings.usage)
        guarded = GuardedStore(inner, SQLiteStore(None), tell)
        store = guarded if settings.limits.exact else LeasedStore(guarded)
        book = book_of(settings, keys)
        shared = cls(KeyRing(settings.auth, book), store, book)
        bounds = Bounds(catalog, settings.limits, lambda model: settings.costs(model.name))
        shared.limiter = Limiter(store, bounds, settings.limits.lease_seconds)
        if settings.usage.record:
            describe = Describer(shared.ring.team_of, _deployments(settings))
            shared.ledger = UsageLedger(usage, describe, give_up, settings.usage.keep_seconds)
            shared.usage = usage
        return shared

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """What watches runs."""
        return tuple(each for each in (self.limiter, self.ledger) if each is not None)

    async def start(self, life: AsyncExitStack) -> None:
        """Makes all of it ready, and has it closed in order at the end of ``life``."""
        for each in (self.store, self.book, self.limiter, self.ledger):
            if each is not None:
                life.push_async_callback(each.close)
                await each.start()


def _is_needed(settings: Settings) -> bool:
    if settings.is_open:
        return False
    limited = any(row.limits != Limits() for row in (*settings.auth.keys, *settings.auth.teams))
    return limited or settings.usage.record or bool(settings.auth.secret.get_secret_value())


def _deployments(settings: Settings) -> Mapping[str, str]:
    return {entry.name: entry.behind[0].name_of(entry.name) for entry in settings.models if entry.behind}
