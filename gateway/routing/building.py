"""Building: the models of the settings, with what stands before those that several deployments answer for."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from random import Random
from typing import cast

from gateway.config.models import ModelEntry
from gateway.config.routing import DeploymentEntry, PriceEntry, Routing
from gateway.routing.backoff import Backoff
from gateway.routing.breaker import Breaker
from gateway.routing.choosing import Chooser, balance_of
from gateway.routing.deployment import Deployment
from gateway.routing.failures import Failure
from gateway.routing.health import HealthChecks
from gateway.routing.patience import Patience
from gateway.routing.routed import RoutedProvider
from gateway.routing.tries import Policy, Tries
from llm import Model, ModelProvider, Price, TiktokenCounter, TokenCounter
from llm.tokens import CHARACTERS


def models_of(
    entries: Sequence[ModelEntry], providers: Mapping[str, ModelProvider]
) -> tuple[dict[str, Model], Sequence[RoutedProvider]]:
    """The models of these rows by name, and what stands before those that are routed, or fallbacks. One provider
    without routing is asked as it is."""
    builder = _Builder({entry.name: entry for entry in entries}, providers)
    return builder.all(), builder.routed


class _Builder:
    """Makes each model once; a fallback before the model that falls back to it."""

    def __init__(self, entries: Mapping[str, ModelEntry], providers: Mapping[str, ModelProvider]) -> None:
        self._entries = entries
        self._providers = providers
        self._routed: dict[str, RoutedProvider] = {}

    @property
    def routed(self) -> Sequence[RoutedProvider]:
        """What has been made of the rows that are routed, or fallbacks."""
        return list(self._routed.values())

    def all(self) -> dict[str, Model]:
        """All of them."""
        return {name: self._model(entry) for name, entry in self._entries.items()}

    def _model(self, entry: ModelEntry) -> Model:
        if not entry.is_routed:
            return self._deployed(entry, entry.behind[0])
        provider = self._provider(entry.name)
        price = _highest([each.model.price for each in provider.behind])
        return Model(entry.name, provider, entry.name, entry.repair, price, _counter(entry.tokenizer))

    def _provider(self, name: str) -> RoutedProvider:
        if name not in self._routed:
            self._routed[name] = self._made(self._entries[name])
        return self._routed[name]

    def _made(self, entry: ModelEntry) -> RoutedProvider:
        routing = entry.routing or Routing()
        chains = entry.fallbacks.chains.items()
        fallbacks = {cast(Failure, failure): [self._provider(name) for name in chain] for failure, chain in chains}
        chooser = Chooser(balance_of(routing.balance, Random()), routing.sticky)  # noqa: S311 - no secret
        deployments = [self._deployment(entry, row, routing) for row in entry.behind]
        health = HealthChecks(deployments, routing.health_seconds) if routing.health_seconds else None
        return RoutedProvider(entry.name, deployments, Tries(chooser, _policy(routing)), fallbacks, health)

    def _deployment(self, entry: ModelEntry, row: DeploymentEntry, routing: Routing) -> Deployment:
        cooldown = routing.cooldown
        breaker = Breaker(time.monotonic, cooldown.failures, cooldown.seconds, cooldown.max_seconds)
        model = replace(self._deployed(entry, row), repair=False)
        return Deployment(row.name_of(entry.name), model, time.monotonic, breaker, row.weight)

    def _deployed(self, entry: ModelEntry, row: DeploymentEntry) -> Model:
        tokenizer = entry.tokenizer if row.tokenizer is None else row.tokenizer
        provider, upstream = self._providers[row.provider], row.upstream_of(entry.name)
        price = _price(row.price or entry.price)
        return Model(entry.name, provider, upstream, entry.repair, price, _counter(tokenizer))


def _policy(routing: Routing) -> Policy:
    backoff = Backoff(routing.backoff_seconds, routing.max_wait_seconds)
    patience = Patience(routing.first_token_seconds or inf, routing.idle_seconds or inf, routing.total_seconds or inf)
    return Policy(routing.retries, backoff, patience, routing.hedge)


def _price(entry: PriceEntry | None) -> Price | None:
    return Price(**entry.model_dump()) if entry is not None else None


def _highest(prices: Sequence[Price | None]) -> Price | None:
    """What an answer may cost at most, whoever gives it; None when one of them may cost nobody knows what."""
    known = [price for price in prices if price is not None]
    if len(known) < len(prices):
        return None
    return Price(
        max(price.input for price in known),
        max(price.output for price in known),
        max(price.input if price.cached is None else price.cached for price in known),
        max(price.input if price.cache_write is None else price.cache_write for price in known),
    )


def _counter(tokenizer: str) -> TokenCounter | None:
    if tokenizer == "characters":
        return CHARACTERS
    return TiktokenCounter(tokenizer) if tokenizer else None
