"""A flow survives being written down and read again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import yaml

from graph import Cache, Choice, Event, Filter, Flow, GraphDefinitionError, InvalidStep, Merge, UnknownStep, added


class Add:
    """Adds a number."""

    def __init__(self, number: int, also: list[int] | None = None) -> None:
        self.number = number + sum(also or [])

    def do(self, body: int) -> int:
        return body + self.number

    def twice(self, body: int) -> int:
        return body + 2 * self.number


class Below(Choice):
    """Goes back while the body is below a limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def select_outlets(self, body: int) -> str:
        return "add" if body < self.limit else "end"


@dataclass
class Notes:
    """State with a reducer."""

    total: Annotated[int, added] = 0


def show(body: Any) -> str:
    return f"<{body}>"


def note(event: Event) -> None:
    event.state.total += 1


def sorry(event: Event) -> str:
    return f"sorry: {event.origin_state}"


def elaborate() -> Flow:
    """A flow with about everything that can be written down."""
    flow = Flow("elaborate", allow_cyclic=True, max_iterations=50, max_seconds=5, state=Notes, reducers={"x": added})
    flow.error_handler(sorry, full_event=True)
    step = flow.to(Add, name="add", number=1, also=[2, 3], handler="twice", retries=2, timeout=None)
    step.to(Below, name="below", limit=100, max_iterations=9).cycle_to("add").to(note, name="end", full_event=True)
    flow.steps["end"].to(show, name="split", cache=Cache(key=str, seconds=9, size=5))
    flow.add_step(Filter, "left", after="split", predicate=len)
    flow.add_step(show, "right", after="split").recover({ValueError: "left2"})
    flow.add_step(Merge, "merge", after=["left", "right"], into="list").respond()
    flow.add_step(show, "left2", after=(), before="merge")
    return flow


async def test_a_flow_survives_a_round_trip() -> None:
    """Through JSON and through YAML it is the same document, and it runs the same."""
    document = elaborate().to_dict()
    for copy in (json.loads(json.dumps(document)), yaml.safe_load(yaml.safe_dump(document, sort_keys=False))):
        again = Flow.from_dict(copy)
        assert again.to_dict() == document
        assert await again.run(0) == await elaborate().run(0) == ["<108>", "<<108>>"]


def test_a_document_says_no_more_than_it_must() -> None:
    """A step that follows the one before it does not say so, and defaults are left out."""
    flow = Flow("short")
    flow.to(Add, name="a", number=1).to(show, name="b").respond()
    assert flow.to_dict() == {
        "name": "short",
        "allow_cyclic": False,
        "max_iterations": 100,
        "steps": {
            "a": {"class_name": f"{__name__}:Add", "class_args": {"number": 1}},
            "b": {"class_name": f"{__name__}:show", "respond": {"drafts": "hide", "on_limit": "error"}},
        },
    }


async def test_a_flow_inside_a_flow_is_a_document_inside_a_document() -> None:
    """The inner one is written where its class would stand."""
    inner = Flow("inner")
    inner.to(Add, name="add", number=5).respond()
    outer = Flow("outer")
    outer.to(inner, name="first").to(show, name="end").respond()
    again = Flow.from_dict(outer.to_dict())
    assert again.to_dict()["steps"]["first"]["flow"]["name"] == "inner"
    assert await again.run(1) == "<6>"


async def test_documents_may_name_things_of_their_readers() -> None:
    """Whoever reads it says what ``{$word: value}`` stands for, at any depth of the arguments."""
    document = {
        "steps": {"add": {"class_name": f"{__name__}:Add", "class_args": {"number": {"$n": "x"}}, "respond": True}}
    }
    assert await Flow.from_dict(document, {"$n": len}).run(1) == 2
    document["steps"]["add"]["class_args"] = {"number": 0, "also": [{"$n": "abc"}, 1]}
    assert await Flow.from_dict(document, {"$n": len}).run(1) == 5


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda flow: flow.to(lambda body: body, name="x"), "step 'x': .* cannot be written down"),
        (lambda flow: flow.to(Add(1), name="x"), r"step 'x': .*to\(Class, argument=...\) instead of an instance"),
        (lambda flow: flow.to(Filter, name="x", predicate=lambda body: True), "step 'x': .* cannot be written down"),
    ],
)
def test_what_cannot_be_written_down_is_said(build: Any, message: str) -> None:
    """The error names the step and what to write instead."""
    flow = Flow()
    build(flow)
    with pytest.raises(InvalidStep, match=message):
        flow.to_dict()


@pytest.mark.parametrize(
    ("document", "error", "message"),
    [
        ({}, InvalidStep, "'steps' must map names to steps"),
        ({"steps": {}}, InvalidStep, "there must be at least one"),
        ({"stepz": {}}, InvalidStep, "unknown key 'stepz' of a flow; known are name, steps"),
        ({"steps": {"a": {"clas": "x"}}}, InvalidStep, "step 'a' of flow 'flow': unknown key 'clas'; known are after"),
        ({"steps": {"a": {"class_name": "no.such:Thing"}}}, UnknownStep, "step 'a' of flow 'flow': 'no.such:Thing'"),
        ({"steps": {"a": {}}}, InvalidStep, "step 'a' of flow 'flow': a step needs a class_name"),
    ],
)
def test_what_cannot_be_read_is_said(document: Any, error: type[GraphDefinitionError], message: str) -> None:
    """Faults name the flow and the step."""
    with pytest.raises(error, match=message):
        Flow.from_dict(document)


def test_the_drawing_for_graphviz() -> None:
    """The same flow as a Digraph: cycles dashed, the handler dotted, the responder doubled."""
    flow = Flow(allow_cyclic=True).error_handler(sorry)
    flow.to(Add, name="add", number=1).to(Below, name="below", limit=3).cycle_to("add").to(show, name="end").respond()
    source = flow.plot("graphviz", rankdir="TB").source
    for part in (
        "rankdir=TB",
        '"step below" -> "step add" [style=dashed]',
        "label=error style=dotted",
        "peripheries=2",
    ):
        assert part in source
    assert flow.plot(rankdir="TB").startswith("flowchart TB\n")
