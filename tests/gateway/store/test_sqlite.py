"""A store in a SQLite file: several workers on one."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.store.sqlite import SQLiteStore


async def test_workers_that_start_at_once_open_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    """One makes it, and the others wait: SQLite itself does not wait while a file becomes one with a log."""
    for number in range(30):
        workers = [SQLiteStore(tmp_path / f"{number}.db") for _ in range(4)]
        await asyncio.gather(*(worker.start() for worker in workers))
        await asyncio.gather(*(worker.do(lambda db: db.execute("SELECT 1").fetchone()) for worker in workers))
        await asyncio.gather(*(worker.close() for worker in workers))
