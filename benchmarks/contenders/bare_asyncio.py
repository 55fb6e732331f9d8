"""Bare asyncio: what one would write by hand for exactly this graph. The measure of all others.

The steps stand in a list and are awaited in a loop; branches are tasks of a TaskGroup; a stream is an async generator.
Branches share the body: nobody who writes this by hand copies what nobody changes.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from .measure import NAP, Run, main


async def noop(body: Any) -> Any:
    return body


async def count(body: Any) -> Any:
    body["n"] += 1
    return body


async def nap(body: Any) -> Any:
    await asyncio.sleep(NAP)
    return body


async def line(steps: int) -> Run:
    path = [noop] * steps

    async def run() -> Any:
        body: Any = {"n": 0}
        for step in path:
            body = await step(body)
        return body

    return run


async def cycle(rounds: int) -> Run:
    async def run() -> Any:
        body: Any = {"n": 0}
        while True:
            body = await count(body)
            body = await noop(body)
            if body["n"] >= rounds:
                return body

    return run


async def fan_out(branches: int) -> Run:
    async def run() -> Any:
        body = await noop({"n": 0})
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(noop(body)) for _ in range(branches)]
        return [task.result() for task in tasks]

    return run


async def stream(chunks: int) -> Run:
    path = [noop] * 3

    async def source() -> AsyncGenerator[str, None]:
        for _ in range(chunks):
            yield "token"

    async def walked() -> AsyncGenerator[str, None]:
        async with aclosing(source()) as made:
            async for chunk in made:
                for step in path:
                    chunk = await step(chunk)  # noqa: PLW2901
                yield chunk

    async def run() -> int:
        came = 0
        async with aclosing(walked()) as answer:
            async for _ in answer:
                came += 1
        return came

    return run


async def concurrent(runs: int) -> Run:
    async def run() -> Any:
        return await asyncio.gather(*(nap({"n": 0}) for _ in range(runs)))

    return run


if __name__ == "__main__":
    version = platform.python_version()
    main(version=version, line=line, cycle=cycle, fan_out=fan_out, stream=stream, concurrent=concurrent)
