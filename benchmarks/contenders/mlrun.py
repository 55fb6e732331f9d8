# mypy: ignore-errors
"""MLRun's mock server: a serving function, topology "flow", engine "async", ``to_mock_server().test()``.

``test`` is synchronous and the flow runs in a thread of its own, so every run crosses two threads; that is what the
mock server is. Concurrent runs are as many threads that call ``test``. A flow has no join that waits for branches; what
comes closest is ``ModelRunnerStep``, which runs five models as tasks of the loop ("asyncio") and makes one dict of
their results.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

os.environ.setdefault("MLRUN_LOG_LEVEL", "ERROR")
os.environ.setdefault("MLRUN_HTTPDB__HTTP__VERIFY", "false")

import mlrun
from mlrun.serving import Model, ModelRunnerStep

from .measure import CHUNKS, NAP, ROUNDS, main


class Noop:
    async def do(self, body):
        return body


class Count:
    async def do(self, body):
        body["n"] += 1
        return body


class Back:
    async def do(self, body):
        return body

    def select_outlets(self, body):
        return ["count"] if body["n"] < ROUNDS else ["end"]


class Nap:
    async def do(self, body):
        await asyncio.sleep(NAP)
        return body


class Source:
    async def do(self, body):
        for _ in range(CHUNKS):
            yield "token"


class Branch(Model):
    async def predict_async(self, body, **_):
        return body


def serving(define, **topology):
    """The mock server of a flow."""
    function = mlrun.new_function("bench", kind="serving")
    define(function.set_topology("flow", engine="async", **topology))
    return function.to_mock_server(namespace=globals())


def runs_of(define, **topology):
    server = serving(define, **topology)

    async def run():
        return server.test(body={"n": 0})

    return run


async def line(steps):
    def define(graph):
        for index in range(steps):
            graph = graph.to("Noop", name=f"step{index}")
        graph.respond()

    return runs_of(define)


async def cycle(rounds):
    def define(graph):
        graph.to("Count", name="count").to("Back", name="back", cycle_to=["count"]).to("Noop", name="end").respond()

    return runs_of(define, allow_cyclic=True, max_iterations=rounds + 1)


async def fan_out(branches):
    def define(graph):
        models = ModelRunnerStep(name="models")
        for index in range(branches):
            models.add_model(f"branch{index}", "Branch", "asyncio")
        graph.to("Noop", name="first").to(models).respond()

    return runs_of(define)


async def stream(_chunks):
    def define(graph):
        step = graph.to("Source", name="source")
        for index in range(3):
            step = step.to("Noop", name=f"step{index}")
        step.respond()

    server = serving(define)

    async def run():
        return sum(1 for _ in server.test(body={"n": 0}))

    return run


async def concurrent(runs):
    server = serving(lambda graph: graph.to("Nap", name="nap").respond())
    threads = ThreadPoolExecutor(runs)

    async def run():
        return list(threads.map(lambda _: server.test(body={"n": 0}), range(runs)))

    return run


if __name__ == "__main__":
    main(
        version=f"{version('mlrun')} with storey {version('storey')}",
        notes={
            "fan_out": "one ModelRunnerStep with 5 models: there is no join that waits for branches",
            "concurrent": "a flow takes one event after the other",
        },
        line=line,
        cycle=cycle,
        fan_out=fan_out,
        stream=stream,
        concurrent=concurrent,
    )
