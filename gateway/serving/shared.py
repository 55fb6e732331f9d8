"""Shared: what the workers of a gateway share, over the store that the settings name: keys, limits, usage."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from gateway.catalog.catalog import Catalog
from gateway.config import Settings
from gateway.edge.bounds import Bounds
from gateway.edge.keys import KeyRing
from gateway.edge.limits import Limiter
from gateway.exchanges.rows import ExchangeRows
from gateway.exchanges.sqlite import SQLiteExchanges
from gateway.keys.book import KeyBook
from gateway.serving.opening import book_of, opened
from gateway.serving.standing import Standing
from gateway.store.guarded import GuardedStore
from gateway.store.leased import LeasedStore
from gateway.store.protocol import Limits, Store
from gateway.store.sqlite import SQLiteStore
from gateway.usage.ledger import UsageLedger
from gateway.usage.row import Describer, Ended, UsageRow
from gateway.usage.rows import UsageRows
from graph import Instrument

GRANTED_ALONE = "each worker grants a part of the limits by itself"
NOTHING_KEPT = "no answer is kept, and requests with an Idempotency-Key are refused"


@dataclass(slots=True)
class Shared:
    """What is there of it; of one worker without keys only an empty key ring and what it keeps in memory are, and no
    file is made."""

    ring: KeyRing
    exchanges: ExchangeRows
    store: Store | None = None
    book: KeyBook | None = None
    limiter: Limiter | None = None
    ledger: UsageLedger | None = None
    usage: UsageRows | None = None
    memory: SQLiteStore | None = None
    """What keeps exchanges without a store; it is not closed here."""
    told: StoreTold | None = None

    @classmethod
    def of(cls, settings: Settings, catalog: Catalog, standing: Standing) -> Shared:
        """That which the settings ask for. The log, the metrics and who asks for readiness hear when the store is lost
        and when it is back."""
        if not _is_needed(settings):
            if settings.server.workers > 1:
                alone, told = opened(settings.store, settings.usage), StoreTold(standing, NOTHING_KEPT)
                guarded = GuardedStore(alone.store, SQLiteStore(None), told)
                return cls(KeyRing(settings.auth), alone.exchanges, guarded, told=told)
            return cls(KeyRing(settings.auth), SQLiteExchanges(standing.memory), memory=standing.memory)

        def give_up(row: UsageRow) -> None:
            standing.log.error("usage_not_kept", **row.to_json())

        inner, usage, keys, exchanges = opened(settings.store, settings.usage)
        told = StoreTold(standing, GRANTED_ALONE)
        guarded = GuardedStore(inner, SQLiteStore(None), told)
        store = guarded if settings.limits.exact else LeasedStore(guarded)
        book = book_of(settings, keys)
        shared = cls(KeyRing(settings.auth, book), exchanges, store, book, told=told)
        bounds = Bounds(catalog, settings.limits, lambda model: settings.unpriced(model.name))
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

    def note_cached(self, request: str, key: str, model: str) -> None:
        """An answer came from a cache: a row of the ledger which costs nothing."""
        if self.ledger is not None:
            self.ledger.add(Ended.cached(request, key, model))

    async def start(self, life: AsyncExitStack) -> None:
        """Makes all of it ready, and has it closed in order at the end of ``life``."""
        if self.memory is not None:
            await self.memory.start()
        if self.told is not None:
            life.callback(self.told.end)
        for each in (self.store, self.book, self.limiter, self.ledger):
            if each is not None:
                life.push_async_callback(each.close)
                await each.start()


class StoreTold:
    """Tells the log, the metrics and who asks for readiness that the store of these settings is lost, and that it is
    back; ``meanwhile`` is what becomes of requests."""

    def __init__(self, standing: Standing, meanwhile: str) -> None:
        self._standing = standing
        self._meanwhile = meanwhile
        self._breaker = standing.metrics.breaker("store")

    def __call__(self, lost: str) -> None:
        self._note(lost=bool(lost))
        if lost:
            self._standing.log.error("store_lost", because=lost, meanwhile=self._meanwhile)
        else:
            self._standing.log.info("store_back")

    def end(self) -> None:
        """The settings are no longer in force: whether their store is there is of no interest any more."""
        self._note(lost=False)

    def _note(self, *, lost: bool) -> None:
        without = self._standing.readiness.without_store
        (without.add if lost else without.discard)(self)
        self._breaker.set(int(bool(without)))


def _is_needed(settings: Settings) -> bool:
    if settings.is_open:
        return False
    limited = any(row.limits != Limits() for row in (*settings.auth.keys, *settings.auth.teams))
    return limited or settings.usage.record or bool(settings.auth.secret.get_secret_value())


def _deployments(settings: Settings) -> Mapping[str, str]:
    return {entry.name: entry.behind[0].name_of(entry.name) for entry in settings.models if entry.behind}
