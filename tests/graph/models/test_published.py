"""The published examples with models, as printed but for imports and artifact names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any, Union

import pytest

import llm
from graph import (
    AsyncSpec,
    Event,
    Flow,
    InvalidStep,
    Model,
    ModelEndpointCreationStrategy,
    ModelRunnerSelector,
    ModelRunnerStep,
    ModelSelector,
    Project,
)
from llm.providers.openai import OpenAIProvider
from llm.testing import ScriptedUpstream
from llm.testing.upstream import answer
from prompts import LLMPromptArtifact


def prompt(name: str) -> LLMPromptArtifact:
    return LLMPromptArtifact(name, [{"role": "user", "content": name + ": {{ question }}"}])


@asynccontextmanager
async def upstream(*answers: str) -> AsyncIterator[tuple[ScriptedUpstream, llm.Model]]:
    """A model behind a real socket, which processes can reach too."""
    async with ScriptedUpstream(*map(answer, answers)) as server:
        provider = OpenAIProvider(server.base_url)
        yield server, llm.Model("mini", provider, "mini-1")
        await provider.close()


project, image = Project("tutorial"), "mlrun/mlrun"


class MyModelSelector(ModelRunnerSelector):
    """The selector that the example names."""

    def select_models(self, event: Event, available_models: Any) -> Any:
        return event.body["topics"]


async def test_36_a_shared_model_with_two_proxies() -> None:
    """Finance and sport share one model in a process of its own, each with its prompt."""
    finance_llm_prompt_artifact, sport_llm_prompt_artifact = prompt("finance"), prompt("sport")
    async with upstream("Up.", "2:1.") as (server, model_artifact):
        # fmt: off
        function = project.set_function(
            name="open-ai-tut",
            kind="serving",
            tag="latest",
            func="./src/LLM_file.py",
            image=image,
            requirements=["openai==1.77.0"],
        )
        graph = function.set_topology("flow", engine="async")

        model_runner_step = ModelRunnerStep(
            name="model_runner_step", model_selector="MyModelSelector"
        )

        graph.add_shared_model(
            name="shared_llm",
            execution_mechanism="dedicated_process",
            model_class="LLModel",
            model_artifact=model_artifact,
            result_path="outputs",
        )

        model_runner_step.add_shared_model_proxy(
            endpoint_name="finance_endpoint",
            model_artifact=finance_llm_prompt_artifact,
            shared_model_name="shared_llm",
            model_endpoint_creation_strategy=ModelEndpointCreationStrategy.OVERWRITE,
        )
        model_runner_step.add_shared_model_proxy(
            endpoint_name="sport_endpoint",
            model_artifact=sport_llm_prompt_artifact,
            shared_model_name="shared_llm",
            model_endpoint_creation_strategy=ModelEndpointCreationStrategy.OVERWRITE,
        )

        graph.to(model_runner_step).respond()
        # fmt: on
        try:
            for topic, said in (("finance_endpoint", "Up."), ("sport_endpoint", "2:1.")):
                body = await graph.run({"topics": [topic], "question": "Well?"})
                assert body[topic]["outputs"]["answer"] == said
                assert body[topic]["question"] == "Well?"
        finally:
            graph.close()
        asked = [received.body["messages"][0]["content"] for received in server.received]
    assert asked == ["finance: Well?", "sport: Well?"]


# The published selector, as printed. It asks for the models, and is given the names of the endpoints.
# fmt: off
class MyClassifier(ModelSelector):
    def __init__(self, models: Union[list[str], list[Model]]):  # noqa: UP007
        super().__init__()
        self.models = deepcopy(models)

    def select(  # type: ignore[no-untyped-def, override]
        self, event, available_models: list[Model]  # type: ignore[override]
    ) -> Union[list[str], list[Model]]:  # noqa: UP007
        current_models = event.body.get("models")
        if current_models and set(current_models).issubset(set(self.models)):
            return current_models  # type: ignore[no-any-return]
        return []
# fmt: on


async def test_33_the_classifier_selector() -> None:
    """Two models by different mechanisms; the body says which of them run."""
    llm_prompt_1, llm_prompt_2 = prompt("one"), prompt("two")
    async with upstream("1", "2", "3") as (_, model):
        llm_prompt_artifact_1 = llm.LLModel(model, llm_prompt_1)
        llm_prompt_artifact_2 = llm.LLModel(model, llm_prompt_2)
        # fmt: off
        function = project.set_function(
            name="my-project",
            kind="serving",
            tag="latest",
            func="my-func",
            image=image,
            requirements=["openai==1.77.0"],
        )
        graph = function.set_topology("flow", engine="async")

        model_runner_step = ModelRunnerStep(
            name="model_runner_step",
            model_runner_selector="MyClassifier",  # Classify which model should be used
        )

        model_runner_step.add_model(
            endpoint_name="endpoint-1",
            model_artifact=llm_prompt_artifact_1,
            execution_mechanism="thread_pool",
            model_class="LLModel",
        )
        model_runner_step.add_model(
            endpoint_name="endpoint-2",
            model_artifact=llm_prompt_artifact_2,
            execution_mechanism="process_pool",
            model_class="LLModel",
        )

        graph.to(model_runner_step).respond()
        # fmt: on
        try:
            first = await graph.run({"models": ["endpoint-1"], "question": "?"})
            assert {name: result["answer"] for name, result in first.items()} == {"endpoint-1": "1"}
            both = await graph.run({"models": ["endpoint-1", "endpoint-2"], "question": "?"})
            assert {result["answer"] for result in both.values()} == {"2", "3"}
            assert await graph.run({"models": ["other"], "question": "?"}) == {}
        finally:
            graph.close()


async def test_33_the_batch_graph() -> None:
    """Two requests are asked together in a process, and each has its own answer back."""
    function = project.set_function()
    async with upstream("same", "same") as (server, model):
        llm_prompt_artifact = llm.LLModel(model, prompt("batch"))
        # fmt: off
        graph = function.set_topology("flow", engine="async")
        step = graph.to(
            "storey.Batch",
            "my_batching",
            max_events=2,
            flush_after_seconds=4,
            full_event=True,
        )
        model_runner_step = ModelRunnerStep(name="my_model_runner")
        model_runner_step.add_model(
            model_class="mlrun.serving.states.LLModel",
            endpoint_name="my_endpoint",
            execution_mechanism="dedicated_process",
            model_artifact=llm_prompt_artifact,
            result_path="output",
        )
        step = step.to(model_runner_step)
        step.to("storey.FlatMap", _fn="(event.body)", full_event=True).respond()

        #  Enable AsyncSpec when using batch step
        function.with_http(async_spec=AsyncSpec())
        # fmt: on
        try:
            answers = await asyncio.gather(*(graph.run({"question": str(number)}) for number in range(2)))
        finally:
            graph.close()
        assert {received.body["messages"][0]["content"] for received in server.received} == {"batch: 0", "batch: 1"}
    assert [(body["question"], body["output"]["answer"]) for body in answers] == [("0", "same"), ("1", "same")]


async def test_7_an_llm_step_and_two_tools_that_cycle_back() -> None:
    """The selector of the model step routes to tool_a or tool_b until it has had enough."""

    class Loops(Model):
        def predict(self, body: dict[str, int]) -> dict[str, int]:
            return {**body, "counter": body["counter"] + 1}

    class Tools(ModelRunnerSelector):
        def select_outlets(self, event: Event) -> str:
            number = event.body["counter"]
            return "end" if number >= 5 else ("tool_a" if number % 2 else "tool_b")

    def counting(name: str) -> Any:
        return lambda body: {**body, name: body[name] + 1}

    flow = Flow(allow_cyclic=True)
    model = flow.to(ModelRunnerStep("llm", Tools).add_model("m", Loops))
    for name in ("tool_a", "tool_b"):
        model.to(counting(name), name=name).cycle_to("llm")
    model.to(lambda body: body, name="end").respond()
    assert await flow.run({"counter": 0, "tool_a": 0, "tool_b": 0}) == {"counter": 5, "tool_a": 2, "tool_b": 2}


def test_a_published_function_is_a_serving_one_that_streams() -> None:
    """Other kinds are refused, and so is not to stream what is a stream; to stream is what all do."""
    function = project.set_function(name="streams")
    assert function.set_streaming(enabled=True) is function
    with pytest.raises(InvalidStep, match="put a Collector before its responder"):
        function.set_streaming(enabled=False)
    with pytest.raises(InvalidStep, match="function 'f': kind 'job' is not known; write 'serving'"):
        project.set_function(name="f", kind="job")
