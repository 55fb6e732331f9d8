"""What stands round every endpoint that runs a model or a graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.catalog.catalog import Catalog
from gateway.config import Settings
from gateway.edge.body import BodyReader
from gateway.exchanges.cache import Cached
from gateway.exchanges.caches import Caches, caches_of
from gateway.exchanges.idempotency import Idempotency, Idempotent
from gateway.exchanges.rows import ExchangeRows
from gateway.telemetry.metrics import Metrics
from graph import Hooks


@dataclass(frozen=True, slots=True)
class Around:
    """Idempotency-Key, and under it the caches, if any model has one."""

    idempotency: Idempotency
    caches: Caches

    @classmethod
    def of(
        cls,
        settings: Settings,
        rows: ExchangeRows,
        catalog: Catalog,
        bodies: BodyReader,
        *,
        hooks: Hooks,
        metrics: Metrics,
        note: Callable[[str, str, str], None],
    ) -> Around:
        """What the settings ask for; ``note`` is told of answers from a cache, see :class:`Caches`.

        Raises:
            InvalidSettings: when a cache cannot compare questions as it is to.
        """
        idempotency = Idempotency(rows, settings.idempotency, bodies, catalog)
        return cls(idempotency, Caches(caches_of(settings, catalog, hooks), rows, catalog, bodies, metrics, note))

    def __call__(self, app: Any) -> Idempotent:
        """The same endpoint with all of it round it."""
        return Idempotent(Cached(app, self.caches) if self.caches.by_name else app, self.idempotency)
