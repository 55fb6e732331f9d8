"""StoredKey: a key as the store keeps it, without the key itself; and what may be said of one when it is made."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from hashlib import sha256
from secrets import token_hex, token_urlsafe
from typing import Annotated, Any, Literal

from pydantic import Field

from gateway.config.fields import KeyName, Section
from gateway.config.limits import Count, KeyTerms, MostUsd
from gateway.store.periods import Period

PREFIX = "sk-penstock-"
MOST_GRACE = 30 * 86_400


class NewKey(KeyTerms):
    """What an admin says of a key that is to be made."""

    name: KeyName


class KeyChange(Section):
    """What an admin may change of a key; what is not said stays."""

    role: Literal["user", "admin"] = "user"
    team: str = ""
    endpoints: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    expires: datetime | None = None
    guardrails: tuple[str, ...] = ()
    budget_usd: MostUsd | None = None
    period: Period = "month"
    rpm: Count | None = None
    tpm: Count | None = None
    parallel: Count | None = None


class Rotation(Section):
    """How a key is replaced."""

    grace_seconds: Annotated[float, Field(ge=0, le=MOST_GRACE)] = 86_400
    """How long the old one is still valid."""


class StoredKey(Section):
    """A key. Times are in seconds since 1970."""

    id: str
    name: str
    terms: KeyTerms
    hash: str
    """HMAC-SHA-256 of the key under the gateway's secret."""
    last_four: str
    made: float
    rotated: float | None = None
    old_hash: str = ""
    """Of the key before the last rotation."""
    old_until: float = 0.0
    revoked: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The key as admins see it: nothing that could be shown instead of it."""
        shown = self.model_dump(mode="json", exclude={"hash", "old_hash", "terms", "old_until"})
        times = {name: told(getattr(self, name)) for name in ("made", "rotated", "revoked")}
        old = told(self.old_until) if self.old_hash else None
        return {**shown, **times, "old_until": old, **self.terms.model_dump(mode="json"), "source": "store"}


def made_key() -> str:
    """A new key, which nobody can guess."""
    return PREFIX + token_urlsafe(32)


def made_id() -> str:
    """The id of a new key."""
    return f"key_{token_hex(12)}"


def hash_of(secret: bytes, key: bytes) -> str:
    """What is kept of a key: of no use to whoever reads the store without the secret."""
    return hmac.digest(secret, key, sha256().name).hex()


def told(at: float | None) -> str | None:
    """A time as it is shown."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
