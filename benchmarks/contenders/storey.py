# mypy: ignore-errors
"""storey: ``AsyncEmitSource``, ``MapClass`` steps, ``Complete``; events are emitted and awaited inside one loop.

The asynchronous source was chosen: the synchronous one runs its loop in another thread and pays for that.
``select_outlets`` chooses the way in the cycle. storey has no join that waits for branches; what comes closest is
``ParallelExecution``, which runs five runnables as tasks of the loop ("asyncio") and makes one dict of their results.
A streaming step is an async generator: a plain one is iterated in a thread pool and would cost far more.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version

from storey import AsyncEmitSource, Complete, MapClass, ParallelExecution, ParallelExecutionRunnable, build_flow

from .measure import CHUNKS, NAP, ROUNDS, main


class Noop(MapClass):
    async def do(self, body):
        return body


class Count(MapClass):
    async def do(self, body):
        body["n"] += 1
        return body


class Back(MapClass):
    async def do(self, body):
        return body

    def select_outlets(self, body):
        return ["count"] if body["n"] < ROUNDS else ["end"]


class Nap(MapClass):
    async def do(self, body):
        await asyncio.sleep(NAP)
        return body


class Source(MapClass):
    async def do(self, body):
        for _ in range(CHUNKS):
            yield "token"


class Branch(ParallelExecutionRunnable):
    async def run_async(self, body, path, origin_name=None):
        return body


def runs_of(source):
    controller = source.run()

    async def run():
        return await controller.emit({"n": 0})

    return run


async def line(steps):
    return runs_of(build_flow([AsyncEmitSource(), *(Noop(name=f"step{i}") for i in range(steps)), Complete()]))


async def cycle(rounds):
    source, counting = AsyncEmitSource(), Count(name="count", max_iterations=rounds + 1)
    back = Back(name="back", max_iterations=rounds + 1)
    source.to(counting).to(back)
    back.to(counting)
    back.to(Complete(name="end"))
    return runs_of(source)


async def fan_out(branches):
    runnables = [Branch(f"branch{i}") for i in range(branches)]
    parallel = ParallelExecution(runnables, {runnable.name: "asyncio" for runnable in runnables})
    return runs_of(build_flow([AsyncEmitSource(), Noop(), parallel, Complete()]))


async def stream(_chunks):
    steps = [Source(name="source"), *(Noop(name=f"step{i}") for i in range(3))]
    controller = build_flow([AsyncEmitSource(), *steps, Complete()]).run()

    async def run():
        came = 0
        async for _ in await controller.emit({"n": 0}):
            came += 1
        return came

    return run


async def concurrent(runs):
    once = runs_of(build_flow([AsyncEmitSource(), Nap(), Complete()]))

    async def run():
        return await asyncio.gather(*(once() for _ in range(runs)))

    return run


if __name__ == "__main__":
    main(
        version=version("storey"),
        notes={
            "fan_out": "one ParallelExecution step with 5 runnables: there is no join that waits for branches",
            "concurrent": "a flow takes one event after the other",
        },
        line=line,
        cycle=cycle,
        fan_out=fan_out,
        stream=stream,
        concurrent=concurrent,
    )
