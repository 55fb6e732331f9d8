"""Penstock: async functions as steps, ``Choice`` for the way back, ``Merge`` for the join; ``run`` and ``stream``.

The cycle is the documented one, with a step behind it that responds, as in MLRun. Branches get copies of the body, as
in every flow. Nothing watches the runs; ``penstock_traced`` is the other case.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from importlib.metadata import version
from typing import Any

from graph import Choice, Flow, Hooks, Merge

from .measure import CHUNKS, NAP, ROUNDS, Run, main

watching: Hooks | None = None
"""Who watches the runs; ``penstock_traced`` sets it."""


async def noop(body: Any) -> Any:
    return body


async def count(body: Any) -> Any:
    body["n"] += 1
    return body


async def nap(body: Any) -> Any:
    await asyncio.sleep(NAP)
    return body


async def source(_body: Any) -> AsyncGenerator[str, None]:
    for _ in range(CHUNKS):
        yield "token"


class Back(Choice):
    async def do(self, body: Any) -> Any:
        return body

    def select_outlets(self, body: Any) -> str:
        return "count" if body["n"] < ROUNDS else "end"


def runs_of(flow: Flow) -> Run:
    flow.validate()

    async def run() -> Any:
        return await flow.run({"n": 0}, hooks=watching)

    return run


async def line(steps: int) -> Run:
    flow = Flow("line")
    step = flow.to(noop, name="step0")
    for index in range(1, steps):
        step = step.to(noop, name=f"step{index}")
    step.respond()
    return runs_of(flow)


async def cycle(rounds: int) -> Run:
    flow = Flow("cycle", allow_cyclic=True, max_iterations=rounds)
    flow.to(count, name="count").to(Back(), name="back").cycle_to("count").to(noop, name="end").respond()
    return runs_of(flow)


async def fan_out(branches: int) -> Run:
    flow = Flow("fan-out")
    first = flow.to(noop, name="first")
    names = [first.to(noop, name=f"branch{index}").name for index in range(branches)]
    flow.add_step(Merge(), name="join", after=names).respond()
    return runs_of(flow)


async def stream(_chunks: int) -> Run:
    flow = Flow("stream")
    flow.to(source).to(noop, name="one").to(noop, name="two").to(noop, name="three").respond()
    flow.validate()

    async def run() -> int:
        came = 0
        async with aclosing(flow.stream({"n": 0}, hooks=watching)) as answer:
            async for _ in answer:
                came += 1
        return came

    return run


async def concurrent(runs: int) -> Run:
    flow = Flow("nap")
    flow.to(nap).respond()
    once = runs_of(flow)

    async def run() -> Any:
        return await asyncio.gather(*(once() for _ in range(runs)))

    return run


def measure() -> None:
    main(version=version("penstock"), line=line, cycle=cycle, fan_out=fan_out, stream=stream, concurrent=concurrent)


if __name__ == "__main__":
    measure()
