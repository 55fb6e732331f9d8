"""LLModel: case 38 of the behaviour of serving graphs, and what else a prompted model must do in a graph."""

from __future__ import annotations

import pickle
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import llm
from gateway.faults import Fault
from graph import (
    Event,
    Flow,
    InvalidInput,
    InvalidStep,
    LLModel,
    ModelRunnerError,
    ModelRunnerStep,
    StreamingLLModel,
    TokensExceeded,
)
from llm import CharacterCounter, ChatChunk, ChatRequest, ToolCallDelta, Usage
from llm.embedded import FOLDER
from llm.huggingface import Runtime
from llm.providers.embedded import EmbeddedProvider
from llm.providers.huggingface import HuggingFaceProvider
from llm.providers.openai import OpenAIProvider
from llm.testing import ScriptedProvider, ScriptedUpstream, fail, say
from llm.testing.scripted import Turn
from llm.testing.upstream import Json, answer
from prompts import LLMPromptArtifact

USAGE = {
    "prompt_tokens": 14,
    "completion_tokens": 59,
    "total_tokens": 73,
    "completion_tokens_details": {"reasoning_tokens": 0},
    "prompt_tokens_details": {"cached_tokens": 3},
}
PROMPT = LLMPromptArtifact(
    "capital",
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "The capital of {{ country }}?"}],
    invocation_config={"temperature": 0.0},
)


def model(*turns: Any) -> llm.Model:
    return llm.Model("mini", ScriptedProvider.of(*turns), "mini-1")


def of(kind: Any, artifact: Any, mechanism: str = "naive", **options: Any) -> Flow:
    flow = Flow("llm", max_processes=1)
    flow.to(ModelRunnerStep("r").add_model("m", kind, mechanism, artifact, **options)).respond()
    return flow


async def test_38_answer_and_usage_at_the_result_path() -> None:
    """The body keeps what it had; the usage is the provider's own object, whole."""
    asked = model(say("Paris it is.", usage=Usage.from_wire(USAGE)))
    flow = of(LLModel, llm.LLModel(asked, PROMPT), result_path="output")
    assert await flow.run({"country": "France"}) == {
        "country": "France",
        "output": {"answer": "Paris it is.", "usage": USAGE},
    }
    provider = asked.provider
    assert isinstance(provider, ScriptedProvider)
    assert provider.requests[0].messages[1] == {"role": "user", "content": "The capital of France?"}
    assert provider.requests[0].parameters == {"temperature": 0.0}


