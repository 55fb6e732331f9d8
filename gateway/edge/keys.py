"""Who is calling: keys, looked up by keyed hash, and the principals behind them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b
from secrets import token_bytes

from gateway.api_handler import RANK
from gateway.config.api import Role
from gateway.config.fields import EVERYTHING, LOCAL_NAME, NOBODY_NAME, covers, is_loopback
from gateway.config.limits import KeyTerms, Limited, Team
from gateway.config.settings import Auth
from gateway.errors import Forbidden, Unauthenticated, UnknownKey
from gateway.keys.book import KeyBook
from gateway.store.protocol import Account, Limits, StoreUnavailable


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller, by the name of the key that it showed."""

    name: str
    role: Role
    models: tuple[str, ...] = EVERYTHING
    of_team: tuple[str, ...] = EVERYTHING
    """The models of its team."""
    endpoints: tuple[str, ...] = EVERYTHING
    team: str = ""
    accounts: tuple[Account, ...] = ()
    """Those that its runs are charged to, the widest last: none, its own, that of its team, or both."""
    ends: float = float("inf")
    """When the key that it showed stops being one, in seconds since 1970."""

    def may_use(self, model: str) -> bool:
        """Whether the key names this model, or one of its patterns covers it; and its team does too."""
        return covers(self.models, model) and covers(self.of_team, model)

    def may_call(self, path: str) -> bool:
        """Whether the key names this path, or one of its patterns covers it."""
        return covers(self.endpoints, path)


NOBODY = Principal(NOBODY_NAME, "anyone")
"""A caller without a key, where a row of the table lets anyone call."""
LOCAL = Principal(LOCAL_NAME, "admin")
"""The caller of a gateway without keys, which only this machine can reach."""


class KeyRing:
    """All keys: those of the settings as BLAKE2b under a secret of this process, those of the store under the secret
    that workers share, so that looking one up tells nothing by its time."""

    def __init__(self, auth: Auth, book: KeyBook | None = None) -> None:
        self._secret = token_bytes(32)
        self._auth = auth
        self._book = book
        self._principals = {
            self._hash(key.key.get_secret_value().encode()): _principal(key.name, key, auth) for key in auth.keys
        }
        self._stored: dict[str, Principal] = {}
        self._teams = {key.name: key.team for key in auth.keys}
        self._policies: dict[str, tuple[str, ...]] = {}
        if book is not None:
            book.on_change(self._take_stored)

    def team_of(self, name: str) -> str:
        """The team of the key of this name; empty where it is in none."""
        return self._teams.get(name, "")

    def policies_of(self, name: str) -> tuple[str, ...]:
        """The policies that the stored key of this name is under; those of the settings say theirs there."""
        return self._policies.get(name, ())

    def principal(self, headers: Iterable[tuple[bytes, bytes]], needed: Role) -> Principal:
        """The caller that a request's headers show.

        It stands in ``Authorization`` as OpenAI's clients send it, or in ``x-api-key`` as Anthropic's do.

        Raises:
            Unauthenticated: no key, two different ones, or (UnknownKey) one that nobody has, where one is needed.
            StoreUnavailable: a key that nobody has yet, before the stored ones could be read.
            Forbidden: a key whose role is below the one needed; or, without keys, a request from a web page.
        """
        wanted = {name: value for name, value in headers if name in _HEADERS}
        if not self._principals and self._book is None:
            _refuse_web_pages(wanted)
            return LOCAL
        bearer, named = _bearer(wanted), wanted.get(b"x-api-key", b"").strip()
        shows_two = bool(bearer and named) and bearer != named
        shown = b"" if shows_two else bearer or named
        principal = self._find(shown)
        if principal is None and needed == "anyone":
            return NOBODY
        if shows_two:
            raise Unauthenticated("Authorization and x-api-key hold two different API keys. Send one of them.")
        if principal is None:
            if shown:
                if self._book is not None and not self._book.known:
                    raise StoreUnavailable("the stored keys have not been read yet")
                raise UnknownKey("Incorrect API key provided.")
            raise Unauthenticated(
                "You didn't provide an API key. Send it as 'Authorization: Bearer YOUR_KEY' or 'x-api-key: YOUR_KEY'."
            )
        if RANK[principal.role] < RANK[needed]:
            raise Forbidden(f"The key '{principal.name}' has the role {principal.role}; this takes {needed}.")
        return principal

    def _find(self, shown: bytes) -> Principal | None:
        """Who shows this key, if it is one by now."""
        principal = self._principals.get(self._hash(shown))
        if principal is None and self._book is not None and shown:
            principal = self._stored.get(self._book.hash(shown))
        return principal if principal is None or time.time() < principal.ends else None

    def _hash(self, key: bytes) -> bytes:
        return blake2b(key, key=self._secret).digest()

    def _take_stored(self) -> None:
        """The stored keys have changed."""
        assert self._book is not None  # noqa: S101 - it is the book that tells
        stored: dict[str, Principal] = {}
        for key in self._book.keys.values():
            self._teams[key.name] = key.terms.team
            self._policies[key.name] = key.terms.guardrails
            principal = _principal(key.name, key.terms, self._auth)
            if key.revoked is None:
                stored[key.hash] = principal
                if key.old_hash:
                    stored[key.old_hash] = replace(principal, ends=min(principal.ends, key.old_until))
        self._stored = stored


def _principal(name: str, terms: KeyTerms, auth: Auth) -> Principal:
    team = auth.team_named(terms.team)
    return Principal(
        name,
        terms.role,
        terms.models,
        team.models if team is not None else EVERYTHING,
        terms.endpoints,
        terms.team,
        _accounts(name, terms, team),
        terms.ends,
    )


def _accounts(name: str, terms: KeyTerms, team: Team | None) -> tuple[Account, ...]:
    rows: list[tuple[str, Limited]] = [(f"key:{name}", terms)]
    if team is not None:
        rows.append((f"team:{team.name}", team))
    return tuple(Account(name, row.limits, row.period) for name, row in rows if row.limits != Limits())


_HEADERS = frozenset({b"authorization", b"host", b"origin", b"x-api-key"})


def _bearer(headers: dict[bytes, bytes]) -> bytes:
    scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else b""


def _refuse_web_pages(headers: dict[bytes, bytes]) -> None:
    """Without keys, a page in the user's browser must not get through: not from its origin, not by DNS rebinding."""
    if not is_loopback(_host_of(headers.get(b"host", b"localhost"))):
        raise Forbidden("Without keys only requests to localhost are served; add auth.keys to the settings.")
    if not is_loopback(_host_of(headers.get(b"origin", b"http://localhost").partition(b"://")[2])):
        raise Forbidden("Without keys requests from web pages are refused; add auth.keys to the settings.")


def _host_of(authority: bytes) -> str:
    """The host in ``host[:port]``; an IPv6 address without its brackets."""
    text = authority.decode("latin-1")
    host = text if text.endswith("]") else text.rpartition(":")[0] or text
    return host.removeprefix("[").removesuffix("]")
