# mypy: ignore-errors
"""pydantic-graph: a ``GraphBuilder`` with async steps, a decision for the way back, a broadcast and a join.

The body goes from step to step as their inputs; there is no state and there are no dependencies. Its spans are switched
off (``auto_instrument=False``): without logfire they would show nothing.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from itertools import pairwise
from typing import Any

from pydantic_graph import GraphBuilder, StepContext, reduce_list_append

from .measure import CHUNKS, NAP, main

Context = StepContext[None, None, Any]


async def noop(ctx: Context) -> Any:
    return ctx.inputs


async def count(ctx: Context) -> Any:
    ctx.inputs["n"] += 1
    return ctx.inputs


async def nap(ctx: Context) -> Any:
    await asyncio.sleep(NAP)
    return ctx.inputs


async def tokens(ctx: Context):
    for _ in range(CHUNKS):
        yield "token"


def builder():
    return GraphBuilder(name="bench", input_type=dict, output_type=dict, auto_instrument=False)


def running(graph):
    built = graph.build()

    async def run():
        return await built.run(inputs={"n": 0})

    return run


async def line(steps):
    graph = builder()
    path = [graph.start_node, *(graph.step(noop, node_id=f"step{i}") for i in range(steps)), graph.end_node]
    graph.add(*(graph.edge_from(step).to(follower) for step, follower in pairwise(path)))
    return running(graph)


async def cycle(rounds):
    graph = builder()
    counting, last = graph.step(count, node_id="count"), graph.step(noop, node_id="noop")
    again = graph.match(dict, matches=lambda body: body["n"] < rounds).to(counting)
    decision = graph.decision().branch(again).branch(graph.match(dict).to(graph.end_node))
    graph.add(
        graph.edge_from(graph.start_node).to(counting),
        graph.edge_from(counting).to(last),
        graph.edge_from(last).to(decision),
    )
    return running(graph)


async def fan_out(branches):
    graph = builder()
    first = graph.step(noop, node_id="first")
    steps = [graph.step(noop, node_id=f"branch{i}") for i in range(branches)]
    join = graph.join(reduce_list_append, initial_factory=list)
    graph.add(
        graph.edge_from(graph.start_node).to(first),
        graph.edge_from(first).to(*steps),
        graph.edge_from(*steps).to(join),
        graph.edge_from(join).to(graph.end_node),
    )
    return running(graph)


async def stream(chunks):
    graph = builder()
    source = graph.stream(tokens)
    steps = [graph.step(noop, node_id=f"step{i}") for i in range(3)]
    join = graph.join(reduce_list_append, initial_factory=list)
    path = [*steps, join, graph.end_node]
    graph.add(
        graph.edge_from(graph.start_node).to(source),
        graph.edge_from(source).map().to(steps[0]),
        *(graph.edge_from(step).to(follower) for step, follower in pairwise(path)),
    )
    once = running(graph)

    async def run():
        return len(await once())

    return run


async def concurrent(runs):
    graph = builder()
    step = graph.step(nap)
    graph.add(graph.edge_from(graph.start_node).to(step), graph.edge_from(step).to(graph.end_node))
    once = running(graph)

    async def run():
        return await asyncio.gather(*(once() for _ in range(runs)))

    return run


if __name__ == "__main__":
    main(
        version=version("pydantic-graph"),
        notes={"stream": "each chunk walks in a task of its own; a join gathers them, none leaves before the end"},
        line=line,
        cycle=cycle,
        fan_out=fan_out,
        stream=stream,
        concurrent=concurrent,
    )
