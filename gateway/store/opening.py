"""The store that the settings ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gateway.config_limits import StoreEntry
from gateway.store.guarded import GuardedStore
from gateway.store.protocol import Store
from gateway.store.sqlite import SQLiteStore


def store_of(entry: StoreEntry, tell: Callable[[str], None]) -> GuardedStore:
    """The store at a URL, guarded. ``tell`` hears when it is lost and when it is back."""
    return GuardedStore(_store(entry), SQLiteStore(None), tell)


def _store(entry: StoreEntry) -> Store:
    if entry.file is not None:
        return SQLiteStore(Path(entry.file))
    from gateway.store.redis import RedisStore  # noqa: PLC0415 - who shares a file needs no client of Redis

    return RedisStore(entry.url.get_secret_value(), entry.timeout_seconds)
