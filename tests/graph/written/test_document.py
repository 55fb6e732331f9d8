"""A flow survives being written down and read again."""

from __future__ import annotations

import json
from copy import copy as copied
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import yaml

import llm
from graph import (
    Cache,
    Choice,
    Event,
    Filter,
    Flow,
    GraphDefinitionError,
    InvalidStep,
    LLModel,
    Merge,
    Model,
    ModelRouter,
    ModelRunnerSelector,
    ModelRunnerStep,
    ParallelRun,
    UnknownStep,
    V2ModelServer,
    VotingEnsemble,
    added,
)
from llm.testing import ScriptedProvider, say


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


# --- instances that know how they were made


class Doubles(Model):
    """A model."""

    def predict(self, body: int) -> int:
        return 2 * body


class Chain(Model):
    """A model with an argument, that says what a call brought."""

    def __init__(self, name: str, model_artifact: Any = None, links: int = 1) -> None:
        super().__init__(name, model_artifact)
        self.links = links

    def predict(self, body: int, model_artifact: Any = None) -> Any:
        return [model_artifact or self.model_artifact, self.links, body]


class Larger(ModelRunnerSelector):
    """Selects by size."""

    def __init__(self, than: int, models: list[str] | None = None) -> None:
        self.than = than

    def select_models(self, event: Event, available_models: Any) -> list[str]:
        return ["twice", "shared"] if event.body > self.than else ["chain"]


class Labels(V2ModelServer):
    """Says the same of each input."""

    def predict(self, request: dict[str, Any]) -> list[Any]:
        return [self.get_param("label") for _ in request["inputs"]]


def runner(**options: Any) -> ModelRunnerStep:
    made = ModelRunnerStep("models", Larger, {"than": 5}, raise_exception=False)
    made.add_model("twice", Doubles, labels={"team": "x"}, inputs=["n"])
    made.add_model("chain", Chain, "thread_pool", "local", links=3)
    return made.add_shared_model_proxy("shared", "brought", model_endpoint_creation_strategy="overwrite", **options)


@pytest.mark.parametrize("named", [{}, {"shared_model_name": "whole"}])
async def test_a_model_runner_is_written_with_its_models(named: Any) -> None:
    """With selector, mechanisms, artifacts, proxies and the shared models of the flow; it runs the same again."""
    flow = Flow("runner").add_shared_model("whole", Chain, links=7)
    flow.to(runner(**named), max_iterations=3).respond()
    document = flow.to_dict()
    copy = yaml.safe_load(yaml.safe_dump(json.loads(json.dumps(document)), sort_keys=False))
    again = Flow.from_dict(copy)
    assert again.to_dict() == document
    for body in (6, 1):
        assert await again.run(body) == await flow.run(body)
    assert await again.run(6) == {"twice": 12, "shared": ["brought", 7, 6]}
    assert await again.run(1) == {"chain": ["local", 3, 1]}
    seen = copy["steps"]["models"]["models"]
    assert seen["twice"] == {
        "model_class": {"$ref": f"{__name__}:Doubles"},
        "labels": {"team": "x"},
        "inputs": ["n"],
    }
    assert seen["shared"]["shared_model_name"] == "whole"


def inner() -> Flow:
    flow = Flow("inner")
    flow.to(Add, name="add", number=1).respond()
    return flow


