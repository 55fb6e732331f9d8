# mypy: ignore-errors
"""LangGraph: a ``StateGraph`` over a TypedDict, async nodes, ``ainvoke``; no checkpointer, no tracing.

A node returns the part of the state that it sets. The branches write to one key with a reducer, which is how LangGraph
joins; the node after them waits for all five.
"""

from __future__ import annotations

import asyncio
import operator
import os
from importlib.metadata import version
from typing import Annotated, TypedDict

os.environ["LANGSMITH_TRACING"] = os.environ["LANGCHAIN_TRACING_V2"] = "false"

from langgraph.graph import END, START, StateGraph

from .measure import NAP, ROUNDS, main


class Body(TypedDict):
    n: int


class Gathered(TypedDict):
    n: int
    gathered: Annotated[list[int], operator.add]


async def noop(state):
    return {"n": state["n"]}


async def count(state):
    return {"n": state["n"] + 1}


async def branch(state):
    return {"gathered": [state["n"]]}


async def nap(state):
    await asyncio.sleep(NAP)
    return {"n": state["n"]}


def back(state):
    return "count" if state["n"] < ROUNDS else END


def running(graph, **config):
    compiled = graph.compile()

    async def run():
        return await compiled.ainvoke({"n": 0}, config or None)

    return run


async def line(steps):
    graph = StateGraph(Body)
    names = [f"step{index}" for index in range(steps)]
    for name in names:
        graph.add_node(name, noop)
    for name, follower in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(name, follower)
    return running(graph)


async def cycle(rounds):
    graph = StateGraph(Body).add_node("count", count).add_node("noop", noop)
    graph.add_edge(START, "count").add_edge("count", "noop").add_conditional_edges("noop", back, ["count", END])
    return running(graph, recursion_limit=2 * rounds + 1)


async def fan_out(branches):
    graph = StateGraph(Gathered).add_node("first", noop).add_node("join", noop)
    names = [f"branch{index}" for index in range(branches)]
    for name in names:
        graph.add_node(name, branch).add_edge("first", name)
    once = running(graph.add_edge(START, "first").add_edge(names, "join").add_edge("join", END))

    async def run():
        return (await once())["gathered"]

    return run


async def concurrent(runs):
    graph = StateGraph(Body).add_node("nap", nap).add_edge(START, "nap").add_edge("nap", END)
    once = running(graph)

    async def run():
        return await asyncio.gather(*(once() for _ in range(runs)))

    return run


stream = "its nodes hand on state, not chunks: what a node writes to the stream goes out and passes no other node"


if __name__ == "__main__":
    main(version=version("langgraph"), line=line, cycle=cycle, fan_out=fan_out, stream=stream, concurrent=concurrent)
