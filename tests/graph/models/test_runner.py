"""ModelRunnerStep: cases 29 and 33 to 36 of the behaviour of serving graphs."""

from __future__ import annotations

import asyncio
import inspect
import multiprocessing
import os
import threading
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from graph import (
    Choice,
    Collector,
    Complete,
    DuplicateStep,
    Event,
    Flow,
    Hooks,
    Instrument,
    InvalidPath,
    InvalidSelection,
    InvalidStep,
    MaxIterationsExceeded,
    Model,
    ModelCall,
    ModelEndpoint,
    ModelRunnerError,
    ModelRunnerSelector,
    ModelRunnerStep,
    ModelSelector,
    RunError,
    StreamOnStream,
    UnknownStep,
)
from graph.errors import StreamNotCollected
from graph.models.entry import OPTIONS
from graph.recording.tape import Recording, Replay

MECHANISMS = ("naive", "asyncio", "thread_pool", "process_pool", "dedicated_process", "shared_executor")


class Times(Model):
    """Multiplies; by whatever method, and says where."""

    def __init__(self, name: str, model_artifact: Any = None, by: int = 2) -> None:
        super().__init__(name, model_artifact)
        self.by = by
        self.made_in = os.getpid()

    def load(self) -> None:
        self.loaded = True

    def predict(self, body: int) -> dict[str, Any]:
        return {"product": body * self.by, "loaded": self.loaded, "here": self.made_in == os.getpid()}

    async def predict_async(self, body: int) -> dict[str, Any]:
        await asyncio.sleep(0)
        return self.predict(body)


class Fails(Model):
    """Fails, in every place."""

    def predict(self, body: Any) -> Any:
        raise ValueError(f"no {body}")

    async def predict_async(self, body: Any) -> Any:
        raise ValueError(f"no {body}")


class Counts(Model):
    """Streams numbers; after so many it breaks."""

    def __init__(self, name: str, breaks_after: int | None = None) -> None:
        super().__init__(name)
        self.breaks_after = breaks_after

    def predict(self, body: int) -> Generator[int, None, None]:
        for number in range(body):
            if number == self.breaks_after:
                raise ValueError("enough")
            yield number

    async def predict_async(self, body: int) -> AsyncGenerator[int, None]:
        for number in self.predict(body):
            await asyncio.sleep(0)
            yield number


class ByBody(ModelRunnerSelector):
    """The body says which."""

    def select_models(self, event: Event, available_models: list[ModelEndpoint]) -> Any:
        return event.body["models"]


class Later(ModelRunnerSelector):
    """Wants to wait for something."""

    async def select_models(  # type: ignore[override]
        self, event: Event, available_models: list[ModelEndpoint]
    ) -> Any:
        return None


class OnlyPlain(Model):
    def predict(self, body: Any) -> Any:
        return body


class OnlyAsync(Model):
    async def predict_async(self, body: Any) -> Any:
        return body


@pytest.fixture
def flows() -> Iterator[list[Flow]]:
    """Flows that are closed at the end; no process may be left."""
    made: list[Flow] = []
    yield made
    for flow in made:
        flow.close()
    assert multiprocessing.active_children() == []


def of(runner: ModelRunnerStep, **options: Any) -> Flow:
    flow = Flow("models", max_processes=1)
    flow.to(runner, **options).respond()
    return flow


def placed(kind: type[Model], mechanism: str, **parameters: Any) -> Flow:
    """A flow with one model, run by a mechanism; a shared one runs in a thread."""
    runner = ModelRunnerStep("runner")
    if mechanism != "shared_executor":
        return of(runner.add_model("m", kind, mechanism, **parameters))
    flow = of(runner.add_model("m", execution_mechanism="shared_executor", shared_model_name="whole"))
    return flow.add_shared_model("whole", kind, "thread_pool", **parameters)


# --- 33: which models run, and what becomes of the body


