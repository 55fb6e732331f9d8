"""Caches: those that the settings ask for, and what the endpoints of a worker share of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.catalog.catalog import Catalog
from gateway.config import Settings
from gateway.config.exchanges import CacheEntry
from gateway.config.models import GraphEntry, ModelEntry
from gateway.edge.body import BodyReader, parsed
from gateway.edge.context import Scope, context_of
from gateway.errors import GatewayError, InvalidBody
from gateway.exchanges.filtered import FilterWatch
from gateway.exchanges.making import Making
from gateway.exchanges.question import question_of
from gateway.exchanges.rows import ExchangeRows, Place
from gateway.exchanges.sent import digest
from gateway.telemetry.metrics import Metrics
from graph import Hooks, Instrument
from llm import ModelError

if TYPE_CHECKING:
    from gateway.exchanges.semantic import Semantic

SHARE = 10
"""An answer is kept if it takes no more than one part in so many of its cache."""
NEVERMIND = {"server", "auth", "store", "limits", "usage", "record", "traces", "idempotency"}
"""The settings that no answer depends on, or (keys) in ways that are looked at; who changes others begins anew."""


@dataclass(frozen=True, slots=True)
class ModelCache:
    """The cache of one model.

    Attributes:
        name: that of the model.
        under: the policies that hold for a key, by its name; who is under others is given other answers.
        version: a digest of what stands behind it; answers of another one are not found.
        semantic: what it knows of questions in other words, if it gives answers to those.
    """

    name: str
    entry: CacheEntry
    version: bytes
    under: Callable[[str], bytes]
    semantic: Semantic | None = None

    def place(self, scope: Scope, body: Mapping[str, Any]) -> Place:
        """Where the answer to a request lies."""
        name = context_of(scope).principal.name
        whose = "" if self.entry.shared else name
        told = digest(self.version, whose.encode(), self.under(name), question_of(scope, body))
        return Place(f"cache:{self.name}", told.hex())

    @property
    def most(self) -> int:
        """How many bytes an answer may have that is kept."""
        return self.entry.max_bytes // SHARE


def caches_of(settings: Settings, catalog: Catalog, hooks: Hooks) -> dict[str, ModelCache]:
    """The caches that the settings ask for, by the name of their model or graph.

    Raises:
        InvalidSettings: when one cannot compare questions as it is to.
    """
    behind = settings.model_dump_json(exclude=NEVERMIND)
    version = digest(behind.encode())

    def semantic(name: str, entry: CacheEntry) -> Semantic | None:
        if entry.semantic is None:
            return None
        from gateway.exchanges.semantic import Semantic  # noqa: PLC0415 - only for who compares

        return Semantic(name, entry.semantic, catalog, hooks)

    def made(row: ModelEntry | GraphEntry, entry: CacheEntry) -> ModelCache:
        under = partial(catalog.guards.told, names=row.guardrails)
        return ModelCache(row.name, entry, version, under, semantic(row.name, entry))

    return {row.name: made(row, row.cache) for row in _rows(settings) if row.cache is not None}


def watching(settings: Settings) -> tuple[Instrument, ...]:
    """What watches runs for the caches that the settings ask for."""
    return (FilterWatch(),) if any(row.cache is not None for row in _rows(settings)) else ()


def _rows(settings: Settings) -> tuple[ModelEntry | GraphEntry, ...]:
    return (*settings.models, *settings.graphs)


@dataclass(frozen=True, slots=True)
class Caches:
    """What the endpoints of a worker share of them.

    Attributes:
        note: is told who was given an answer that is another's: the request, the name of its key, and the model.
    """

    by_name: Mapping[str, ModelCache]
    rows: ExchangeRows
    catalog: Catalog
    bodies: BodyReader
    metrics: Metrics
    note: Callable[[str, str, str], None]
    making: dict[Place, Making] = field(default_factory=dict)
    """The answers that this worker makes."""

    def of(self, scope: Scope, written: bytes, target: str) -> tuple[ModelCache, dict[str, Any]] | None:
        """The cache of the model that a request asks, if it has one and the caller may use it; and the parsed body."""
        context = context_of(scope)
        named = target or context.params.get("model", "")
        if named and named not in self.by_name:
            return None
        if not named and not any(name.encode() in written for name in self.by_name):
            return None
        with suppress(InvalidBody):
            body = parsed(written) if written else {}
            if not isinstance(body, dict):
                return None
            cache = self.by_name.get(named or str(body.get("model")))
            return None if cache is None or not self._may_use(scope, cache.name) else (cache, body)
        return None

    def is_guarded(self, scope: Scope, name: str) -> bool:
        """Whether policies look at a request to a model, which is said to nobody before they have."""
        principal = context_of(scope).principal
        served = self.catalog.find(name, principal)
        return served.guards is not None and served.guards.of(principal.name, served.guardrails) is not None

    def _may_use(self, scope: Scope, name: str) -> bool:
        try:
            self.catalog.find(name, context_of(scope).principal)
        except (GatewayError, ModelError):
            return False
        return True