@pytest.mark.parametrize(
    ("router", "asked"),
    [
        (
            ModelRouter({"show": show}, url_prefix="/m").add_route("l", Labels, label="a", retries=1),
            [Event(1, path="/m/show"), Event({"inputs": [1]}, path="/m/l/infer")],
        ),
        (VotingEnsemble({"m": Labels}, weights={"n": 2.0}).add_route("n", Labels, label="b"), [{"inputs": [1]}]),
        (ParallelRun({"twice": Doubles, "flow": inner()}, raise_exception=True), [3]),
        (ParallelRun({"more": ParallelRun({"twice": Doubles})}).add_route("a", Add, handler="twice", number=4), [3]),
    ],
)
async def test_a_router_is_written_with_its_routes(router: Any, asked: list[Any]) -> None:
    """Classes, functions, models, flows, other routers, each with its arguments and options."""
    flow = Flow("routed")
    flow.to(router, name="router").respond()
    document = flow.to_dict()
    again = Flow.from_dict(yaml.safe_load(yaml.safe_dump(json.loads(json.dumps(document)))))
    assert again.to_dict() == json.loads(json.dumps(document))
    for body in asked:
        made, made_again = [await each.run(copied(body)) for each in (flow, again)]
        if isinstance(made, dict):
            assert {**made, "id": "", "timestamp": ""} == {**made_again, "id": "", "timestamp": ""}
        else:
            assert made == made_again


async def test_models_of_a_file_may_be_those_of_its_reader() -> None:
    """An artifact is what ``{$word: value}`` stands for, and our own models go by their short names."""
    provider = ScriptedProvider.of(say("Oslo."))
    document = yaml.safe_load(
        """
        steps:
          capital:
            class_name: graph.ModelRunnerStep
            models:
              m: {model_class: LLModel, model_artifact: {$llm: role}, result_path: out}
            respond: true
        """
    )
    flow = Flow.from_dict(document, {"$llm": lambda role: llm.Model(role, provider, role)})
    answer = await flow.run({"messages": [{"role": "user", "content": "Capital?"}]})
    assert answer["out"]["answer"] == "Oslo."


class Own(ParallelRun):
    """A router with a constructor that nobody knows of."""

    def __init__(self, depth: int) -> None:
        super().__init__({"a": Add})
        self.depth = depth


ASKED = llm.Model("m", ScriptedProvider.of(), "m")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            ModelRunnerStep("r").add_model("m", LLModel, model_artifact=ASKED),
            r"step 'r': .* cannot be written down; .*llm",
        ),
        (ModelRunnerStep("r").add_model("m", Doubles("m")), "step 'r': .*Doubles object.* cannot be written down"),
        (ModelRunnerStep("r", Larger(1)).add_model("m", Doubles), "step 'r': .*Larger object.* cannot be written down"),
        (ParallelRun({"a": lambda body: body}), "step 'r': .*lambda.* cannot be written down"),
        (ParallelRun({"a": Add(1)}), "step 'r': .*Add object.* cannot be written down"),
        (Own(3), r"step 'r': Own has a constructor of its own, so it .* definition\(step\)"),
    ],
)
def test_children_that_cannot_be_written_down_are_said(target: Any, message: str) -> None:
    """Models and prompts that were made, instances and lambdas: the step is named, and what to write instead."""
    flow = Flow()
    flow.to(target, name="r")
    with pytest.raises(InvalidStep, match=message):
        flow.to_dict()
    shared = Flow().add_shared_model("whole", LLModel, model_artifact=ASKED)
    with pytest.raises(InvalidStep, match=r"step 'shared/whole': .* cannot be written down"):
        shared.to_dict()


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        (
            {"class_name": "graph.ModelRunnerStep", "models": {"m": {"model_class": "No"}}},
            UnknownStep,
            "'No' cannot be",
        ),
        ({"class_name": "graph.ModelRunnerStep", "routes": {"a": {}}}, InvalidStep, "has no routes"),
        ({"class_name": "graph.ModelRunnerStep", "class_args": {"x": 1}, "models": {}}, InvalidStep, "argument 'x'"),
        (
            {"class_name": "graph.ParallelRun", "routes": {"a": {"clas": 1}}},
            InvalidStep,
            "unknown key 'clas' of a route",
        ),
    ],
)
def test_children_that_cannot_be_read_are_said(step: Any, error: type[GraphDefinitionError], message: str) -> None:
    """With the step and what is known."""
    with pytest.raises(error, match=f"step 'a' of flow 'flow': .*({message})"):
        Flow.from_dict({"steps": {"a": step}}).validate()
