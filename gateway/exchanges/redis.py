"""Exchanges in Redis. All of them end by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from gateway.exchanges.rows import Kept, Part, Place
from gateway.store.redis import RedisStore


class RedisExchanges:
    """See :class:`gateway.exchanges.rows.ExchangeRows`. Those of one space share a hash tag."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        folder = files("gateway.exchanges")
        self._scripts = {
            name: store.client.register_script((folder / f"{name}.lua").read_text(encoding="utf-8"))
            for name in ("begin", "write", "read", "drop")
        }

    async def begin(self, place: Place, mark: str, asked: bytes, seconds: float) -> Kept | None:
        """See :meth:`ExchangeRows.begin`."""
        there = await self._run("begin", _keys(place), mark, asked, _milliseconds(seconds))
        return None if there is None else Kept(there[0], there[1].decode())

    async def write(self, place: Place, mark: str, part: Part, seconds: float, most: int) -> bool:
        """See :meth:`ExchangeRows.write`."""
        given = (mark, part.state, _milliseconds(seconds), most, part.number, *part.frames)
        return bool(await self._run("write", _keys(place), *given))

    async def read(self, place: Place, number: int) -> Kept | None:
        """See :meth:`ExchangeRows.read`."""
        there = await self._run("read", _keys(place)[:2], number)
        return None if there is None else Kept(there[0], there[1].decode(), there[2])

    async def drop(self, place: Place, mark: str) -> None:
        """See :meth:`ExchangeRows.drop`."""
        await self._run("drop", _keys(place), mark)

    async def follow(self, place: Place, seconds: float) -> None:
        """See :meth:`ExchangeRows.follow`."""
        await self._store.within(self._store.client.set(_followed(place), b"1", px=_milliseconds(seconds)))

    async def followed(self, place: Place) -> bool:
        """See :meth:`ExchangeRows.followed`."""
        return bool(await self._store.within(self._store.client.exists(_followed(place))))

    async def _run(self, name: str, keys: Sequence[str], *given: Any) -> Any:
        return await self._store.within(self._scripts[name](keys=keys, args=given))


def _keys(place: Place) -> list[str]:
    tag = f"penstock:{{exchanges:{quote(place.space, safe='')}}}"
    head = f"{tag}:{place.id}"
    return [head, f"{head}:frames", f"{tag}:order", f"{tag}:sizes"]


def _followed(place: Place) -> str:
    return f"{_keys(place)[0]}:followed"


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