async def test_33_one_model_makes_the_body() -> None:
    """Of one model the body is its result, even if that is None."""
    assert await of(ModelRunnerStep().add_model("m", OnlyPlain)).run([1]) == [1]
    assert await of(ModelRunnerStep().add_model("m", OnlyPlain)).run(None) is None


async def test_33_several_models_all_run() -> None:
    """Without a selector all models run, and the body is their results by endpoint."""
    runner = ModelRunnerStep("r").add_model("double", Times).add_model("triple", Times, by=3)
    results = await of(runner).run(5)
    assert {name: result["product"] for name, result in results.items()} == {"double": 10, "triple": 15}


async def test_33_a_selector_selects() -> None:
    """Those that it names run: one, several, none, or with None all of them."""
    runner = ModelRunnerStep("r", ByBody).add_model("a", OnlyPlain).add_model("b", OnlyPlain)
    flow = of(runner)
    for named, ran in ((["b"], {"b"}), ("a", {"a"}), (["a", "b"], {"a", "b"}), ([], set()), (None, {"a", "b"})):
        assert set(await flow.run({"models": named})) == ran


async def test_33_an_unknown_model_is_named() -> None:
    """A model that is not there, or is there twice, is an error that says so."""
    flow = of(ModelRunnerStep("r", ByBody).add_model("a", OnlyPlain).add_model("b", OnlyPlain))
    with pytest.raises(InvalidSelection, match="step 'r' selected the model 'x'; it has a, b"):
        await flow.run({"models": ["x"]})
    with pytest.raises(InvalidSelection, match="step 'r' selected a model twice: a, a"):
        await flow.run({"models": ["a", "a"]})
    with pytest.raises(InvalidSelection, match="its selector gave a int; it gives names of models"):
        await flow.run({"models": 5})
    with pytest.raises(InvalidSelection, match=r"selected the model '\{'a': 1\}'"):
        await flow.run({"models": [{"a": 1}]})


async def test_33_a_selector_may_select_what_it_was_shown() -> None:
    """Selectors see the endpoints, with labels and classes, and may give them back; the older kind has select()."""

    class Cheap(ModelSelector):
        def select(self, event: Event, available_models: list[ModelEndpoint]) -> list[ModelEndpoint]:
            return [model for model in available_models if model.labels.get("cost") == "low"]

    runner = ModelRunnerStep("r", model_selector=Cheap())
    runner.add_model("a", OnlyPlain, labels={"cost": "low"}).add_model("b", OnlyPlain, labels={"cost": "high"})
    assert await of(runner).run(1) == {"a": 1}


def test_labels_are_those_that_were_said() -> None:
    """Whatever becomes of the object in which they came."""
    labels = {"team": "a"}
    entry = ModelRunnerStep("r").add_model("a", OnlyPlain, labels=labels).model_entries["a"]
    labels["team"] = "b"
    assert entry.labels == {"team": "a"}


async def test_33_select_outlets_chooses_the_followers() -> None:
    """The selector may choose where the event goes, once the models have run; None goes everywhere."""

    class Route(ModelRunnerSelector):
        def select_outlets(self, event: Event) -> Sequence[str] | None:
            return None if event.body == 0 else ["big" if event.body > 9 else "small"]

    flow = Flow()
    step = flow.to(ModelRunnerStep("r", Route()).add_model("m", OnlyPlain))
    seen: list[str] = []
    for name in ("big", "small"):
        step.to(lambda body, name=name: seen.append(name), name=name)
    for number in (10, 1, 0):
        await flow.run(number)
    assert sorted(seen[:2]) == ["big", "small"]
    assert sorted(seen[2:]) == ["big", "small"]


async def test_33_models_do_not_see_each_others_changes() -> None:
    """Models that run side by side have a copy of the body each."""

    class Appends(Model):
        def predict(self, body: list[str]) -> list[str]:
            body.append(self.name)
            return body

    runner = ModelRunnerStep().add_model("a", Appends).add_model("b", Appends)
    assert await of(runner).run(["x"]) == {"a": ["x", "a"], "b": ["x", "b"]}


