"""Model calls of steps: which models are checked, and what each turn costs."""

from __future__ import annotations

from contextlib import aclosing, nullcontext

import pytest

from graph import Event, Flow, ReplayDiffers
from graph.recording.tape import Recording, Replay
from graph.steps.model_call import listen
from graph.steps.responder import ResponderStep
from llm import ChatRequest, Model, UpstreamAnswerInvalid, UpstreamBrokeOff
from llm.chat.request import Prompt
from llm.providers.anthropic import AnthropicProvider
from llm.testing import ANTHROPIC, Cut, Hang, ScriptedProvider, ScriptedUpstream, Stream, say
from llm.tokens import CHARACTERS


def asking(model: Model) -> tuple[Flow, Event]:
    """A graph of one model, and a request for JSON."""
    flow = Flow("one")
    flow.to(ResponderStep(model), name="responder").respond()
    return flow, Event(ChatRequest.of_text("m", "hello").having(response_format={"type": "json_object"}))


async def test_both_turns_of_a_repair_are_booked() -> None:
    """Each by itself; what the run is told to have used is the sum."""
    with ScriptedProvider.of(say("one"), say("{}")) as provider:
        flow, event = asking(Model("m", provider, "m", repair=True))
        run = flow.start(event)
        await run.result()
    assert run.usage.total_tokens == 30
    assert [booked.usage.total_tokens for booked in event.meter.calls] == [15, 15]


async def test_both_turns_are_booked_when_the_repair_fails() -> None:
    """They were paid for."""
    with ScriptedProvider.of(say("one"), say("two")) as provider:
        flow, event = asking(Model("m", provider, "m", repair=True))
        with pytest.raises(UpstreamAnswerInvalid):
            await flow.run(event)
    assert event.usage.total_tokens == 30


async def test_without_repair_an_answer_goes_on_as_it_is() -> None:
    """So does that of a provider that holds its models to the schema."""

    class Constrains(ScriptedProvider):
        constrains = True

    for provider, repair in ((ScriptedProvider.of(say("one")), False), (Constrains.of(say("one")), True)):
        with provider:
            flow, event = asking(Model("m", provider, "m", repair=repair))
            await flow.run(event)
        assert len(provider.requests) == 1


COST = {"input_tokens": 10, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 1000, "output_tokens": 1}


@pytest.mark.parametrize("leaves", [False, True], ids=["the upstream breaks off", "the reader leaves"])
async def test_what_a_prompt_cost_is_owed_although_the_answer_broke_off(leaves: bool) -> None:
    """Anthropic says it with the opening of its message: that stands, cached tokens too, and what came is counted."""
    start = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "usage": COST}
    words = ANTHROPIC.block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "some words"})
    opening = [ANTHROPIC.event("message_start", message=start), *words[:2]]
    async with ScriptedUpstream(Stream([*opening, Hang() if leaves else Cut()])) as upstream:
        provider = AnthropicProvider(upstream.base_url, "sk-ant-of-nobody")
        event = Event(ChatRequest.of_text("m", "hello"))
        async with aclosing(listen(Model("m", provider, "m", counter=CHARACTERS), event.body, event)) as chunks:
            event.body.stream = True
            with nullcontext() if leaves else pytest.raises(UpstreamBrokeOff):
                async for chunk in chunks:
                    if leaves and chunk.content:
                        break
        await provider.close()
    usage = event.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (1110, 3, 1113)
    assert (usage.cached_tokens, usage.cache_write_tokens, usage.source) == (1000, 100, "estimated")


@pytest.mark.parametrize("prompts", [("one", "two"), ([1], [2])], ids=["texts", "token ids"])
async def test_a_tape_knows_raw_prompts_apart(prompts: tuple[Prompt, Prompt]) -> None:
    """Another prompt than the recorded one is another question, also where it is no text."""

    class Completes(ScriptedProvider):
        completes = True

    with Completes.of(say("one")) as provider:
        flow = Flow("one")
        flow.to(ResponderStep(Model("m", provider, "m")), name="responder").respond()
        event, tape = Event(ChatRequest.of_prompt("m", prompts[0]), id="e"), Recording()
        event.tape = tape
        await flow.run(event)
        for prompt, same in zip(prompts, (True, False), strict=True):
            again = Event(ChatRequest.of_prompt("m", prompt), id="e")
            again.tape = Replay(tape.entries, tape.steps)
            if same:
                await flow.run(again)
            else:
                with pytest.raises(ReplayDiffers):
                    await flow.run(again)
