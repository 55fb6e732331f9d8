"""ModelRouter, VotingEnsemble, ParallelRun: case 40 of the behaviour of serving graphs."""

from __future__ import annotations

import multiprocessing
from collections.abc import Generator
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from graph import (
    DuplicateStep,
    Event,
    Flow,
    Hooks,
    Instrument,
    InvalidInput,
    InvalidStep,
    Model,
    ModelCall,
    ModelRouter,
    ModelRunnerError,
    ParallelRun,
    RunError,
    ServingFunction,
    TokensExceeded,
    UnknownRoute,
    V2ModelServer,
    VotingEnsemble,
)


class Says(V2ModelServer):
    """Says the same for each input."""

    def predict(self, request: dict[str, Any]) -> Any:
        return [self.get_param("what") for _ in request["inputs"]]

    def op_shout(self, event: Event) -> str:
        return f"{self.name} {event.body}!"


class Fails(V2ModelServer):
    def predict(self, request: dict[str, Any]) -> Any:
        raise ValueError("broken")


class Plain(Model):
    """A Model as a route."""

    def predict(self, body: dict[str, Any]) -> list[str]:
        return ["plain" for _ in body["inputs"]]


def of(router: Any, name: str = "router") -> Flow:
    flow = Flow("routes")
    flow.to(router, name=name).respond()
    return flow


def two(**options: Any) -> ModelRouter:
    return ModelRouter(**options).add_route("m1", Says, what="one").add_route("m2", Says, what="two")


def ensemble(*said: Any, **options: Any) -> VotingEnsemble:
    voting = VotingEnsemble(**options)
    for number, what in enumerate(said, 1):
        voting.add_route(f"m{number}", Fails if what is Fails else Says, **({} if what is Fails else {"what": what}))
    return voting


async def voted(voting: VotingEnsemble) -> Any:
    return (await of(voting).run({"inputs": [1]}))["outputs"]


# --- by URL, by body


async def test_40_by_url() -> None:
    """The model and the operation are in the path."""
    flow = of(two())
    answer = await flow.run(Event({"inputs": [1], "id": "x"}, path="/v2/models/m2/infer"))
    assert (answer["id"], answer["model_name"], answer["outputs"]) == ("x", "m2", ["two"])
    assert await flow.run(Event({}, path="/v2/models/m1/shout")) == "m1 {}!"


async def test_40_by_body() -> None:
    """Or they are in the body; a body may be JSON text."""
    flow = of(two())
    assert (await flow.run({"model": "m2", "inputs": [1]}))["outputs"] == ["two"]
    assert (await flow.run(b'{"model": "m1", "inputs": [1]}'))["outputs"] == ["one"]
    assert str(await flow.run({"model": "m1", "operation": "shout"})).startswith("m1 ")


async def test_40_unknown_models_list_what_there_is() -> None:
    """By either way, and when nothing is named."""
    flow = of(two())
    for event in (Event({"inputs": []}, path="/v2/models/m3/infer"), Event({"model": "m3"})):
        with pytest.raises(UnknownRoute, match=r"router 'router' has no model 'm3'; .* with one of m1, m2"):
            await flow.run(event)
    nothing: tuple[Any, ...] = ({}, "text", None)
    for body in nothing:
        with pytest.raises(UnknownRoute, match="needs to know which model"):
            await flow.run(body)


async def test_40_one_route_needs_no_name() -> None:
    """There is nothing to choose."""
    assert (await of(ModelRouter().add_route("m", Says, what=1)).run({"inputs": [1]}))["outputs"] == [1]


async def test_40_versions() -> None:
    """A version chooses among routes that have one; else it does not matter."""
    versions = ModelRouter().add_route("m:1", Says, what="old").add_route("m:2", Says, what="new")
    flow = of(versions.add_route("n", Says, what="only"))
    for path, said in (("m/versions/2", "new"), ("m/versions/1", "old"), ("n/versions/7", "only")):
        assert (await flow.run(Event({"inputs": [1]}, path=f"/v2/models/{path}/infer")))["outputs"] == [said]
    with pytest.raises(UnknownRoute, match="has no model 'm:3'"):
        await flow.run(Event({"inputs": [1]}, path="/v2/models/m/versions/3/infer"))


async def test_40_the_list_of_models_and_another_prefix() -> None:
    """A GET of the prefix lists the routes."""
    flow = of(two(url_prefix="api"))
    assert await flow.run(Event(None, path="/api/", method="GET")) == {"models": ["m1", "m2"]}
    assert await flow.run(Event(None, path="/api/m1/ready", method="GET")) == {"name": "m1", "ready": True}
    assert (await flow.run(Event({"inputs": [1]}, path="/api/m1/infer")))["outputs"] == ["one"]


def words(body: Any) -> Generator[str, None, None]:
    yield from ("to", "be")