async def test_33_models_run_side_by_side() -> None:
    """Each waits for the other one to have begun."""
    both = asyncio.Barrier(2)

    class Meets(Model):
        async def predict_async(self, body: Any) -> Any:
            async with asyncio.timeout(30):
                await both.wait()
            return body

    assert await of(ModelRunnerStep().add_model("a", Meets).add_model("b", Meets)).run(1) == {"a": 1, "b": 1}


async def test_33_paths() -> None:
    """A model is given what stands at its input_path, and its result is a copy of the body with what it gave."""
    body = {"in": {"x": 4}, "kept": True}
    runner = ModelRunnerStep().add_model("m", OnlyPlain, input_path="in.x", result_path="out.y")
    assert await of(runner).run(body) == {"in": {"x": 4}, "kept": True, "out": {"y": 4}}
    assert body == {"in": {"x": 4}, "kept": True}
    with pytest.raises(ModelRunnerError, match=r"m: InvalidPath: the body has no key 'in'") as caught:
        await of(runner).run({})
    assert isinstance(caught.value.errors["m"], InvalidPath)


async def test_33_the_paths_of_the_step_hold_too() -> None:
    """input_path and result_path of the step are around those of its models."""
    runner = ModelRunnerStep().add_model("m", OnlyPlain, result_path="y")
    assert await of(runner, input_path="a", result_path="b").run({"a": {"x": 1}}) == {
        "a": {"x": 1},
        "b": {"x": 1, "y": {"x": 1}},
    }


async def test_33_a_model_is_given_what_it_asks_for() -> None:
    """The event, by name, with the caller and no state of the run."""

    class Asks(Model):
        def predict(self, body: Any, event: Event | None = None) -> Any:
            assert event is not None
            return event.id, event.path, event.caller

    event = Event(1, id="e", path="/p", caller="c")
    assert await of(ModelRunnerStep().add_model("m", Asks)).run(event) == ("e", "/p", "c")


async def test_33_the_step_cap_on_iterations_holds() -> None:
    """max_iterations of a model step in a cycle (case 9)."""

    class Again(ModelRunnerSelector):
        def select_outlets(self, event: Event) -> str:
            return Complete if event.body > 9 else "r"

    def flow(limit: int) -> Flow:
        built = Flow(allow_cyclic=True)
        runner = ModelRunnerStep("r", Again).add_model("m", Adds)
        built.to(runner, max_iterations=limit).cycle_to("r").respond()
        return built

    assert await flow(10).run(0) == 10
    with pytest.raises(MaxIterationsExceeded, match="step 'r'"):
        await flow(5).run(0)


class Adds(Model):
    def predict(self, body: int) -> int:
        return body + 1


