"""KeyBook: the stored keys, as this worker knows them; and what admins do to them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final

import orjson

from gateway.config.limits import KeyTerms
from gateway.errors import KeyChangeRefused, NoSuchKey
from gateway.keys.rows import KeyRows
from gateway.keys.stored import KeyChange, NewKey, StoredKey, hash_of, made_id, made_key
from gateway.store.protocol import StoreUnavailable

NOT_OF_TERMS: Final = {"name"}


class KeyBook:
    """All stored keys in memory, so that no request asks the store who is calling.

    Args:
        secret: what keys are hashed with.
        taken: names of keys in the settings.
        teams: names of teams.
        policies: names of policies of guardrails.
        seconds: between two looks whether another worker has changed something.
    """

    def __init__(
        self,
        rows: KeyRows,
        secret: bytes,
        taken: Collection[str],
        teams: Collection[str],
        *,
        policies: Collection[str],
        seconds: float,
    ) -> None:
        self._rows = rows
        self._secret = secret
        self._taken = taken
        self._teams = teams
        self._policies = policies
        self._seconds = seconds
        self._version = -1
        self._kept: dict[str, bytes] = {}
        self.keys: Mapping[str, StoredKey] = MappingProxyType({})
        """By name."""
        self._changed: Callable[[], None] = lambda: None
        self._looking: asyncio.Task[None] | None = None

    @property
    def known(self) -> bool:
        """Whether the store has been heard at all."""
        return self._version >= 0

    def on_change(self, tell: Callable[[], None]) -> None:
        """Who is told when keys have changed."""
        self._changed = tell

    def hash(self, key: bytes) -> str:
        """What a key that is shown is looked up by."""
        return hash_of(self._secret, key)

    async def start(self) -> None:
        """Reads all keys; the store need not be there yet."""
        with suppress(StoreUnavailable):
            await self.refresh()
        self._looking = asyncio.create_task(self._look_on())

    async def close(self) -> None:
        """Looks no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait((self._looking,))

    async def refresh(self) -> None:
        """Reads the keys again if they have changed.

        Raises:
            StoreUnavailable: then those that were known stay.
        """
        version = await self._rows.version()
        if version != self._version:
            read = {(key := StoredKey.model_validate_json(row)).name: (key, row) for row in await self._rows.all()}
            self._kept = {name: row for name, (_, row) in read.items()}
            self.keys = MappingProxyType({name: key for name, (key, _) in read.items()})
            self._version = version
            self._changed()

    async def create(self, new: NewKey, by: str) -> tuple[StoredKey, str]:
        """Makes a key; it is told here and never again.

        Raises:
            KeyChangeRefused: when the name is taken, also by a key that was revoked, or a team or policy is none.
        """
        if new.name in self._taken:
            raise KeyChangeRefused(f"The key '{new.name}' stands in the settings.")
        shown = made_key()
        terms = KeyTerms.model_validate(new.model_dump(exclude=NOT_OF_TERMS))
        self._check(terms.team, terms.guardrails)
        key = StoredKey(
            id=made_id(),
            name=new.name,
            terms=terms,
            hash=self.hash(shown.encode()),
            last_four=shown[-4:],
            made=time.time(),
        )
        await self._put(None, key, by, "created", terms.model_dump(mode="json"))
        return key, shown

    async def change(self, name: str, change: KeyChange, by: str) -> StoredKey:
        """Changes what a key may do.

        Raises:
            NoSuchKey, KeyChangeRefused: when there is none, it is revoked, or a team or policy is none.
        """
        before = await self._valid(name)
        said = change.model_dump(exclude_unset=True)
        self._check(said.get("team", ""), said.get("guardrails", ()))
        terms = KeyTerms.model_validate({**before.terms.model_dump(), **said})
        was, now = before.terms.model_dump(mode="json"), terms.model_dump(mode="json")
        changes = {field: [was[field], now[field]] for field in said if was[field] != now[field]}
        return await self._put(before, before.model_copy(update={"terms": terms}), by, "changed", changes)

    async def rotate(self, name: str, grace: float, by: str) -> tuple[StoredKey, str]:
        """Makes a new key in place of one, which stays valid for so many seconds; one before that does not.

        Raises:
            NoSuchKey, KeyChangeRefused: when there is none, or it is revoked.
        """
        before, shown, now = await self._valid(name), made_key(), time.time()
        replaced = {
            "hash": self.hash(shown.encode()),
            "last_four": shown[-4:],
            "rotated": now,
            "old_hash": before.hash,
            "old_until": now + grace,
        }
        after = before.model_copy(update=replaced)
        return await self._put(before, after, by, "rotated", {"grace_seconds": grace}), shown

    async def revoke(self, name: str, by: str) -> StoredKey:
        """Ends a key, and the one before it, for good.

        Raises:
            NoSuchKey, KeyChangeRefused: when there is none, or it is revoked already.
        """
        before = await self._valid(name)
        return await self._put(before, before.model_copy(update={"revoked": time.time()}), by, "revoked", {})

    async def records(self, most: int) -> list[dict[str, Any]]:
        """Who has done what to which key and when, the latest first."""
        return [orjson.loads(record) for record in await self._rows.records(most)]

    async def _valid(self, name: str) -> StoredKey:
        if name in self._taken:
            raise KeyChangeRefused(f"The key '{name}' stands in the settings; change it there.")
        await self.refresh()
        key = self.keys.get(name)
        if key is None:
            raise NoSuchKey(f"There is no key '{name}'.")
        if key.revoked is not None:
            raise KeyChangeRefused(f"The key '{name}' is revoked.")
        return key

    def _check(self, team: str, policies: Iterable[str]) -> None:
        """Looks at what an admin names: what a key named before, and has gone from the settings, keeps nobody from
        revoking it."""
        if team and team not in self._teams:
            raise KeyChangeRefused(f"There is no team '{team}' in the settings.")
        for name in policies:
            if name not in self._policies:
                known = ", ".join(self._policies) or "none"
                raise KeyChangeRefused(
                    f"There is no policy '{name}' under guardrails in the settings; there are: {known}."
                )

    async def _put(
        self, before: StoredKey | None, after: StoredKey, by: str, action: str, changes: Mapping[str, Any]
    ) -> StoredKey:
        said = {"at": time.time(), "by": by, "action": action, "key": after.name, "changes": changes}
        row = after.model_dump_json().encode()
        if not await self._rows.put(after.name, self._kept[before.name] if before else None, row, orjson.dumps(said)):
            what = "has just been changed by somebody else" if before else "is there already, or was"
            raise KeyChangeRefused(f"The key '{after.name}' {what}.")
        await self.refresh()
        return after

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            with suppress(StoreUnavailable):
                await self.refresh()
