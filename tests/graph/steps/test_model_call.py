"""Model calls of steps: which models are checked, and what each turn costs."""

from __future__ import annotations

import pytest

from graph import Event, Flow, ReplayDiffers
from graph.recording.tape import Recording, Replay
from graph.steps.responder import ResponderStep
from llm import ChatRequest, Model, UpstreamAnswerInvalid
from llm.chat.request import Prompt
from llm.testing import ScriptedProvider, say


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
