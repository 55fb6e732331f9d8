"""GuardrailStep: a writer is sent back until its answer is clean, and only that is heard."""

from __future__ import annotations

from contextlib import aclosing

import pytest

from graph import Complete, Event, Flow, FlowRun, Hooks, Instrument, InvalidStep, MaxIterationsExceeded
from graph.steps.guardrail import REFUSALS, VERDICT, GuardrailStep
from graph.steps.responder import ResponderStep
from guardrails import Guardrail
from guardrails.judge import JudgeRule
from guardrails.rules.injection import prompt_injection
from guardrails.rules.personal import personal_data
from guardrails.rules.text import json_schema
from guardrails.rules.words import terms
from llm import ChatChunk, ChatRequest, Message, Model, ToolCallDelta
from llm.testing import ScriptedProvider, say
from llm.testing.scripted import Turn

CLEAN = Guardrail("clean", [terms("nightjar", message="Do not name the project."), personal_data(["email"])])


def loop(provider: ScriptedProvider, most: int = 5, guardrail: Guardrail = CLEAN) -> Flow:
    flow = Flow("guarded", allow_cyclic=True, max_iterations=most)
    writer = flow.to(ResponderStep(Model("scripted", provider, "scripted")), name="writer").respond(drafts="hide")
    writer.to(GuardrailStep(guardrail, passed=Complete, refused="writer"), name="guard").cycle_to("writer")
    return flow.validate()


async def heard(flow: Flow, event: Event) -> list[str]:
    async with aclosing(flow.start(event).chunks()) as chunks:
        return [chunk.content async for chunk in chunks if isinstance(chunk, ChatChunk) and chunk.content]


async def test_only_the_clean_answer_streams() -> None:
    """The drafts before it are never heard; the writer reads why they were refused."""
    drafts = [say("It is project Nightjar."), say("Ask bob@example.org."), say("I cannot tell you.")]
    with ScriptedProvider(drafts) as provider:
        event = Event(ChatRequest.of_text("guarded", "What is it called?"))
        assert await heard(loop(provider), event) == ["I ", "cannot ", "tell ", "you."]
    assert event.notes["guard"][REFUSALS] == 2
    assert event.notes["guard"][VERDICT].allowed
    told = [message["content"] for message in provider.requests[-1].messages if message["role"] == "user"]
    assert told[1:] == ["Reviewer: Do not name the project.", "Reviewer: The text holds personal data."]


SECRETLY = {
    "thoughts": ChatChunk("fine", extra={"reasoning_content": "The nightjar."}),
    "a refusal": ChatChunk(extra={"refusal": "No nightjar."}),
    "annotations": ChatChunk("fine", extra={"annotations": [{"title": "nightjar"}]}),
    "a call": ChatChunk(tool_calls=(ToolCallDelta(0, '{"a":"\\u006eightjar"}', "c1", "f"),)),
    "a function call": ChatChunk(extra={"function_call": {"name": "f", "arguments": '{"a":"nightjar"}'}}),
}


@pytest.mark.parametrize("where", SECRETLY)
async def test_a_draft_is_looked_at_wherever_it_says_something(where: str) -> None:
    """What is heard of it is more than its content."""
    with ScriptedProvider([Turn((SECRETLY[where],)), say("I cannot tell you.")]) as provider:
        run = loop(provider).start(Event(ChatRequest.of_text("guarded", "What is it called?")))
        async with aclosing(run.chunks()) as chunks:
            said = [chunk async for chunk in chunks]
    assert "nightjar" not in str(said)
    assert "".join(chunk.content or "" for chunk in said) == "I cannot tell you."


async def test_the_thoughts_of_a_draft_need_not_its_form() -> None:
    """They are no JSON, as is asked of its words."""
    thought = {"reasoning_content": "I think."}
    turns = [Turn((ChatChunk(text, extra=thought),)) for text in ("a: 1", '{"a": 1}')]
    with ScriptedProvider(turns) as provider:
        flow = loop(provider, guardrail=Guardrail("form", [json_schema({"type": "object"})]))
        assert await heard(flow, Event(ChatRequest.of_text("guarded", "Tell me."))) == ['{"a": 1}']