async def test_38_of_openai_the_usage_is_its_own_object() -> None:
    """As it came over the wire, with its details."""
    message = {"role": "assistant", "content": "Paris."}
    reply = Json({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": USAGE})
    async with ScriptedUpstream(reply) as upstream:
        provider = OpenAIProvider(upstream.base_url)
        flow = of(LLModel, llm.LLModel(llm.Model("mini", provider, "m"), PROMPT), result_path="output")
        body = await flow.run({"country": "France"})
        await provider.close()
    assert body == {"country": "France", "output": {"answer": "Paris.", "usage": USAGE}}


@pytest.mark.huggingface
@pytest.mark.filterwarnings("default")
async def test_38_of_hugging_face_the_tokens_are_counted_with_its_own_tokenizer() -> None:
    """The total is what was asked and answered. They are the very tokens that were made here, so nothing is a guess."""
    pytest.importorskip("torch", reason="needs the extra huggingface")
    pytest.importorskip("transformers", reason="needs the extra huggingface")
    provider = HuggingFaceProvider(str(FOLDER), max_tokens=8)
    await provider.start()
    try:
        result = await of(LLModel, llm.Model("local", provider, "local")).run("Plan a trip to Lisbon")
    finally:
        await provider.close()
    prompt = Runtime.load(str(FOLDER)).prompt([{"role": "user", "content": "Plan a trip to Lisbon"}], [])
    assert result["usage"] == {
        "prompt_tokens": len(prompt),
        "completion_tokens": 8,
        "total_tokens": len(prompt) + 8,
    }


async def test_38_streamed_calls_keep_tool_calls_finish_reason_and_usage() -> None:
    """A streamed call of a tool comes in pieces, and is whole when they are gathered."""
    pieces = (ToolCallDelta(0, '{"city":', "c1", "weather"), ToolCallDelta(0, '"Oslo"}'))
    deltas = [ChatChunk(tool_calls=(piece,)) for piece in pieces]
    end = (ChatChunk(finish_reason="tool_calls"), ChatChunk(usage=Usage.from_wire(USAGE)))
    asked = model(Turn((*deltas, *end)))
    async with aclosing(of(StreamingLLModel, asked).stream("x")) as stream:
        chunks = [chunk async for chunk in stream]
    gathered = llm.ChatCompletion.of(chunks)
    assert [(made.name, made.arguments) for made in gathered.tool_calls] == [("weather", '{"city":"Oslo"}')]
    assert [chunk.tool_calls for chunk in chunks if chunk.tool_calls] == [(piece,) for piece in pieces]
    assert gathered.finish_reason == "tool_calls"
    assert gathered.usage == Usage.from_wire(USAGE)


async def test_38_what_nobody_counted_is_marked_as_an_estimate() -> None:
    """Where the provider reports no usage it is estimated, and says so."""
    counted = replace(model(say("four", usage=None)), counter=CharacterCounter())
    result = await of(LLModel, counted).run("two and two")
    assert result["usage"] == {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4, "estimated": True}


async def test_38_the_calls_are_booked_on_the_run() -> None:
    """What a model costs counts for the run, and under its caps."""
    event = Event("x")
    await of(LLModel, model(say("y"))).run(event)
    assert [(made.step, made.model, made.usage.total_tokens) for made in event.meter.calls] == [("r", "mini", 15)]
    flow = Flow("capped", max_tokens=5)
    flow.to(
        ModelRunnerStep("r", raise_exception=False).add_model("m", LLModel, model_artifact=model(say("y")))
    ).respond()
    with pytest.raises(TokensExceeded):
        await flow.run("x")


async def test_without_a_prompt_the_messages_of_the_body_are_asked() -> None:
    """A body may be a text, have messages, or be a chat request; anything else is refused."""
    messages = [{"role": "user", "content": "hi"}]
    asked = model(say("1"), say("2"), say("3"))
    flow = of(LLModel, asked)
    for body in ("hi", {"messages": messages}, ChatRequest("any", messages, {"top_p": 0.5})):
        await flow.run(body)
    provider = asked.provider
    assert isinstance(provider, ScriptedProvider)
    assert [request.messages for request in provider.requests] == [messages] * 3
    assert provider.requests[2].parameters == {"top_p": 0.5}
    with pytest.raises(
        ModelRunnerError, match="m: InvalidInput: model 'm' has no prompt, so the body must be"
    ) as caught:
        await flow.run({"x": 1})
    assert isinstance(caught.value.errors["m"], InvalidInput)


@pytest.mark.parametrize("messages", [[], [5], ["hi"], [{"content": "hi"}], "hi", None])
async def test_messages_that_are_none_are_the_callers_fault(messages: Any) -> None:
    """Nothing is asked; the error says what they should be."""
    with pytest.raises(ModelRunnerError, match="'messages': a list of objects with a role") as caught:
        await of(LLModel, model()).run({"messages": messages})
    assert Fault.of(caught.value).status == 400


async def test_of_no_bodies_there_are_no_answers() -> None:
    """An empty batch asks nothing."""
    assert await of(LLModel, llm.LLModel(model(), PROMPT), result_path="out").run([]) == []


async def test_a_body_that_lacks_a_field_of_the_prompt_is_the_callers_fault() -> None:
    """Who asked is told which, with a status of 400."""
    flow = of(LLModel, llm.LLModel(model(), PROMPT))
    with pytest.raises(ModelRunnerError) as caught:
        await flow.run({"contry": "Peru"})
    fault = Fault.of(caught.value)
    assert fault.status == 400
    assert "prompt 'capital' needs 'country'" in fault.message
    assert "did you mean 'contry'?" in fault.message


@pytest.mark.parametrize(("body", "said"), [({"order": {}}, "`order.city` is undefined"), ({"order": 5}, "order.city")])
async def test_so_is_one_that_lacks_a_field_of_a_field(body: Any, said: str) -> None:
    """Also one whose field is of another kind."""
    prompt = LLMPromptArtifact("to", [{"role": "user", "content": "Send it to {{ order.city }}."}])
    with pytest.raises(ModelRunnerError) as caught:
        await of(LLModel, llm.LLModel(model(), prompt)).run(body)
    fault = Fault.of(caught.value)
    assert fault.status == 400
    assert said in fault.message


async def test_of_several_models_that_fail_the_gravest_fault_is_told() -> None:
    """What all of them lack is the caller's fault; where one failed by itself, that is ours to look at."""

    def several(*models: llm.Model) -> Flow:
        flow, runner = Flow("several"), ModelRunnerStep("runner")
        for at, each in enumerate(models):
            runner.add_model(f"m{at}", LLModel, model_artifact=llm.LLModel(each, PROMPT))
        flow.to(runner).respond()
        return flow

    with pytest.raises(ModelRunnerError) as caught:
        await several(model(), model()).run({"x": 1})
    fault = Fault.of(caught.value)
    assert (fault.status, "needs 'country'" in fault.message) == (400, True)
    with pytest.raises(ModelRunnerError) as caught:
        await several(model(fail(llm.UpstreamRateLimited("slowly"))), model(fail(llm.UpstreamUnavailable("down")))).run(
            {"country": "Peru"}
        )
    assert Fault.of(caught.value).status == 503


async def test_a_batch_of_bodies_is_a_list_of_answers() -> None:
    """Of a list of bodies the result is the list of their results."""
    flow = of(LLModel, llm.LLModel(model(say("Paris"), say("Rome")), PROMPT), result_path="out")
    bodies = await flow.run([Event({"country": "France"}), Event({"country": "Italy"})])
    assert [(body["country"], body["out"]["answer"]) for body in bodies] == [("France", "Paris"), ("Italy", "Rome")]


async def test_the_first_error_of_a_batch_is_its_error() -> None:
    """Not a group of errors; the other calls are ended."""
    limited = llm.UpstreamRateLimited("slowly")
    with pytest.raises(ModelRunnerError) as caught:
        await of(LLModel, model(fail(limited), say("x"))).run(["a", "b"])
    assert caught.value.errors["m"] is limited


async def test_the_error_of_a_provider_keeps_its_class() -> None:
    """What the provider raised is the error of the model, and how long to wait is known."""
    limited = llm.UpstreamRateLimited("slowly", retry_after=7.0)
    with pytest.raises(ModelRunnerError) as caught:
        await of(LLModel, model(fail(limited))).run("x")
    assert caught.value.errors["m"] is limited
    assert (caught.value.retry_after, caught.value.hopeless) == (7.0, False)


async def test_streaming_keeps_the_finish_reason_and_the_usage() -> None:
    """StreamingLLModel streams chat chunks; gathered they are an answer."""
    flow = of(StreamingLLModel, model(say("to be or")))
    async with aclosing(flow.stream("x")) as stream:
        chunks = [chunk async for chunk in stream]
    assert [chunk.content for chunk in chunks if chunk.content] == ["to ", "be ", "or"]
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["stop"]
    assert chunks[-1].usage == Usage.of(10, 5)
    followed = Flow()
    followed.to(ModelRunnerStep("r").add_model("m", StreamingLLModel, model_artifact=model(say("a b")))).to(
        lambda chunk: chunk.content or "", name="text"
    ).respond()
    assert "".join(await followed.run("x")) == "a b"


async def test_a_streaming_model_refuses_a_batch() -> None:
    """Its answers cannot be one stream."""
    with pytest.raises(ModelRunnerError, match="use LLModel for batches"):
        await of(StreamingLLModel, model(say("x"))).run(["a", "b"])


class Polite(LLModel):
    """One's own enrichment, in MLRun's way."""

    def enrich_prompt(self, body: Any, origin_name: str, llm_prompt_artifact: Any) -> Any:
        messages, config = super().enrich_prompt(body, origin_name, llm_prompt_artifact)
        return [*messages, {"role": "user", "content": "Please."}], config

    def predict(self, body: Any, messages: Any = None, invocation_config: Any = None, **given: Any) -> Any:
        result = super().predict(body, messages, invocation_config, **given)
        return {**result, "answer": result["answer"].upper()}


@pytest.mark.parametrize("mechanism", ["thread_pool", "dedicated_process"])
async def test_a_subclass_may_override_predict(mechanism: str) -> None:
    """In a thread it waits for the loop of the run, in a process for one of its own; the cost is booked either way."""
    async with ScriptedUpstream(answer("yes"), answer("no")) as upstream:
        provider = OpenAIProvider(upstream.base_url)
        flow = of(Polite, llm.Model("mini", provider, "mini-1"), mechanism)
        try:
            for said in ("YES", "NO"):
                event = Event("really?")
                result = await flow.run(event)
                assert result["answer"] == said
                assert event.usage.total_tokens == 10
        finally:
            flow.close()
            await provider.close()
        assert [message["content"] for message in upstream.received[0].body["messages"]] == ["really?", "Please."]


async def test_a_blocking_predict_on_the_loop_is_an_error() -> None:
    """It would stop the loop, and says what to do."""
    with pytest.raises(ModelRunnerError, match="would stop the loop; write predict_async"):
        await of(Polite, model(say("x"))).run("x")


async def test_a_call_in_flight_ends_with_its_client() -> None:
    """Closing the stream closes the provider's."""
    asked = model(say("one two three"))
    stream: AsyncGenerator[Any, None] = of(StreamingLLModel, asked).stream("x")
    await anext(stream)
    await stream.aclose()
    provider = asked.provider
    assert isinstance(provider, ScriptedProvider)
    assert provider.closed == 1


def test_a_model_without_a_model_is_refused() -> None:
    """Neither a prompt alone nor nothing says which model; a prompt must be one."""
    for artifact in (None, PROMPT):
        with pytest.raises(InvalidStep, match="nothing says which language model it is"):
            of(LLModel, artifact).validate()
    with pytest.raises(InvalidStep, match="is no prompt; give an LLMPromptArtifact"):
        of(LLModel, "store://x", model=model()).validate()
    of(LLModel, PROMPT, model=model()).validate()


def test_what_goes_to_a_process_is_made_again_there() -> None:
    """Prompts and the embedded model are sent as what they were made from."""
    prompt, provider = pickle.loads(pickle.dumps((PROMPT, EmbeddedProvider(Path("there")))))
    assert prompt == PROMPT
    assert prompt.render({"country": "Peru"}) == PROMPT.render({"country": "Peru"})
    assert provider._folder == Path("there")


def test_callers_see_the_error_of_the_one_model_that_failed() -> None:
    """What the gateway answers is by its class; of several it is a 500 without their words."""
    limited = llm.UpstreamRateLimited("slowly", retry_after=7.0)
    assert Fault.of(ModelRunnerError("r", {"m": limited})).status == 429
    several = Fault.of(ModelRunnerError("r", {"m": limited, "n": ValueError("secret")}))
    assert (several.status, "secret" in several.message) == (500, False)


async def test_tool_calls_are_part_of_the_result() -> None:
    """An answer that calls tools says so."""
    made = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [made]}
    reply = Json({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}], "usage": USAGE})
    async with ScriptedUpstream(reply) as upstream:
        provider = OpenAIProvider(upstream.base_url)
        result = await of(LLModel, llm.Model("mini", provider, "m")).run("x")
        await provider.close()
    assert result == {"answer": "", "usage": USAGE, "tool_calls": [made]}
