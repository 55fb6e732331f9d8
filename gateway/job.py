"""A graph as a job: ``penstock run GRAPH --input rows.jsonl --output out.jsonl``.

Each row is a run of its own, so many at a time. A row that is done is a line of the output, flushed at once; a job that
was cut off begins where it was: rows that have an answer are not run again, failed ones are.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from gateway.answers import collected
from gateway.catalog.catalog import Catalog
from gateway.catalog.deployed import Served
from gateway.faults import Fault
from graph import Event
from llm import ChatRequest, InvalidRequest


@dataclass(slots=True)
class Job:
    """A graph over the lines of a file.

    A row is a JSON string (what the user says), or an object with ``messages`` and further parameters of a chat
    request. An output line is ``{"row": n, "answer": …, "usage": …}``, or ``{"row": n, "error": …}``.
    """

    served: Served
    rows: Path
    output: Path
    concurrency: int = 8
    progress: Callable[[int], None] = lambda _: None
    """Called with the number of rows that were just done."""
    done: int = 0
    failed: int = 0
    skipped: int = 0

    async def run(self) -> None:
        """Runs every row that has no answer yet.

        Raises:
            OSError: when a file cannot be read or written.
        """
        finished = keep_finished(self.output)
        with self.output.open("ab") as file:
            waiting = self._rows(finished)
            workers = [asyncio.create_task(self._work(waiting, file)) for _ in range(self.concurrency)]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()

    def _rows(self, finished: set[int]) -> Iterator[tuple[int, bytes]]:
        with self.rows.open("rb") as file:
            for row, line in enumerate(file):
                if row in finished:
                    self.skipped += 1
                    self.progress(1)
                elif line.strip():
                    yield row, line

    async def _work(self, waiting: Iterator[tuple[int, bytes]], file: IO[bytes]) -> None:
        for row, line in waiting:
            result = await self._one(row, line)
            file.write(orjson.dumps(result) + b"\n")
            file.flush()
            self.failed += "error" in result
            self.done += 1
            self.progress(1)

    async def _one(self, row: int, line: bytes) -> dict[str, Any]:
        try:
            request = _request(self.served.name, line)
            run = self.served.start(Event(request, id=f"row-{row}", caller="job"))
            completion = await collected(run)
        except Exception as error:  # one row's error is that row's
            return {"row": row, "error": Fault.of(error).openai()["error"]}
        return {"row": row, "answer": completion.content, "usage": run.usage.to_wire()}


def count_rows(path: Path) -> int:
    """How many lines a file has."""
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _request(model: str, line: bytes) -> ChatRequest:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the row is not JSON: {error}") from None
    if isinstance(row, str):
        return ChatRequest.of_text(model, row)
    return ChatRequest.from_wire({**row, "model": model} if isinstance(row, dict) else row)


def keep_finished(output: Path) -> set[int]:
    """The rows that have an answer in an output file; lines of failed rows, and a torn last line, are taken out."""
    if not output.exists():
        return set()
    finished: dict[int, bytes] = {}
    with output.open("rb") as file:
        for line in file:
            try:
                result = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if isinstance(result, dict) and "answer" in result and isinstance(result.get("row"), int):
                finished[result["row"]] = line.rstrip(b"\n") + b"\n"
    cleaned = output.with_name(f"{output.name}.part")
    cleaned.write_bytes(b"".join(finished.values()))
    os.replace(cleaned, output)
    return set(finished)


@asynccontextmanager
async def started(catalog: Catalog) -> AsyncGenerator[Catalog, None]:
    """A catalog whose providers are ready, outside a server."""
    try:
        await catalog.start()
        yield catalog
    finally:
        await catalog.close()