def test_33_what_cannot_be_is_found_when_the_graph_is_built() -> None:
    """Each fault is told before the first run, with the remedy."""
    with pytest.raises(InvalidStep, match="has no model; add one with add_model"):
        of(ModelRunnerStep("r")).validate()
    with pytest.raises(DuplicateStep, match="has an endpoint 'a' already; write override=True"):
        ModelRunnerStep("r").add_model("a", OnlyPlain).add_model("a", OnlyPlain)
    with pytest.raises(InvalidStep, match=r"is no model; give a subclass of graph\.Model"):
        ModelRunnerStep("r").add_model("a", dict)  # type: ignore[arg-type]
    with pytest.raises(UnknownStep, match="'Nowhere' cannot be found"):
        ModelRunnerStep("r").add_model("a", "Nowhere")
    with pytest.raises(InvalidStep, match="Times cannot be made: got an unexpected keyword argument 'nonsense'"):
        of(ModelRunnerStep("r").add_model("a", Times, nonsense=1)).validate()
    with pytest.raises(InvalidStep, match="is no selector"):
        of(ModelRunnerStep("r", Choice()).add_model("a", OnlyPlain)).validate()  # type: ignore[arg-type]
    with pytest.raises(InvalidStep, match="the selector cannot be made"):
        of(ModelRunnerStep("r", ByBody, {"no": 1}).add_model("a", OnlyPlain)).validate()
    with pytest.raises(InvalidStep, match="is said of each model, in add_model"):
        of(ModelRunnerStep("r").add_model("a", OnlyPlain), execution_mechanism="thread_pool").validate()
    with pytest.raises(InvalidStep, match=r"Later\.select_models must be a plain def"):
        of(ModelRunnerStep("r", Later).add_model("a", OnlyPlain)).validate()
    with pytest.raises(InvalidStep, match="='overwritee' is not known; write one of inplace, archive, overwrite"):
        ModelRunnerStep("r").add_shared_model_proxy("a", model_endpoint_creation_strategy="overwritee")
    with pytest.raises(InvalidStep, match=r"labels=\['x'\]; write an object"):
        ModelRunnerStep("r").add_model("a", OnlyPlain, labels=["x"])  # type: ignore[arg-type]
    for option, meant in (("result_pth", "result_path"), ("lables", "labels")):
        with pytest.raises(InvalidStep, match=rf"there is no option '{option}'; did you mean '{meant}'\? if it"):
            mistyped: dict[str, Any] = {option: "x"}
            ModelRunnerStep("r").add_model("a", OnlyPlain, **mistyped)
    replaced = ModelRunnerStep("r").add_model("a", Fails).add_model("a", OnlyPlain, override=True)
    assert list(replaced.model_entries) == ["a"]


# --- 34: where models run


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_34_every_mechanism_gives_the_same(mechanism: str, flows: list[Flow]) -> None:
    """The result is the same everywhere; a model in a process is made there."""
    flow = placed(Times, mechanism, by=7)
    flows.append(flow)
    assert await flow.run(6) == {"product": 42, "loaded": True, "here": True}
    instance: Any = flow.plan.nodes["runner"].instance
    made_here = hasattr(instance._models["m"].node.instance, "model")
    assert made_here is ("process" not in mechanism)


@pytest.mark.parametrize("mechanism", MECHANISMS[2:])
async def test_34_off_the_loop(mechanism: str, flows: list[Flow]) -> None:
    """These keep the loop free."""
    flow = placed(Where, mechanism)
    flows.append(flow)
    assert await flow.run() != (os.getpid(), threading.get_ident())


class Where(Model):
    def predict(self, body: Any) -> Any:
        return os.getpid(), threading.get_ident()


@pytest.mark.parametrize(
    ("kind", "mechanism", "message"),
    [
        (OnlyPlain, "asyncio", "asyncio needs predict_async, and OnlyPlain has only predict"),
        (OnlyAsync, "thread_pool", "thread_pool needs predict, and OnlyAsync has only predict_async"),
        (Model, "naive", "naive needs predict or predict_async, and Model overrides neither"),
        (Times, "gpu", "execution_mechanism='gpu' is not known; write one of naive, .*shared_executor"),
    ],
)
def test_34_a_missing_method_fails_at_start(kind: type[Model], mechanism: str, message: str) -> None:
    """A model that lacks what its mechanism calls is refused when the graph is built."""
    with pytest.raises(InvalidStep, match=message):
        of(ModelRunnerStep("r").add_model("m", kind, mechanism)).validate()


def test_34_the_wrong_kind_of_function_fails_at_start() -> None:
    """An async predict, or a plain predict_async, is refused."""

    class Mixed(Model):
        async def predict(self, body: Any) -> Any:
            return body

        def predict_async(self, body: Any) -> Any:
            return body

    with pytest.raises(InvalidStep, match=r"Mixed\.predict must be a plain def; what awaits is called predict_async"):
        of(ModelRunnerStep("r").add_model("m", Mixed)).validate()
    with pytest.raises(InvalidStep, match=r"Mixed\.predict_async must be an async def"):
        of(ModelRunnerStep("r").add_model("m", Mixed, "asyncio")).validate()


