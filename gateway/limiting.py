"""The limiter that the settings ask for, over the store that they name."""

from __future__ import annotations

from collections.abc import Callable

from gateway.catalog import Catalog
from gateway.config import Key, Settings
from gateway.config_limits import Limited
from gateway.edge.bounds import Bounds
from gateway.edge.limits import Accounts, Limiter
from gateway.store.leased import LeasedStore
from gateway.store.opening import store_of
from gateway.store.protocol import Account, Limits


def limiter_of(settings: Settings, catalog: Catalog, tell: Callable[[str], None]) -> Limiter | None:
    """None where nothing limits any key: then no store is opened, and no file is made.

    Args:
        tell: hears when the store is lost, with the reason, and with an empty text when it is back.
    """
    accounts = {key.name: limited for key in settings.auth.keys if (limited := _accounts(settings, key))}
    if not accounts:
        return None
    guarded = store_of(settings.store, tell)
    store = guarded if settings.limits.exact else LeasedStore(guarded)
    bounds = Bounds(catalog, settings.limits, lambda model: settings.costs(model.name))
    return Limiter(store, accounts, bounds, settings.limits.lease_seconds)


def _accounts(settings: Settings, key: Key) -> Accounts:
    """Those that limit a key, the widest last: none, its own, that of its team, or both."""
    team = settings.auth.team_of(key)
    rows: list[tuple[str, Limited]] = [(f"key:{key.name}", key)]
    if team is not None:
        rows.append((f"team:{team.name}", team))
    return tuple(Account(name, row.limits, row.period) for name, row in rows if row.limits != Limits())
