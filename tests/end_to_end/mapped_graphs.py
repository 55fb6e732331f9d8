"""Graphs that answer under paths of an operator's own: what they are given is the values of a request."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from graph import Flow, ModelRouter, ParallelRun, Response, V2ModelServer


def echo() -> Flow:
    """Answers what it was given."""
    flow = Flow("echo")
    flow.to(lambda body: body, name="echo").respond()
    return flow


def respond() -> Flow:
    """Answers with the status, the body and the headers that it was given."""
    flow = Flow("respond")
    flow.to(lambda body: Response(body.get("body"), body["status"], body.get("headers", {})), name="say").respond()
    return flow


async def spell(body: Any) -> AsyncGenerator[Any, None]:
    """Streams the letters of a word, and breaks where it is told to."""
    for letter in body["word"]:
        if letter == "!":
            raise ValueError("a secret")
        yield letter
    yield {"letters": len(body["word"])}


def spelling() -> Flow:
    """A streaming graph; the last of its chunks is no text."""
    flow = Flow("spelling")
    flow.to(spell).respond()
    return flow


class Says(V2ModelServer):
    """Says what it was told to, for each input."""

    def predict(self, request: dict[str, Any]) -> list[Any]:
        return [self.get_param("what")] * len(request["inputs"])


def routed() -> Flow:
    """A router whose URLs begin with a path of the operator's own."""
    router = ModelRouter(url_prefix="/mine").add_route("one", Says, what=1).add_route("a b:v2", Says, what=2)
    flow = Flow("routed")
    flow.to(router, name="router").respond()
    return flow


def beside() -> Flow:
    """Several answers to any body."""
    flow = Flow("beside")
    flow.to(ParallelRun({"number": len, "type": lambda body: type(body).__name__})).respond()
    return flow
