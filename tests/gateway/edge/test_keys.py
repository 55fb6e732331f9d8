"""Keys: which models they cover, and who a caller is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from gateway.config.settings import Auth, Key
from gateway.edge.keys import NOBODY, KeyRing, Principal
from gateway.errors import Forbidden, Unauthenticated, UnknownKey

Headers = Iterable[tuple[bytes, bytes]]


def ring(**key: Any) -> KeyRing:
    return KeyRing(Auth(keys=(Key.model_validate({"name": "app", "key": "app-key-123", **key}),)))


def bearer(key: str, scheme: str = "Bearer") -> Headers:
    return [(b"accept", b"*/*"), (b"authorization", f"{scheme} {key}".encode())]


@pytest.mark.parametrize(
    ("patterns", "covered", "not_covered"),
    [
        (("*",), ("up", "x", "a/b:c"), ()),
        (("x*",), ("x", "x-large", "x/y"), ("X", "ax", "up")),
        (("up",), ("up",), ("UP", "up2", "u", "upp")),
        (("gpt-?",), ("gpt-4",), ("gpt-", "gpt-40")),
        (("a/*", "up"), ("a/b", "a/b/c", "up"), ("b/a", "a")),
        (("m[1]",), ("m[1]", "m1"), ("m2",)),
        ((), (), ("up", "")),
    ],
)
def test_which_models_a_key_covers(
    patterns: tuple[str, ...], covered: tuple[str, ...], not_covered: tuple[str, ...]
) -> None:
    """A star stands for anything, slashes too; a name stands for itself, whatever is in it; cases differ."""
    principal = Principal("app", "user", patterns)
    assert [name for name in covered if not principal.may_use(name)] == []
    assert [name for name in not_covered if principal.may_use(name)] == []


def test_a_key_is_known_by_its_name() -> None:
    """The principal carries the name, the role and the models of the key, and never the key."""
    principal = ring(role="admin", models=["x*"]).principal(bearer("app-key-123"), "user")
    assert principal == Principal("app", "admin", ("x*",))
    assert "app-key-123" not in repr(principal)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_may_be_written_in_any_case(scheme: str) -> None:
    """As RFC 9110 says; spaces around the key are none of it."""
    assert ring().principal(bearer("app-key-123 ", scheme), "user").name == "app"


@pytest.mark.parametrize("shown", ["app-key-123", " app-key-123 "])
def test_a_key_may_stand_in_a_header_of_its_own(shown: str) -> None:
    """As Anthropic's clients send it; beside Authorization if it is the same there, or no bearer's."""
    named = (b"x-api-key", shown.encode())
    assert ring().principal([named], "user").name == "app"
    assert ring().principal([named, *bearer("app-key-123")], "user").name == "app"
    assert ring().principal([named, *bearer("app-key-123", "Basic")], "user").name == "app"


@pytest.mark.parametrize("keys", [("app-key-123", "other"), ("other", "app-key-123")])
def test_two_different_keys_are_refused(keys: tuple[str, str]) -> None:
    """Nobody could say whose request it is; where anyone may call, it is nobody's."""
    headers = [(b"x-api-key", keys[0].encode()), *bearer(keys[1])]
    with pytest.raises(Unauthenticated, match="two different API keys") as raised:
        ring().principal(headers, "user")
    assert "app-key" not in str(raised.value)
    assert ring().principal(headers, "anyone") is NOBODY


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ([], Unauthenticated),
        (bearer(""), Unauthenticated),
        (bearer("app-key-123", "Basic"), Unauthenticated),
        (bearer("app-key-12"), UnknownKey),
        (bearer("app-key-1234"), UnknownKey),
        (bearer("APP-KEY-123"), UnknownKey),
    ],
)
def test_who_shows_no_key_is_told_apart_from_who_shows_a_wrong_one(headers: Headers, error: type[Exception]) -> None:
    """Both are refused, in words of their own, which do not repeat what was shown."""
    with pytest.raises(error) as raised:
        ring().principal(headers, "user")
    assert type(raised.value) is error
    assert "app-key" not in str(raised.value).lower()


def test_a_role_below_the_one_needed_is_refused() -> None:
    """The message names the key by its name, and both roles."""
    with pytest.raises(Forbidden, match="The key 'app' has the role user; this takes admin"):
        ring().principal(bearer("app-key-123"), "admin")


def test_anyone_may_call_where_anyone_is_needed() -> None:
    """Without a key, and with one that nobody has; a caller whose key is known stays who it is."""
    assert ring().principal([], "anyone") is NOBODY
    assert ring().principal(bearer("wrong-key"), "anyone") is NOBODY
    assert ring().principal(bearer("app-key-123"), "anyone").name == "app"
