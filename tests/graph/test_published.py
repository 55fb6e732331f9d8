"""The published examples of serving graphs, their graph-building lines as printed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from graph import Choice, Complete, Flow, InvalidStep, Response, ServingFunction, UnknownStep

# --- the cyclic example: an evaluator sends a generator back until it is content


class Processor:
    """Prepares the event."""

    def do(self, event: dict[str, Any]) -> dict[str, Any]:
        return {**event, "drafts": 0}


class Generator:
    """Makes a draft."""

    def do(self, event: dict[str, Any]) -> dict[str, Any]:
        return {**event, "drafts": event["drafts"] + 1}


class Evaluator:
    """Says whether it will do."""

    def do(self, event: dict[str, Any]) -> dict[str, Any]:
        return {**event, "good": event["drafts"] >= event["wanted"]}


class ChoiceHandler(Choice):
    """Sends it back or on."""

    def select_outlets(self, event: dict[str, Any]) -> list[str]:
        return ["output"] if event["good"] else ["generator"]


def responder(event: dict[str, Any]) -> str:
    return f"draft {event['drafts']} is good"


class HandleError:
    """Answers what could not be done."""

    def do_event(self, event: Any) -> Any:
        event.body = f"{event.origin_state}: {event.error}"
        return event


def published() -> Flow:
    # fmt: off
    function = ServingFunction("cyclic-function")
    # Define the graph (global cap applies unless overridden per-step)
    graph = function.set_topology(
        "flow", engine="async", allow_cyclic=True, max_iterations=100
    )
    graph.to(name="preprocess", class_name="Processor").to(
        name="generator", class_name="Generator", after="preprocess", max_iterations=30
    ).to(name="evaluator", class_name="Evaluator", after="generator").to(
        name="evaluation-loop",
        class_name="ChoiceHandler",
        cycle_to=["generator"],
        after="evaluator",
    ).to(
        name="output", handler="responder", after="evaluation-loop"
    ).respond()

    # Adding error handler to the graph
    graph.error_handler(class_name="HandleError")
    # fmt: on
    return graph


def test_the_published_cyclic_example() -> None:
    """It runs on the mock server, loops as often as it should, and its cap is handled by its handler."""
    graph = published()
    with graph.to_mock_server() as mock:
        assert mock.test("/", body={"wanted": 3}) == "draft 3 is good"
        capped = mock.test("/", body={"wanted": 31})
    assert capped.startswith("generator: Max iterations exceeded in step 'generator' for event ")


def test_a_graph_may_be_made_cyclic_after_it_was_defined() -> None:
    """allow_cyclic is a member of the graph in the function's spec."""
    serving = ServingFunction()
    graph = serving.set_topology("flow", engine="async")
    graph.to(Generator(), name="generator").to(ChoiceHandler(), name="choice").cycle_to(["generator"]).to(
        responder, name="output"
    ).respond()
    serving.spec.graph.allow_cyclic = True
    assert graph.validate() is graph


class choice(Choice):  # noqa: N801 - as the usage prints it
    """Sends it back or on."""

    def select_outlets(self, event: dict[str, Any]) -> list[str]:
        return ["post_process"] if event["good"] else ["generator"]


class generator(Generator):  # noqa: N801
    """Makes a draft."""


class evaluator(Evaluator):  # noqa: N801
    """Says whether it will do."""


def post_process(event: dict[str, Any]) -> str:
    return responder(event)


async def test_the_published_way_to_cycle_by_names() -> None:
    """``to`` and ``cycle_to`` with names alone, as the usage prints them."""
    graph = Flow(allow_cyclic=True)
    # fmt: off
    graph.to("generator").to("evaluator").to("choice").cycle_to(["generator"]).to(
        "post_process"
    ).respond()
    # fmt: on
    assert await graph.run({"wanted": 2, "drafts": 0}) == "draft 2 is good"


class MyStep:
    """The published step that chooses by itself."""

    def do(self, event: dict[str, Any]) -> dict[str, Any]:
        # Process the event
        return {"should_continue": event["left"] > 0, "left": event["left"] - 1}

    def select_outlets(self, event: dict[str, Any]) -> list[str]:
        if event["should_continue"]:
            return ["continue"]
        return ["stop"]


class MyChoiceStep(Choice):
    """The published Choice."""

    def select_outlets(self, event: dict[str, Any]) -> list[str]:
        if event["should_continue"]:
            return ["continue"]
        return ["stop"]


