"""What keys and teams may spend, and where workers share what they have spent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from gateway.config.fields import EVERYTHING, Name, Section
from gateway.store.periods import Period
from gateway.store.protocol import NANOS, Limits

MOST_USD = 1_000_000
MostUsd = Annotated[float, Field(ge=0, le=MOST_USD, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=10**12)]
SCHEMES = ("sqlite", "redis", "rediss", "redis+cluster")


class Limited(Section):
    """What may be spent; what is not said has no limit."""

    models: tuple[str, ...] = EVERYTHING
    """Names of models and graphs, or patterns of them."""
    budget_usd: MostUsd | None = None
    period: Period = "month"
    """How long the budget lasts until it is whole again, by the calendar in UTC."""
    rpm: Count | None = None
    """Requests a minute."""
    tpm: Count | None = None
    """Tokens a minute, of prompts and of answers."""
    parallel: Count | None = None
    """Requests that are under way at once."""

    @property
    def limits(self) -> Limits:
        """The same as stores count it."""
        nanos = None if self.budget_usd is None else round(self.budget_usd * NANOS)
        return Limits(self.rpm, self.tpm, nanos, self.parallel)


class KeyTerms(Limited):
    """What a key may do."""

    role: Literal["user", "admin"] = "user"
    team: str = ""
    """The team whose limits it shares."""
    endpoints: tuple[str, ...] = EVERYTHING
    """Paths that it may call, or patterns of them such as ``/v1/*``."""
    expires: datetime | None = None
    """When it stops being one; without a zone, in UTC."""
    guardrails: tuple[str, ...] = ()
    """The policies that hold for its requests."""

    @property
    def ends(self) -> float:
        """The same in seconds since 1970."""
        if self.expires is None:
            return float("inf")
        return (self.expires if self.expires.tzinfo else self.expires.replace(tzinfo=UTC)).timestamp()


class Team(Limited):
    """Keys that share limits. What a team may not do, none of its keys may."""

    name: Name


class LimitsEntry(Section):
    """How much is reserved for a request until it is known what it takes."""

    answer_tokens: Annotated[int, Field(ge=1)] = 4096
    """For an answer whose request has no ``max_tokens``."""
    graph_calls: Annotated[int, Field(ge=1)] = 4
    """How many model calls a run of a graph is reserved for, where its own caps do not say less."""
    exact: bool = False
    """Whether the store is asked for every request. Else each worker takes a tenth of a limit in advance."""
    lease_seconds: Annotated[float, Field(ge=5, le=3600)] = 60
    """How long what a killed worker had reserved keeps its places."""


class UsageEntry(Section):
    """The ledger of what was run: a row for each run, in the store. Without keys there is none."""

    record: bool = True
    """Whether it is kept."""
    keep_days: Annotated[int, Field(ge=1, le=3660)] = 90
    """After so many days rows are removed."""

    @property
    def keep_seconds(self) -> float:
        """The same in seconds."""
        return self.keep_days * 86_400.0


class StoreEntry(Section):
    """Where workers share what they have spent and what they keep. It is opened only if there are keys or several
    workers."""

    url: SecretStr = SecretStr("sqlite:///penstock.db")
    """``sqlite:///file`` for the workers of one machine (``sqlite:////absolute/file``), or ``redis://host:6379/0``,
    ``rediss://…``, ``redis+cluster://…``."""
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 0.5
    """How long Redis may take for an answer, before workers decide alone."""

    @field_validator("url")
    @classmethod
    def _known(cls, url: SecretStr) -> SecretStr:
        parts = urlsplit(url.get_secret_value())
        place = parts.path.removeprefix("/") if parts.scheme == "sqlite" else parts.netloc
        if parts.scheme not in SCHEMES or not place or (parts.scheme == "sqlite" and parts.netloc):
            raise ValueError("this is no store; write sqlite:///penstock.db, or redis://host:6379/0")
        return url

    @property
    def file(self) -> str | None:
        """The file of a store in SQLite."""
        parts = urlsplit(self.url.get_secret_value())
        return parts.path.removeprefix("/") if parts.scheme == "sqlite" else None

    @property
    def password(self) -> SecretStr:
        """The password in the URL."""
        return SecretStr(urlsplit(self.url.get_secret_value()).password or "")
