"""The store that the settings ask for."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from gateway.config import Settings
from gateway.config.limits import StoreEntry, UsageEntry
from gateway.exchanges.rows import ExchangeRows
from gateway.exchanges.sqlite import SQLiteExchanges
from gateway.keys.book import KeyBook
from gateway.keys.rows import KeyRows
from gateway.keys.sqlite import SQLiteKeys
from gateway.store.protocol import Store
from gateway.store.sqlite import SQLiteStore
from gateway.usage.rows import UsageRows
from gateway.usage.sqlite import SQLiteUsage


class Opened(NamedTuple):
    """A store that is not started yet, and what is kept in it."""

    store: Store
    usage: UsageRows
    keys: KeyRows
    exchanges: ExchangeRows


def opened(entry: StoreEntry, usage: UsageEntry) -> Opened:
    """The store at a URL."""
    if entry.file is not None:
        path = Path(entry.file)
        file = SQLiteStore(path)
        return Opened(file, SQLiteUsage(file, path), SQLiteKeys(file), SQLiteExchanges(file))
    from gateway.exchanges.redis import RedisExchanges  # noqa: PLC0415 - who shares a file needs no client of Redis
    from gateway.keys.redis import RedisKeys  # noqa: PLC0415
    from gateway.store.redis import RedisStore  # noqa: PLC0415
    from gateway.usage.redis import RedisUsage  # noqa: PLC0415

    redis = RedisStore(entry.url.get_secret_value(), entry.timeout_seconds)
    return Opened(redis, RedisUsage(redis, usage.keep_seconds), RedisKeys(redis), RedisExchanges(redis))


def book_of(settings: Settings, rows: KeyRows) -> KeyBook | None:
    """The stored keys, where there is a secret that they are hashed with."""
    auth = settings.auth
    secret = auth.secret.get_secret_value().encode()
    if not secret:
        return None
    taken, teams = {key.name for key in auth.keys}, {team.name for team in auth.teams}
    policies = [entry.name for entry in settings.guardrails]
    return KeyBook(rows, secret, taken, teams, policies=policies, seconds=auth.refresh_seconds)