async def test_40_any_step_may_be_a_route() -> None:
    """A function, a flow, a Model in a process, a generator that streams."""
    inner = Flow("inner")
    inner.to(lambda body: {**body, "inner": True}, name="mark").respond()
    router = ModelRouter({"words": words, "flow": inner, "len": len})
    flow = of(router.add_route("plain", Plain, execution_mechanism="dedicated_process"))
    assert await flow.run({"model": "len"}) == 1
    assert await flow.run({"model": "flow"}) == {"model": "flow", "inner": True}
    assert await flow.run({"model": "plain", "inputs": [1]}) == ["plain"]
    async with aclosing(flow.stream({"model": "words"})) as chunks:
        assert [chunk async for chunk in chunks] == ["to", "be"]
    flow.close()
    assert multiprocessing.active_children() == []


def test_40_faults_of_routers_are_found_at_build() -> None:
    """No route, two of a name, a mechanism for the router, a route that cannot be made."""
    with pytest.raises(InvalidStep, match="has no route; add one with add_route"):
        of(ModelRouter()).validate()
    with pytest.raises(DuplicateStep, match="there is a route 'm1' already"):
        two().add_route("m1", Says)
    with pytest.raises(InvalidStep, match="is said of each route, in add_route"):
        Flow().to(two(), name="r", execution_mechanism="thread_pool").flow.validate()
    with pytest.raises(InvalidStep, match="step 'router/x': 7 has no method"):
        of(ModelRouter({"x": 7})).validate()


# --- VotingEnsemble


async def test_40_labels_by_majority() -> None:
    """The label that most say; of equally many that of the route that was added first."""
    assert await voted(ensemble("cat", "dog", "cat")) == ["cat"]
    assert await voted(ensemble("dog", "cat")) == ["dog"]
    assert await voted(ensemble(1, 2, 2)) == [2]
    assert await voted(ensemble(True, False, False)) == [False]


async def test_40_numbers_by_weighted_mean() -> None:
    """Numbers with a float among them, or said to be numbers."""
    assert await voted(ensemble(1.0, 3.0)) == [2.0]
    assert await voted(ensemble(1.0, 3.0, weights={"m1": 3.0})) == [1.5]
    assert await voted(ensemble(1, 4, vote_type="regression")) == [2.5]
    assert await voted(ensemble(np.float64(1.0), np.float64(2.0))) == [1.5]
    half = VotingEnsemble({"a": lambda body: [1, 2.5], "b": lambda body: [2, 2]})
    assert (await of(half).run({"inputs": [0, 0]}))["outputs"] == [1.5, 2.25]


async def test_40_labels_by_weight() -> None:
    """Weights count for labels too."""
    assert await voted(ensemble("a", "b", "b", weights={"m1": 5})) == ["a"]
    assert await voted(ensemble(1.0, 2.0, 2.0, vote_type="classification")) == [2.0]


async def test_40_each_input_is_voted_on() -> None:
    """And routes may be Models, with plain lists."""
    voting = VotingEnsemble({"a": Plain, "b": Plain}).add_route("c", Says, what="other")
    answer = await of(voting, "vote").run(Event({"inputs": [1, 2], "id": "i"}, path="/v2/models/vote/infer"))
    assert answer.pop("timestamp")
    assert answer == {"id": "i", "model_name": "vote", "outputs": ["plain", "plain"]}


async def test_40_the_urls_of_an_ensemble() -> None:
    """The ensemble by its name or by the operation alone; its models at their own; the list has all of them."""
    flow = of(ensemble("a", "b", "b"), "vote")
    for path, said in (("vote/infer", "b"), ("infer", "b"), ("vote", "b"), ("", "b"), ("m1/infer", "a")):
        assert (await flow.run(Event({"inputs": [1]}, path=f"/v2/models/{path}")))["outputs"] == [said]
    assert await flow.run(Event(None, path="/v2/models/", method="GET")) == {"models": ["m1", "m2", "m3", "vote"]}
    for path in ("m9/infer", "vote/explain", "nope"):
        with pytest.raises(UnknownRoute, match="models are m1, m2, m3, vote, operation is infer"):
            await flow.run(Event({"inputs": [1]}, path=f"/v2/models/{path}"))
    with pytest.raises(InvalidInput, match='Expected key "inputs" in request body'):
        await flow.run({})


async def test_40_a_model_of_an_ensemble_that_fails() -> None:
    """By default an error; else the others vote, and the answer tells it; never do none."""
    with pytest.raises(ModelRunnerError, match="step 'router': m2: ValueError: broken"):
        await voted(ensemble("a", Fails))
    answer = await of(ensemble("a", Fails, raise_exception=False)).run({"inputs": [1]})
    assert (answer["outputs"], answer["errors"]) == (["a"], {"m2": "ValueError: broken"})
    with pytest.raises(ModelRunnerError, match="m1: ValueError"):
        await voted(ensemble(Fails, raise_exception=False))


