"""Who is calling: keys, looked up by keyed hash, and the principals behind them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import blake2b
from secrets import token_bytes

from gateway.api_handler import RANK
from gateway.config import Key
from gateway.config_api import Role
from gateway.config_fields import is_loopback
from gateway.errors import Forbidden, Unauthenticated, UnknownKey


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller, by the name of the key that it showed."""

    name: str
    role: Role
    models: tuple[str, ...] = ("*",)

    def may_use(self, model: str) -> bool:
        """Whether the key names this model, or one of its patterns covers it."""
        return model in self.models or "*" in self.models or any(fnmatchcase(model, pattern) for pattern in self.models)


NOBODY = Principal("nobody", "anyone")
"""A caller without a key, where a row of the table lets anyone call."""
LOCAL = Principal("local", "admin")
"""The caller of a gateway without keys, which only this machine can reach."""


class KeyRing:
    """All keys, as BLAKE2b under a secret of this process, so that looking one up tells nothing by its time."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._secret = token_bytes(32)
        self._principals = {
            self._hash(key.key.get_secret_value().encode()): Principal(key.name, key.role, key.models) for key in keys
        }

    def principal(self, headers: Iterable[tuple[bytes, bytes]], needed: Role) -> Principal:
        """The caller that a request's headers show.

        It stands in ``Authorization`` as OpenAI's clients send it, or in ``x-api-key`` as Anthropic's do.

        Raises:
            Unauthenticated: no key, two different ones, or (UnknownKey) one that nobody has, where one is needed.
            Forbidden: a key whose role is below the one needed; or, without keys, a request from a web page.
        """
        wanted = {name: value for name, value in headers if name in _HEADERS}
        if not self._principals:
            _refuse_web_pages(wanted)
            return LOCAL
        bearer, named = _bearer(wanted), wanted.get(b"x-api-key", b"").strip()
        shows_two = bool(bearer and named) and bearer != named
        shown = b"" if shows_two else bearer or named
        principal = self._principals.get(self._hash(shown))
        if principal is None and needed == "anyone":
            return NOBODY
        if shows_two:
            raise Unauthenticated("Authorization and x-api-key hold two different API keys. Send one of them.")
        if principal is None:
            if shown:
                raise UnknownKey("Incorrect API key provided.")
            raise Unauthenticated(
                "You didn't provide an API key. Send it as 'Authorization: Bearer YOUR_KEY' or 'x-api-key: YOUR_KEY'."
            )
        if RANK[principal.role] < RANK[needed]:
            raise Forbidden(f"The key '{principal.name}' has the role {principal.role}; this takes {needed}.")
        return principal

    def _hash(self, key: bytes) -> bytes:
        return blake2b(key, key=self._secret).digest()


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