async def test_34_an_async_model_runs_in_a_process(flows: list[Flow]) -> None:
    """A worker has a loop of its own."""
    flow = placed(OnlyAsync, "dedicated_process")
    flows.append(flow)
    assert await flow.run("x") == "x"


def test_34_a_model_that_cannot_be_sent_fails_at_start() -> None:
    """A class inside a function cannot be in a process, and the message says what to write."""

    class Local(Model):
        def predict(self, body: Any) -> Any:
            return body

    with pytest.raises(InvalidStep, match="define Local at the top of a module"):
        of(ModelRunnerStep("r").add_model("m", Local, "process_pool")).validate()


async def test_34_one_step_may_use_several_mechanisms(flows: list[Flow]) -> None:
    """Each model has a mechanism of its own."""
    runner = ModelRunnerStep("r").add_model("a", Times, "asyncio").add_model("b", Times, "process_pool", by=3)
    flow = of(runner)
    flows.append(flow)
    results = await flow.run(2)
    assert (results["a"]["product"], results["b"]["product"]) == (4, 6)


# --- 35: models that fail


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_35_raise_exception(mechanism: str, flows: list[Flow]) -> None:
    """By default the step fails, with the error of each model; the next run works."""
    flow = placed(Fails, mechanism)
    flows.append(flow)
    for _ in range(2):
        with pytest.raises(ModelRunnerError, match="step 'runner': m: ValueError: no bread") as caught:
            await flow.run("bread")
        assert isinstance(caught.value.errors["m"], ValueError)


async def test_35_all_errors_are_told() -> None:
    """The error has those of all models that failed."""
    runner = ModelRunnerStep("r").add_model("a", Fails).add_model("b", Fails).add_model("c", OnlyPlain)
    with pytest.raises(ModelRunnerError) as caught:
        await of(runner).run("x")
    assert set(caught.value.errors) == {"a", "b"}


async def test_35_the_error_stands_in_the_body() -> None:
    """With raise_exception=False it stands under its model."""
    runner = ModelRunnerStep("r", raise_exception=False).add_model("bad", Fails).add_model("good", OnlyPlain)
    assert await of(runner).run("x") == {"bad": {"error": "ValueError: no x"}, "good": "x"}
    alone = ModelRunnerStep("r", raise_exception=False).add_model("bad", Fails)
    assert await of(alone).run("x") == {"error": "ValueError: no x"}


async def test_35_a_handler_takes_it() -> None:
    """It is an error like any other."""
    flow = of(ModelRunnerStep("r").add_model("m", Fails))
    flow.error_handler(lambda event: str(event.error), name="handler", full_event=True)
    assert await flow.run("x") == "step 'r': m: ValueError: no x"


# --- 36: shared models


class Asked(Model):
    """Says which artifact a call brought, and how often it was called."""

    calls = 0

    def predict(self, body: Any, model_artifact: Any = None) -> Any:
        self.calls += 1
        return model_artifact, self.calls


@pytest.mark.parametrize("mechanism", ["naive", "thread_pool", "process_pool", "dedicated_process"])
async def test_36_one_instance_and_many_endpoints(mechanism: str, flows: list[Flow]) -> None:
    """Proxies in several steps call one model, each with the artifact that it brings."""
    flow = Flow(max_processes=1).add_shared_model("whole", Asked, mechanism)
    flows.append(flow)
    first = ModelRunnerStep("first", ByBody).add_shared_model_proxy("a", "A").add_shared_model_proxy("b", "B", "whole")
    second = ModelRunnerStep("second").add_shared_model_proxy("a", "C")
    flow.to(first, result_path="first").to(second, result_path="second").respond()
    body = await flow.run({"models": ["b"]})
    assert body["first"] == {"b": ("B", 1)}
    assert body["second"] == ("C", 2)
    assert (await flow.run({"models": ["a"]}))["first"] == {"a": ("A", 3)}