async def test_a_writer_that_never_is_clean_is_never_heard() -> None:
    """The cap ends the loop with an error, and nothing has been said."""
    with ScriptedProvider([say("Nightjar!"), say("nightjar")]) as provider, pytest.raises(MaxIterationsExceeded):
        await heard(loop(provider, 2), Event(ChatRequest.of_text("guarded", "Tell me.")))


async def test_a_text_goes_on_with_its_redactions() -> None:
    """Where what is looked at is no draft, redacting is what it says."""
    flow = Flow("texts")
    first = flow.to(GuardrailStep(CLEAN, passed="end", refused=Complete, drafts=False), name="guard")
    first.to(lambda text: f"<{text}>", name="end").respond()
    assert await flow.run("Mail bob@example.org") == "<Mail [EMAIL]>"


class Clock(Instrument):
    """Notes which rules took how long."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, int]] = []

    def after_rule(self, run: FlowRun, rule: str, place: str, nanoseconds: int) -> None:
        self.told.append((rule, place, nanoseconds))


async def test_all_results_of_tools_that_came_together_are_looked_at() -> None:
    """Calls run side by side, and the model reads all that they returned; the messages before stay as they are."""
    flow = Flow("results")
    guardrail = Guardrail("private", [personal_data(["email"])])
    flow.to(GuardrailStep(guardrail, passed="read", refused="read", drafts=False), name="guard").to(
        lambda request: [message["content"] for message in request.messages], name="read"
    ).respond()
    results: list[Message] = [
        {"role": "tool", "tool_call_id": call, "content": f"{call}@example.org"} for call in ("anna", "bob")
    ]
    asked: Message = {"role": "user", "content": "Ask carl@example.org."}
    told = await flow.run(ChatRequest("results", [asked, *results]))
    assert told == ["Ask carl@example.org.", "[EMAIL]", "[EMAIL]"]


@pytest.mark.parametrize(
    ("messages", "drafts", "place"),
    [
        ([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}], True, "output"),
        ([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}], False, "output"),
        ([{"role": "user", "content": [{"type": "text", "text": text} for text in ("Hi", "there")]}], False, "input"),
        ([{"role": "tool", "tool_call_id": "1", "content": "5"}], False, "tool_results"),
        (None, True, "output"),
        (None, False, "input"),
    ],
)
async def test_the_time_of_its_rules_is_told(messages: list[Message] | None, drafts: bool, place: str) -> None:
    """Once a visit, also of one that refuses: whole texts by rule, patterns and terms together."""
    guardrail = Guardrail("both", [terms("nightjar"), prompt_injection()])
    flow, clock = Flow("texts"), Clock()
    first = flow.to(GuardrailStep(guardrail, passed="end", refused="end", drafts=drafts), name="guard")
    first.to(lambda body: "done", name="end").respond()
    for text in ("a text", "a nightjar"):
        asked = None if messages is None else [*messages[:-1], {**messages[-1]}]
        body = text if asked is None else ChatRequest("guarded", asked)
        await flow.start(Event(body), Hooks.of([clock])).result()
    assert [told[:2] for told in clock.told] == [("compiled", place), ("prompt_injection", place)] * 2
    assert all(nanoseconds > 0 for _, _, nanoseconds in clock.told)


def test_a_judge_is_refused() -> None:
    """A step asks nobody, so that it would be forgotten."""

    async def ask(*_: object) -> str:
        return "no"

    with pytest.raises(InvalidStep, match="asks nobody, so 'strict' says nothing in it"):
        GuardrailStep(Guardrail("g", [JudgeRule("strict", "no", ask=ask)]), passed=Complete, refused="writer")
