"""Stored keys, in a file and in a real Redis: made, changed, replaced and revoked, by several workers at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import TypeAlias

import orjson
import pytest

from gateway.config.settings import Auth
from gateway.edge.keys import KeyRing
from gateway.errors import KeyChangeRefused, NoSuchKey, UnknownKey
from gateway.keys.book import KeyBook
from gateway.keys.redis import RedisKeys
from gateway.keys.rows import KeyRows
from gateway.keys.sqlite import SQLiteKeys
from gateway.keys.stored import KeyChange, NewKey
from gateway.store.protocol import StoreUnavailable
from gateway.store.redis import RedisStore
from gateway.store.sqlite import SQLiteStore
from tests.gateway.store.servers import RedisServer

SECRET = b"0123456789abcdef0123456789abcdef"
Open: TypeAlias = Callable[[], KeyBook]


@pytest.fixture(params=["sqlite", "redis"])
async def rows(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[KeyRows, None]:
    """Where keys are kept, of each kind."""
    if request.param == "sqlite":
        file = SQLiteStore(tmp_path / "penstock.db")
        await file.start()
        yield SQLiteKeys(file)
        await file.close()
    else:
        server: RedisServer = request.getfixturevalue("own_redis")
        redis = RedisStore(server.url, 5)
        yield RedisKeys(redis)
        await redis.close()


def worker(rows: KeyRows, secret: bytes = SECRET) -> tuple[KeyBook, KeyRing]:
    book = KeyBook(rows, secret, {"of-settings"}, {"search"}, policies=["private", "clean"], seconds=0.01)
    auth = Auth.model_validate({"teams": [{"name": "search", "models": ["x*"], "rpm": 5}]})
    return book, KeyRing(auth, book)


def name_of(ring: KeyRing, key: str) -> str | None:
    try:
        return ring.principal([(b"x-api-key", key.encode())], "user").name
    except UnknownKey:
        return None


async def test_a_key_is_known_to_all_workers(rows: KeyRows) -> None:
    """To the one that made it at once, to others as soon as they have looked; with what it may do."""
    (book, ring), (other, others) = worker(rows), worker(rows)
    await other.start()
    key, shown = await book.create(NewKey(name="app", team="search", rpm=3), "ops")
    assert name_of(ring, shown) == "app"
    async with asyncio.timeout(10):
        while name_of(others, shown) is None:
            await asyncio.sleep(0)
    await other.close()
    principal = others.principal([(b"x-api-key", shown.encode())], "user")
    assert (principal.team, principal.may_use("xl"), principal.may_use("up")) == ("search", True, False)
    assert [account.name for account in principal.accounts] == ["key:app", "team:search"]
    assert shown.endswith(key.last_four)


async def test_the_store_holds_no_key(rows: KeyRows) -> None:
    """Nor what could be shown instead of one; under another secret it is worth nothing."""
    book, _ = worker(rows)
    _, shown = await book.create(NewKey(name="app"), "ops")
    (row,) = await rows.all()
    assert shown.encode() not in row
    assert book.hash(shown.encode()).encode() in row
    assert "hash" not in str(book.keys["app"].to_json())
    strange, strangers = worker(rows, b"another secret of 32 characters!!")
    await strange.refresh()
    assert name_of(strangers, shown) is None
    assert name_of(strangers, book.keys["app"].hash) is None


async def test_a_key_is_replaced(rows: KeyRows) -> None:
    """The old one is valid for its time, and the one before that no longer."""
    book, ring = worker(rows)
    _, first = await book.create(NewKey(name="app"), "ops")
    _, second = await book.rotate("app", 3600, "ops")
    assert [name_of(ring, key) for key in (first, second)] == ["app", "app"]
    _, third = await book.rotate("app", 0, "ops")
    assert [name_of(ring, key) for key in (first, second, third)] == [None, None, "app"]


async def test_a_key_is_revoked(rows: KeyRows) -> None:
    """With the one that it replaced; nobody gets its name again, and nothing can be done to it."""
    book, ring = worker(rows)
    _, first = await book.create(NewKey(name="app"), "ops")
    _, second = await book.rotate("app", 3600, "ops")
    await book.revoke("app", "ops")
    assert [name_of(ring, key) for key in (first, second)] == [None, None]
    for again in (book.create(NewKey(name="app"), "ops"), book.rotate("app", 0, "ops"), book.revoke("app", "ops")):
        with pytest.raises(KeyChangeRefused):
            await again


async def test_a_key_ends(rows: KeyRows) -> None:
    """At the time that was said, in UTC where no zone is; a change may give it more."""
    book, ring = worker(rows)
    _, shown = await book.create(NewKey.model_validate({"name": "app", "expires": "2020-01-01"}), "ops")
    assert name_of(ring, shown) is None
    await book.change("app", KeyChange.model_validate({"expires": "2999-01-01T00:00:00+02:00"}), "ops")
    assert name_of(ring, shown) == "app"


async def test_only_what_is_said_is_changed(rows: KeyRows) -> None:
    """And the record says what it was, what it is, and who did it."""
    book, _ = worker(rows)
    await book.create(NewKey(name="app", rpm=3, models=("up",)), "ops")
    await book.change("app", KeyChange(rpm=None, tpm=100), "chief")
    terms = book.keys["app"].terms
    assert (terms.rpm, terms.tpm, terms.models) == (None, 100, ("up",))
    changed, created = await book.records(10)
    assert (changed["by"], changed["action"], changed["key"]) == ("chief", "changed", "app")
    assert changed["changes"] == {"rpm": [3, None], "tpm": [None, 100]}
    assert (created["action"], created["changes"]["rpm"]) == ("created", 3)
    assert await book.records(1) == [changed]


async def test_a_key_carries_policies(rows: KeyRows) -> None:
    """Those that are named, also for the one that replaces it; each change of them is on record."""
    book, ring = worker(rows)
    await book.create(NewKey(name="app", guardrails=("private",)), "ops")
    assert ring.policies_of("app") == ("private",)
    await book.change("app", KeyChange(guardrails=("clean", "private")), "chief")
    await book.rotate("app", 0, "ops")
    other, others = worker(rows)
    await other.refresh()
    assert (ring.policies_of("app"), others.policies_of("app")) == (("clean", "private"),) * 2
    assert book.keys["app"].to_json()["guardrails"] == ["clean", "private"]
    _, changed, created = await book.records(10)
    assert changed["changes"] == {"guardrails": [["private"], ["clean", "private"]]}
    assert created["changes"]["guardrails"] == ["private"]


async def test_a_row_of_before_there_were_policies_is_read(rows: KeyRows) -> None:
    """It is a key without any."""
    book, ring = worker(rows)
    await book.create(NewKey(name="app"), "ops")
    (row,) = await rows.all()
    older = orjson.loads(row)
    del older["terms"]["guardrails"]
    assert await rows.put("app", row, orjson.dumps(older), b"{}")
    await book.refresh()
    assert (book.keys["app"].terms.guardrails, ring.policies_of("app")) == ((), ())


async def test_what_has_gone_from_the_settings_keeps_nobody_from_ending_a_key(rows: KeyRows) -> None:
    """A key whose team or policy is none by now is changed, replaced and revoked; it is not given a missing one."""
    before, _ = worker(rows)
    await before.create(NewKey(name="app", team="search", guardrails=("clean",)), "ops")
    after = KeyBook(rows, SECRET, (), (), policies=["other"], seconds=0.01)
    await after.change("app", KeyChange(rpm=1), "ops")
    with pytest.raises(KeyChangeRefused, match="no policy 'clean'"):
        await after.change("app", KeyChange(guardrails=("clean",)), "ops")
    await after.rotate("app", 0, "ops")
    assert (await after.revoke("app", "ops")).terms.guardrails == ("clean",)


async def test_of_two_changes_at_once_one_is_refused(rows: KeyRows) -> None:
    """Nobody overwrites what he has not seen, and only what was done is recorded."""
    (book, _), (other, _) = worker(rows), worker(rows)
    await book.create(NewKey(name="app", rpm=1), "ops")
    await other.refresh()
    changes = [each.change("app", KeyChange(rpm=number), "ops") for number, each in enumerate((book, other), 2)]
    made = await asyncio.gather(*changes, return_exceptions=True)
    refused = [each for each in made if isinstance(each, KeyChangeRefused)]
    await book.refresh()
    assert len(await book.records(10)) == 3 - len(refused)
    both = await asyncio.gather(
        *(each.create(NewKey(name="new"), "ops") for each in (book, other)), return_exceptions=True
    )
    assert sorted(isinstance(each, KeyChangeRefused) for each in both) == [False, True]


async def test_what_cannot_be_done_is_refused(rows: KeyRows) -> None:
    """A team or a policy that is none, a key of the settings, one that nobody made."""
    book, _ = worker(rows)
    with pytest.raises(KeyChangeRefused, match="no team 'none'"):
        await book.create(NewKey(name="app", team="none"), "ops")
    with pytest.raises(KeyChangeRefused, match=r"no policy 'none' .*: private, clean"):
        await book.create(NewKey(name="app", guardrails=("private", "none")), "ops")
    with pytest.raises(KeyChangeRefused, match="stands in the settings"):
        await book.create(NewKey(name="of-settings"), "ops")
    with pytest.raises(KeyChangeRefused, match="stands in the settings"):
        await book.revoke("of-settings", "ops")
    with pytest.raises(NoSuchKey):
        await book.revoke("nobody", "ops")
    assert await book.records(10) == []


async def test_without_a_store_known_keys_are_known(own_redis: RedisServer) -> None:
    """Those that were read stay; before any could be read, nobody is told that his key is wrong."""
    redis = RedisStore(own_redis.url, 5)
    (book, ring), (late, lates) = worker(RedisKeys(redis)), worker(RedisKeys(redis))
    await book.start()
    _, shown = await book.create(NewKey(name="app"), "ops")
    own_redis.kill()
    with pytest.raises(StoreUnavailable):
        await book.refresh()
    assert name_of(ring, shown) == "app"
    assert name_of(ring, "wrong-key") is None
    await late.start()
    with pytest.raises(StoreUnavailable):
        name_of(lates, shown)
    own_redis.start()
    async with asyncio.timeout(10):
        while not late.known:
            await asyncio.sleep(0)
    assert name_of(lates, shown) == "app"
    await book.close()
    await late.close()
    await redis.close()