def test_36_the_shared_model_must_be_there() -> None:
    """Proxies name one that is; only where there is just one the name may be left out."""
    runner = ModelRunnerStep("r").add_shared_model_proxy("a", shared_model_name="x")
    with pytest.raises(UnknownStep, match="endpoint 'a' of step 'r' needs the shared model 'x'; the graph has none"):
        of(runner).validate()
    with pytest.raises(UnknownStep, match="needs the shared model 'x'; the graph has y"):
        of(runner).add_shared_model("y", OnlyPlain).validate()
    unnamed = of(ModelRunnerStep("r").add_shared_model_proxy("a"))
    with pytest.raises(UnknownStep, match=r"needs a shared model, by shared_model_name=; the graph has y, z"):
        unnamed.add_shared_model("y", OnlyPlain).add_shared_model("z", OnlyPlain).validate()
    with pytest.raises(DuplicateStep, match="has a shared model 'y' already"):
        unnamed.add_shared_model("y", OnlyPlain)
    with pytest.raises(InvalidStep, match="say which by shared_model_name="):
        ModelRunnerStep("r").add_model("a", execution_mechanism="shared_executor")


async def test_36_a_proxy_may_have_paths_of_its_own() -> None:
    """They go before those of the shared model, and what monitors are told of inputs and outputs too."""
    shared: dict[str, Any] = {"execution_mechanism": "shared_executor", "shared_model_name": "whole"}
    told: dict[str, Any] = {"input_path": "x", "result_path": "z", "inputs": ["a"], "outputs": ["b"]}
    shown: list[ModelEndpoint] = []

    class Shown(ModelRunnerSelector):
        def select_models(self, event: Event, available_models: list[ModelEndpoint]) -> None:
            shown.extend(available_models)

    flow = of(ModelRunnerStep("r", Shown).add_model("a", **shared, **told))
    flow.add_shared_model("whole", OnlyPlain, result_path="y")
    assert await flow.run({"x": 1}) == {"x": 1, "z": 1}
    assert [(each.inputs, each.outputs) for each in shown] == [(("a",), ("b",))]
    with pytest.raises(InvalidStep, match="model 'a' streams, so there is no body"):
        of(ModelRunnerStep("r").add_model("a", **shared, **told)).add_shared_model("whole", Counts).validate()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            {"execution_mechanism": "shared_executor", "shared_model_name": "x", "factor": 3},
            "factor= is for the shared model: say it in",
        ),
        ({"shared_model_name": "x"}, "'a' is no proxy of 'x'; write execution_mechanism='shared_executor'"),
        ({"model_class": OnlyPlain("own"), "model_artifact": "x"}, "made already, so model_artifact= says nothing"),
        ({"model_class": OnlyPlain("own"), "factor": 3}, "made already, so factor= says nothing"),
    ],
)
def test_36_what_would_say_nothing_to_a_model_is_refused(said: dict[str, Any], message: str) -> None:
    """It would be read and forgotten."""
    with pytest.raises(InvalidStep, match=message):
        ModelRunnerStep("r").add_model("a", **said)


@pytest.mark.parametrize("selector", [None, ByBody()])
def test_33_parameters_of_no_class_are_refused(selector: ModelRunnerSelector | None) -> None:
    """A selector that is made, or none, takes no arguments any more."""
    with pytest.raises(InvalidStep, match="parameters of a selector are for a class"):
        ModelRunnerStep("r", selector, {"most": 3})


async def test_36_the_paths_of_a_shared_model_hold_for_its_proxies() -> None:
    """result_path was said once."""
    flow = of(ModelRunnerStep("r").add_shared_model_proxy("a"))
    flow.add_shared_model("whole", OnlyPlain, input_path="x", result_path="y")
    assert await flow.run({"x": 1}) == {"x": 1, "y": 1}


# --- 29: models that stream


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_29_every_mechanism_gives_the_same_chunks(mechanism: str, flows: list[Flow]) -> None:
    """A generator streams, live to the client, wherever it runs."""
    flow = placed(Counts, mechanism)
    flows.append(flow)
    assert flow.streaming.kind == "live"
    async with aclosing(flow.stream(3)) as chunks:
        assert [chunk async for chunk in chunks] == [0, 1, 2]