@pytest.mark.parametrize("chooser", [None, MyChoiceStep])
async def test_the_published_ways_to_select_outlets(chooser: type | None) -> None:
    """A step may choose after its own work, or leave it to a Choice behind it."""
    flow = Flow(allow_cyclic=True)
    step = flow.to(MyStep() if chooser is None else MyStep().do, name="step")
    chooses = step if chooser is None else step.to(chooser(), name="choice")
    chooses.to(lambda body: body, name="continue").cycle_to("step")
    chooses.to(lambda body: body["left"], name="stop").respond()
    assert await flow.run({"left": 4}) == -1


class Responds(MyStep):
    """The same as the responder."""

    def select_outlets(self, event: dict[str, Any]) -> list[str]:
        return ["continue"] if event["should_continue"] else [Complete]


async def test_the_published_outlet_of_a_responder() -> None:
    """A responder leaves the graph by the outlet Complete."""
    flow = Flow(allow_cyclic=True)
    step = flow.to(Responds(), name="step").respond()
    step.to(lambda body: body, name="continue").cycle_to("step")
    assert await flow.run({"left": 2}) == {"should_continue": False, "left": -1}


# --- the streaming step


class StreamingStep:
    """A step that yields chunks, letting others work in between."""

    def __init__(self, context: Any = None, name: str | None = None, num_chunks: int = 5) -> None:
        self.context = context
        self.name = name
        self.num_chunks = num_chunks

    async def do(self, event: Any) -> AsyncGenerator[str, None]:
        if isinstance(event, bytes):
            event = event.decode("utf-8")
        for i in range(self.num_chunks):
            await asyncio.sleep(0)
            yield f"chunk {i}: processed '{event}'\n"


def test_the_published_streaming_step() -> None:
    """Each value is a chunk."""
    function = ServingFunction("streaming-fn")
    graph = function.set_topology("flow", engine="async")
    graph.to(name="streamer", class_name="StreamingStep").respond()
    with function.to_mock_server() as mock:
        assert list(mock.test(body=b"hello")) == [f"chunk {i}: processed 'hello'\n" for i in range(5)]


# --- topology, steps by storey's names, mock server


@pytest.mark.parametrize(("arguments", "message"), [(("star",), "topology"), (("flow", "sync"), "one engine")])
def test_there_are_two_topologies_and_one_engine(arguments: tuple[str, ...], message: str) -> None:
    """What is not there is refused with a sentence."""
    with pytest.raises(InvalidStep, match=message):
        ServingFunction().set_topology(*arguments)


async def test_steps_may_be_named_as_storeys() -> None:
    """Published graphs name them so."""
    flow = Flow()
    flow.to("storey.Filter", name="filter", predicate=bool).respond()
    assert [await flow.run(body) for body in (0, 3)] == [None, 3]
    with pytest.raises(UnknownStep, match=r"'graph\.NoSuchStep' cannot"):
        Flow().to("storey.NoSuchStep")


def test_steps_may_come_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another installed distribution offers them as entry points; the error for what nobody offers lists them."""
    offered = tmp_path / "shop-1.0.dist-info"
    offered.mkdir()
    (offered / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n")
    (offered / "entry_points.txt").write_text("[penstock.steps]\nnegate = operator:neg\n")
    monkeypatch.syspath_prepend(tmp_path)
    flow = Flow()
    flow.to("hub://negate", name="negate").respond()
    assert asyncio.run(flow.run(4)) == -4
    with pytest.raises(UnknownStep, match=r"offers 'nope'.*offered are: negate"):
        Flow().to("hub://nope")


def test_case_47_the_mock_server_fails_on_a_status_of_300_or_more() -> None:
    """The error has the known wording; silent, the response itself comes back."""
    flow = Flow()
    flow.to(lambda body: Response("not here", 404), name="find").respond()
    with flow.to_mock_server() as mock:
        with pytest.raises(RuntimeError, match=r"^failed \(404\): not here$"):
            mock.test("/x", body=1, method="GET", headers={"a": "b"})
        assert mock.test(body=1, silent=True) == Response("not here", 404)


def test_case_47_the_step_sees_the_request() -> None:
    """Path, method, headers and body are the event's."""
    flow = Flow()
    flow.to(
        lambda event: [event.path, event.method, event.headers["a"], event.body], name="show", full_event=True
    ).respond()
    with flow.to_mock_server() as mock:
        assert mock.test("/x", body=1, method="PUT", headers={"a": "b"}) == ["/x", "PUT", "b", 1]


def test_case_47_silent_turns_an_error_into_a_response() -> None:
    """Nothing is raised, and the error is the body."""
    flow = Flow()
    flow.to(lambda body: 1 / body, name="divide").respond()
    with flow.to_mock_server() as mock:
        assert mock.test(body=0, silent=True) == Response("ZeroDivisionError: division by zero", 500)