async def test_40_votes_that_cannot_be_counted() -> None:
    """Too few outputs, labels that are to be averaged, what is no label."""
    short = VotingEnsemble({"m": lambda body: [1]})
    with pytest.raises(RunError, match="model 'm' must answer a list of 2 outputs, one an input"):
        await of(short).run({"inputs": [1, 2]})
    with pytest.raises(RunError, match="can average numbers only"):
        await voted(ensemble("a", vote_type="regression"))
    with pytest.raises(RunError, match=r"counts labels; 'm1' says \['a'\]"):
        await voted(ensemble(["a"]))


def test_40_weights_are_checked_at_build() -> None:
    """Unknown names, negative weights, nobody who votes, an unknown kind of vote, a route that streams."""
    for weights, message in (
        ({"x": 1.0}, "has a weight for 'x'; its routes are m1"),
        ({"m1": -1.0}, "the weight of 'm1' is -1.0; write 0 or more"),
        ({"m1": 0.0}, "all weights are 0"),
        ({"m1": "1"}, "the weight of 'm1' is '1'; write 0 or more"),
        ({"m1": float("inf")}, "the weight of 'm1' is inf; write 0 or more"),
    ):
        with pytest.raises(InvalidStep, match=message):
            of(ensemble("a", weights=weights)).validate()
    with pytest.raises(InvalidStep, match="vote_type='x' is not known"):
        VotingEnsemble(vote_type="x")  # type: ignore[arg-type]
    with pytest.raises(InvalidStep, match="needs whole results, and its route 'w' streams"):
        of(VotingEnsemble({"w": words})).validate()


# --- ParallelRun


def broken(body: Any) -> Any:
    raise KeyError("gone")


def appended(body: dict[str, Any]) -> Any:
    body["seen"] = body.get("seen", 0) + 1
    return body["seen"]


async def test_40_results_by_model() -> None:
    """Every child has a copy of the body; the results stand by name."""
    assert await of(ParallelRun({"a": appended, "b": appended})).run({}) == {"a": 1, "b": 1}
    extended = ParallelRun({"a": appended}, extend_event=True)
    assert await of(extended).run({"x": 1}) == {"x": 1, "a": 1, "seen": 1}
    with pytest.raises(InvalidInput, match="extends the body, which is a int, no dict"):
        await of(extended).run(1)


async def test_40_a_child_that_fails_is_reported() -> None:
    """Its error stands under its name, or is raised; those who watch are told."""
    calls: list[ModelCall] = []

    class Monitor(Instrument):
        def after_model(self, run: Any, event: Event, call: ModelCall) -> None:
            calls.append(call)

    result = await of(ParallelRun({"a": appended, "bad": broken})).run({}, hooks=Hooks.of([Monitor()]))
    assert result == {"a": 1, "bad": {"error": "KeyError: 'gone'"}}
    assert {call.endpoint.name: type(call.error) for call in calls} == {"a": type(None), "bad": KeyError}
    with pytest.raises(ModelRunnerError, match="bad: KeyError: 'gone'"):
        await of(ParallelRun({"a": appended, "bad": broken}, raise_exception=True)).run({})


async def test_40_a_cap_is_no_error_of_a_child() -> None:
    """It ends the run."""

    def capped(body: Any) -> Any:
        raise TokensExceeded("too many")

    with pytest.raises(TokensExceeded):
        await of(ParallelRun({"a": capped})).run({})


# --- MLRun's topology of a router


def test_40_the_published_simple_router() -> None:
    """A function with models, and no flow."""
    fn = ServingFunction("models")
    fn.add_model("model1", model_path="path-1", class_name="Says", what=5)
    fn.add_model("model2", model_path="path-2", class_name="Says", what=6)
    with fn.to_mock_server() as mock:
        assert mock.test("/v2/models/model1/infer", body={"inputs": [5]})["outputs"] == [5]
        assert mock.test("/v2/models/", method="GET") == {"models": ["model1", "model2"]}


def test_40_a_function_with_the_topology_of_an_ensemble() -> None:
    """set_topology gives the router to add routes to."""
    fn = ServingFunction("vote")
    router = fn.set_topology("router", class_name="mlrun.serving.VotingEnsemble", vote_type="regression")
    router.add_route("m1", Says, what=1).add_route("m2", Says, what=2)
    with fn.to_mock_server() as mock:
        assert mock.test("/v2/models/vote/infer", body={"inputs": [0]})["outputs"] == [1.5]
    with pytest.raises(InvalidStep, match="is no router"):
        fn.set_topology("router", class_name=dict)
    with pytest.raises(InvalidStep, match="write 'flow' or 'router'"):
        fn.set_topology("star")
    with pytest.raises(InvalidStep, match="needs class_name="):
        fn.add_model("x")
