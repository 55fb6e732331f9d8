"""KeyRows: where keys are kept, and the audit record of what was done to them."""

from __future__ import annotations

from typing import Protocol


class KeyRows(Protocol):
    """Every method raises :class:`~gateway.store.protocol.StoreUnavailable`."""

    async def version(self) -> int:
        """A number that every change raises."""
        ...

    async def all(self) -> list[bytes]:
        """All keys, as they were put."""
        ...

    async def put(self, name: str, before: bytes | None, after: bytes, record: bytes) -> bool:
        """Puts a key in place of what was there before, and a record of that, both or neither. False, and without
        effect, where something else is there by now."""
        ...

    async def records(self, most: int) -> list[bytes]:
        """The audit record, the latest first."""
        ...