async def test_29_one_streaming_model_of_two_selected() -> None:
    """The one that is selected streams; one that does not is one chunk."""
    runner = ModelRunnerStep("r", ByLength).add_model("counts", Counts).add_model("plain", OnlyPlain)
    flow = of(runner)
    assert await flow.run(3) == [0, 1, 2]
    assert await flow.run(0) == {"plain": 0}


class ByLength(ModelRunnerSelector):
    def select_models(self, event: Event, available_models: list[ModelEndpoint]) -> Any:
        return "counts" if event.body else "plain"


async def test_29_two_selected_models_cannot_stream() -> None:
    """Found when the graph is built where no selector could help, else when it happens."""
    both = r"Streaming is not supported when multiple runnables are selected\."
    with pytest.raises(InvalidStep, match=both):
        of(ModelRunnerStep("r").add_model("a", Counts).add_model("b", OnlyPlain)).validate()

    class All(ModelRunnerSelector):
        def select_models(self, event: Event, available_models: list[ModelEndpoint]) -> list[ModelEndpoint]:
            return available_models

    flow = of(ModelRunnerStep("r", All()).add_model("a", Counts).add_model("b", Counts))
    with pytest.raises(InvalidSelection, match=rf"{both} Step 'r' selected a, b"):
        await flow.run(1)


async def test_29_a_streaming_model_that_fails() -> None:
    """The client has the chunks before; then the error, or what tells it."""
    flow = of(ModelRunnerStep("r").add_model("m", Counts, breaks_after=2))
    got: list[Any] = []
    with pytest.raises(ModelRunnerError, match="m: ValueError: enough"):
        async with aclosing(flow.stream(5)) as chunks:
            async for chunk in chunks:
                got.append(chunk)
    assert got == [0, 1]
    told = of(ModelRunnerStep("r", raise_exception=False).add_model("m", Counts, breaks_after=1))
    assert await told.run(5) == [0, {"error": "ValueError: enough"}]


def test_29_stream_on_stream_is_found_at_build() -> None:
    """A streaming model after a streaming step needs a Collector between them, and has no body to put a result into."""
    flow = Flow()
    flow.to(ModelRunnerStep("a").add_model("m", Counts)).to(ModelRunnerStep("b").add_model("m", Counts)).respond()
    with pytest.raises(StreamNotCollected, match="Streaming on top of streaming is not allowed"):
        flow.validate()
    flow = Flow()
    flow.to(ModelRunnerStep("a").add_model("m", Counts)).to(Collector()).to(
        ModelRunnerStep("b").add_model("m", Counts)
    ).respond()
    assert flow.streaming.kind == "live"
    with pytest.raises(InvalidStep, match="put a Collector after the step, with result_path= there"):
        of(ModelRunnerStep("a").add_model("m", Counts, result_path="x")).validate()


async def test_29_a_client_that_leaves_closes_the_model() -> None:
    """The generator's finally has run when the client's stream is closed."""
    closed = []

    class Endless(Model):
        async def predict_async(self, body: Any) -> AsyncGenerator[int, None]:
            try:
                while True:
                    yield 1
            finally:
                closed.append(True)

    async with aclosing(of(ModelRunnerStep("r").add_model("m", Endless)).stream()) as chunks:
        assert await anext(chunks) == 1
    assert closed == [True]


async def test_29_a_plain_model_may_not_return_a_stream() -> None:
    """What the graph cannot know of is an error."""

    class Hidden(Model):
        def predict(self, body: Any) -> Any:
            return (number for number in range(3))

    with pytest.raises(ModelRunnerError, match="returned a stream; write it with yield"):
        await of(ModelRunnerStep("r").add_model("m", Hidden)).run()
    assert not issubclass(StreamOnStream, ModelRunnerError)


# --- monitors


