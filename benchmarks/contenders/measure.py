"""What is measured, alike for all contenders. Needs nothing but the standard library, as it runs in their environments.

A contender gives :func:`main` a function for each measurement. It is told the size, builds its graph, and returns an
``async def`` that runs it once and returns the answer:

    line(steps)             a line of no-op async steps; the answer is the body ``{"n": 0}``
    cycle(rounds)           two steps; the first adds 1 to ``n``, the second says whether to go back; ``{"n": rounds}``
    fan_out(branches)       one no-op step, then so many no-op branches, then a join; the answer has one item a branch
    stream(chunks)          a step that yields so many chunks, three no-op async steps that each chunk walks, and a
                            reader that takes one chunk after the other; the answer is how many came
    concurrent(runs)        so many runs at once of a graph of one step that sleeps ``NAP``; the answers, as a list

A measurement is asked for again and again. Before the first time the answer is looked at and the graph is run for a
while to warm it up; then each time gives the mean of one uninterrupted series of runs. ``benchmarks.engine`` asks often
enough for several thousand steps. The garbage collector is on, as in service. A library that cannot do something gives
the sentence that says so in place of the function; where it does something else than the others, ``notes`` says what.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import json
import logging
import sys
import time
import traceback
import warnings
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

Run: TypeAlias = Callable[[], Awaitable[Any]]
Build: TypeAlias = Callable[[int], Awaitable[Run]]

STEPS, ROUNDS, BRANCHES, CHUNKS, RUNS = 10, 100, 5, 10_000, 50
NAP = 0.02
WARM_UP, LASTING, LIMIT = 0.15, 0.1, 300.0
"""Seconds of running before the first series, of a series at least, and of one answer at most."""

SIZES = {"line": STEPS, "cycle": ROUNDS, "fan_out": BRANCHES, "stream": CHUNKS, "concurrent": RUNS}
PARTS = {"line": STEPS, "cycle": 2 * ROUNDS, "fan_out": 1, "stream": CHUNKS, "concurrent": 1}
"""By what the cost of one run is divided: steps, steps, runs, chunks, batches."""
LEAST_RUNS = {"line": 40, "cycle": 2, "fan_out": 40, "stream": 1, "concurrent": 1}
"""How many runs are in a series at least."""


def main(*, version: str, notes: Mapping[str, str] | None = None, **measurements: Build | str) -> None:
    """Reads names of measurements, one a line, and answers each with a line of JSON: the figure, why there cannot be
    one, or the error."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    contender = _Contender(measurements)
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            name = line.strip()
            faulthandler.dump_traceback_later(LIMIT, exit=True)
            said = {"version": version, "note": (notes or {}).get(name), **runner.run(contender.answer(name))}
            faulthandler.cancel_dump_traceback_later()
            print(json.dumps({"measurement": name, **said}), flush=True)


class _Contender:
    """The graphs of a contender, each built when it is asked for, with how many runs make a series."""

    def __init__(self, measurements: Mapping[str, Build | str]) -> None:
        self._measurements = measurements
        self._built: dict[str, tuple[Run, int]] = {}

    async def answer(self, name: str) -> dict[str, Any]:
        """One series of a measurement."""
        build = self._measurements[name]
        if isinstance(build, str):
            return {"cannot": build}
        try:
            if name not in self._built:
                self._built[name] = await _built(name, build)
            return {"figure": await _series(name, *self._built[name])}
        except Exception as error:
            traceback.print_exc()
            return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}


async def _built(name: str, build: Build) -> tuple[Run, int]:
    run = await build(SIZES[name])
    begun, runs = time.perf_counter(), 1
    _look_at(name, await run())
    while time.perf_counter() < begun + WARM_UP:
        await run()
        runs += 1
    gc.collect()
    return run, max(LEAST_RUNS[name], int(LASTING / (time.perf_counter() - begun) * runs))


async def _series(name: str, run: Run, runs: int) -> float:
    """What one part of a run costs: microseconds of CPU time, or, of runs that sleep, milliseconds."""
    clock, factor = (time.perf_counter, 1e3) if name == "concurrent" else (time.process_time, 1e6)
    begun = clock()
    for _ in range(runs):
        await run()
    return (clock() - begun) / runs / PARTS[name] * factor


def _look_at(name: str, answer: Any) -> None:
    """Whether the work was done.

    Raises:
        AssertionError: when the answer is not what it must be.
    """
    seen = answer if name in ("line", "cycle", "stream") else len(answer)
    wanted = {"line": {"n": 0}, "cycle": {"n": ROUNDS}}.get(name, SIZES[name])
    assert seen == wanted, f"the answer of {name} is {answer!r}"
