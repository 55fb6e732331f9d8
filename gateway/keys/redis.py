"""Keys in Redis. They and their record do not end by themselves."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from gateway.store.redis import RedisStore

ROWS: Final = "penstock:{keys}:rows"
RECORDS: Final = "penstock:{keys}:records"


class RedisKeys:
    """See :class:`gateway.keys.rows.KeyRows`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        script = (files("gateway.keys") / "put.lua").read_text(encoding="utf-8")
        self._put = store.client.register_script(script)

    async def version(self) -> int:
        """See :meth:`KeyRows.version`."""
        return int(await self._store.within(self._store.client.llen(RECORDS)))

    async def all(self) -> list[bytes]:
        """See :meth:`KeyRows.all`."""
        rows = await self._store.within(self._store.client.hgetall(ROWS))
        return [rows[name] for name in sorted(rows)]

    async def put(self, name: str, before: bytes | None, after: bytes, record: bytes) -> bool:
        """See :meth:`KeyRows.put`."""
        given = [name, before or b"", after, record]
        return bool(await self._store.within(self._put(keys=[ROWS, RECORDS], args=given)))

    async def records(self, most: int) -> list[bytes]:
        """See :meth:`KeyRows.records`."""
        records: list[bytes] = await self._store.within(self._store.client.lrange(RECORDS, -most, -1))
        return records[::-1]