class Monitor(Instrument):
    """Keeps the calls of models."""

    def __init__(self) -> None:
        self.calls: list[ModelCall] = []

    def after_model(self, run: Any, event: Event, call: ModelCall) -> None:
        self.calls.append(call)


async def test_monitors_see_every_call() -> None:
    """Endpoint, labels, what was given, what came, what failed and how long it took."""
    monitor = Monitor()
    runner = ModelRunnerStep("r", raise_exception=False)
    runner.add_model("good", OnlyPlain, labels={"team": "x"}, inputs=["i"], outputs=["o"], input_path="i")
    runner.add_model("bad", Fails)
    await of(runner).run({"i": 1}, hooks=Hooks.of([monitor]))
    good, bad = sorted(monitor.calls, key=lambda call: call.endpoint.name, reverse=True)
    assert (good.endpoint.name, good.endpoint.step, good.endpoint.labels) == ("good", "r", {"team": "x"})
    assert (good.endpoint.inputs, good.endpoint.outputs, good.endpoint.model_class) == (("i",), ("o",), OnlyPlain)
    assert (good.body, good.result, good.error) == (1, 1, None)
    assert isinstance(bad.error, ValueError)
    assert min(good.seconds, bad.seconds) >= 0


async def test_monitors_see_whole_streams() -> None:
    """Of a stream the chunks, once it has ended."""
    monitor = Monitor()
    await of(ModelRunnerStep("r").add_model("m", Counts)).run(3, hooks=Hooks.of([monitor]))
    assert [call.result for call in monitor.calls] == [[0, 1, 2]]


async def test_monitors_see_that_a_client_left() -> None:
    """A call that was cut off is none that gave nothing, and a stream that was left is not whole."""

    class Waits(Model):
        async def predict_async(self, body: asyncio.Event) -> None:
            body.set()
            await asyncio.Event().wait()

    monitor, begun = Monitor(), asyncio.Event()
    running = asyncio.create_task(of(ModelRunnerStep("r").add_model("m", Waits)).run(begun, hooks=Hooks.of([monitor])))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    stream = of(ModelRunnerStep("r").add_model("m", Counts)).stream(3, hooks=Hooks.of([monitor]))
    async with aclosing(stream) as chunks:
        assert await anext(chunks) == 0
    assert [type(call.error) for call in monitor.calls] == [asyncio.CancelledError, GeneratorExit]
    assert [call.result for call in monitor.calls] == [None, None]


async def test_a_replay_needs_no_process() -> None:
    """What a model in a process made, value or stream, goes over the tape as a whole."""
    for kind, body in ((Times, 4), (Counts, 3)):
        flow = placed(kind, "dedicated_process")
        event, tape = Event(body, id="e"), Recording()
        event.tape = tape
        made = await flow.start(event).result()
        flow.close()
        again = Event(body, id="e")
        again.tape = Replay(tape.entries, tape.steps)
        assert await flow.start(again).result() == made
        assert multiprocessing.active_children() == []


async def test_a_batch_goes_as_bodies() -> None:
    """A model is given the list of bodies; its result must have as many where it goes into them."""

    class Short(Model):
        def predict(self, body: list[Any]) -> list[Any]:
            return body[:1]

    flow = of(ModelRunnerStep("r").add_model("m", OnlyPlain, result_path="y"))
    assert await flow.run([Event({"x": 1}), {"x": 2}]) == [{"x": 1, "y": {"x": 1}}, {"x": 2, "y": {"x": 2}}]
    with pytest.raises(ModelRunnerError, match="a batch of 2 needs as many results, and the model gave 1") as caught:
        await of(ModelRunnerStep("r").add_model("m", Short, result_path="y")).run([{}, {}])
    assert isinstance(caught.value.errors["m"], RunError)


def test_the_options_that_are_meant_by_mistyped_ones_are_those_of_add_model() -> None:
    """A new one would not be found; an old one would be offered."""
    taken = inspect.signature(ModelRunnerStep.add_model).parameters
    assert set(OPTIONS) == set(taken) - {"self", "endpoint_name", "model_parameters"}
