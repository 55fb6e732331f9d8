"""ToolsStep: in order, side by side, within limits, and every fault is told to the model."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from graph import Event, Flow, FlowRun, Hooks, Instrument, InvalidTool, Tool, ToolCall, ToolError, ToolsStep
from graph.errors import InvalidStep, UnknownStep
from graph.parts import Parts
from graph.steps.responder import ResponderStep
from graph.steps.router import RouterStep
from graph.toolset import Toolset
from llm import ChatRequest, LLModel, Model
from llm.testing import ScriptedProvider, call, say
from prompts import LLMPromptArtifact, PromptStore


@dataclass
class Hotel:
    """What a tool may return."""

    name: str
    free_from: date


def calls(*named: tuple[str, str]) -> ChatRequest:
    """A conversation whose last message calls these tools with these arguments."""
    request = ChatRequest.of_text("m", "hello")
    wire = [
        {"id": f"call_{at}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for at, (name, arguments) in enumerate(named)
    ]
    request.messages.append({"role": "assistant", "content": None, "tool_calls": wire})
    return request


async def told(step: ToolsStep, event: Event) -> list[Any]:
    """What the tool messages say that a step appends."""
    before = len(event.body.messages)
    await step.do(event)
    return [json.loads(message["content"]) for message in event.body.messages[before:]]


async def test_calls_run_side_by_side_and_answers_keep_their_order() -> None:
    """The first call ends only after the second has begun, and still stands first."""
    second_runs = asyncio.Event()

    async def first() -> str:
        """Waits for the other."""
        await second_runs.wait()
        return "one"

    async def second() -> str:
        """Lets the other go on."""
        second_runs.set()
        return "two"

    event = Event(calls(("first", ""), ("second", "")))
    assert await told(ToolsStep([Tool.of(first), Tool.of(second)]), event) == [{"result": "one"}, {"result": "two"}]
    assert [message["tool_call_id"] for message in event.body.messages[-2:]] == ["call_0", "call_1"]


async def test_no_more_run_side_by_side_than_may() -> None:
    """With one place, each begins when the one before it has ended."""
    running = 0
    most = 0

    async def work() -> None:
        """Counts how many of it run."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    for places in (1, 2):
        most = 0
        await told(ToolsStep([Tool.of(work)], max_parallel=places), Event(calls(*[("work", "")] * 4)))
        assert most == places


def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


async def test_a_tool_is_called_as_often_as_it_may_in_one_run() -> None:
    """Calls over its limit, in the same message or a later one, are told so; the next run starts anew."""
    step = ToolsStep([Tool.of(add, max_calls=2), Tool.of(add, name="plus")])
    event = Event(calls(*[("add", '{"a": 1, "b": 2}')] * 3))
    limit = {"error": "add may not be called any more; 2 calls are all it has"}
    assert await told(step, event) == [{"result": 3}, {"result": 3}, limit]
    event.body = calls(("add", '{"a": 1, "b": 2}'), ("plus", '{"a": 1, "b": 2}'))
    assert await told(step, event) == [limit, {"result": 3}]
    assert await told(step, Event(calls(("add", '{"a": 1, "b": 2}')))) == [{"result": 3}]


async def test_all_calls_of_a_run_together_have_a_limit() -> None:
    """However many different tools there are."""
    answers = await told(ToolsStep([Tool.of(add)], max_calls=1), Event(calls(*[("add", '{"a": 1, "b": 2}')] * 2)))
    assert answers == [{"result": 3}, {"error": "no more tools may be called; 1 calls are all that there are"}]


@pytest.mark.parametrize("inside", [False, True], ids=["steps", "a flow inside"])
async def test_a_limit_of_a_tool_is_for_the_whole_run(inside: bool) -> None:
    """Whichever of its steps calls it, however often it goes through a flow inside it; other tools have their own."""
    tools = ToolsStep([Tool.of(add, max_calls=1), Tool.of(add, name="plus")])

    def plan(request: ChatRequest) -> ChatRequest:
        both = calls(("add", '{"a": 1, "b": 2}'), ("plus", '{"a": 1, "b": 2}'))
        return request.having([*request.messages, both.messages[-1]])

    inner = Flow("inner")
    inner.to(tools).respond()
    flow = Flow("twice")
    step = flow.to(plan, name="plan").to(inner if inside else tools, name="first")
    step = step.to(plan, name="plan again").to(inner.as_step() if inside else tools, name="second")
    step.to(lambda body: [each["content"] for each in body.messages if each["role"] == "tool"], name="told").respond()
    made, limit = '{"result": 3}', '{"error": "add may not be called any more; 1 call is all it has"}'
    assert await flow.run(ChatRequest.of_text("m", "hello")) == [made, made, limit, made]
    assert await flow.run(ChatRequest.of_text("m", "hello")) == [made, made, limit, made]


async def test_results_have_a_bound() -> None:
    """A longer one is not cut, as half a JSON text would mislead; the model is told to ask for less."""

    def much() -> str:
        """Returns much."""
        return "x" * 100

    answers = await told(ToolsStep([Tool.of(much)], max_result=50), Event(calls(("much", ""))))
    assert answers == [{"error": "the result has 114 characters, and 50 may be read; ask for less"}]


async def test_results_that_are_objects_of_python() -> None:
    """Models, dataclasses, times and sets become JSON; what has no form of JSON is told as a fault."""

    def find() -> list[Hotel]:
        return [Hotel("Sol", date(2026, 5, 14))]

    def tags() -> dict[str, Any]:
        return {"tags": {"sea"}, "price": Decimal("9.50")}

    def thing() -> Any:
        return object()

    step = ToolsStep([Tool.of(find), Tool.of(tags), Tool.of(thing)])
    event = Event(calls(("find", "{}"), ("tags", "{}"), ("thing", "{}")))
    assert await told(step, event) == [
        {"result": [{"name": "Sol", "free_from": "2026-05-14"}]},
        {"tags": ["sea"], "price": "9.50"},
        {"error": "the tool returned something that is not JSON"},
    ]


async def test_halves_of_characters_are_written_as_escapes() -> None:
    """As they stand in names of files that are no UTF-8; else the request with the result could not be sent."""

    def names() -> list[str]:
        return [os.fsdecode(b"caf\xe9.txt")]

    def lost() -> None:
        raise ToolError("no " + os.fsdecode(b"\xe9"))

    event = Event(calls(("names", "{}"), ("lost", "{}")))
    await ToolsStep([Tool.of(names), Tool.of(lost)]).do(event)
    written = [message["content"] for message in event.body.messages[-2:]]
    assert written == ['{"result": ["caf\\udce9.txt"]}', '{"error": "no \\udce9"}']


async def test_results_that_run_are_not_run() -> None:
    """A generator would do its work on the loop, without a bound, and its error would be that of the run; so would one
    of an object that cannot be written."""

    def rows() -> Iterator[int]:
        yield 1
        raise LookupError("secret")

    def deep() -> Any:
        value: list[Any] = []
        for _ in range(100_000):
            value = [value]
        return value

    answers = await told(ToolsStep([Tool.of(rows), Tool.of(deep)]), Event(calls(("rows", "{}"), ("deep", "{}"))))
    assert answers == [{"error": "the tool returned something that is not JSON"}] * 2


async def test_tools_that_are_left_have_ended_when_the_run_has() -> None:
    """One that takes its time to close is waited for: whoever watches is told of it before the end, and not after."""
    heard: list[str] = []
    begun = asyncio.Event()

    class Ear(Instrument):
        """Hears calls, and the end."""

        def after_tool(self, run: FlowRun, event: Event, call: ToolCall) -> None:
            heard.append(f"{call.tool} {call.outcome}")

        def on_run_end(self, run: FlowRun) -> None:
            heard.append("end")

    async def quick() -> None:
        """Waits."""
        await asyncio.Event().wait()

    async def slow() -> None:
        """Waits, and closes what it has open."""
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(100):
                await asyncio.sleep(0)

    flow = Flow("left")
    flow.to(ToolsStep([Tool.of(quick), Tool.of(slow)]), name="tools").respond()
    running = asyncio.create_task(flow.run(calls(("quick", ""), ("slow", "")), hooks=Hooks.of([Ear()])))
    await begun.wait()
    running.cancel()
    await asyncio.wait([running])
    assert heard == ["quick left", "slow left", "end"]


async def test_what_is_no_tool_of_ours_is_told() -> None:
    """An unknown name, a custom tool, wrong arguments."""
    event = Event(calls(("nope", "{}"), ("add", '{"a": "x", "b": 1}')))
    event.body.messages[-1]["tool_calls"].append({"id": "c", "type": "custom", "custom": {"name": "d", "input": ""}})
    unknown, wrong, custom = await told(ToolsStep([Tool.of(add)]), event)
    assert unknown == {"error": "there is no tool 'nope'; there are add"}
    assert wrong["error"].startswith("wrong arguments: a: Input should be a valid integer")
    assert custom == {"error": "there is no tool 'd'; there are add"}


async def test_the_words_of_a_tool_error_are_for_the_model() -> None:
    """Those of other exceptions are not."""

    async def shut() -> None:
        """Is closed."""
        raise ToolError("the shop is closed")

    async def late() -> None:
        """Raises a timeout of its own."""
        raise TimeoutError("secret")

    answers = await told(ToolsStep([Tool.of(shut), Tool.of(late)]), Event(calls(("shut", ""), ("late", ""))))
    assert answers == [{"error": "the shop is closed"}, {"error": "late failed: TimeoutError"}]


async def test_a_tool_may_have_a_timeout_of_its_own() -> None:
    """It goes before that of the step."""

    async def never() -> None:
        """Never ends."""
        await asyncio.Event().wait()

    answers = await told(ToolsStep([Tool.of(never, timeout=0.01)], 1000), Event(calls(("never", ""))))
    assert answers == [{"error": "never took longer than 0.01 s"}]


@pytest.mark.parametrize("tools", [[Tool.of(add), Tool.of(add)], [add]])
def test_wrong_tools_are_found_when_the_step_is_made(tools: Sequence[Any]) -> None:
    """Two of one name, and functions that nobody made a tool of."""
    with pytest.raises(InvalidTool, match=r"two tools are called 'add'|Tool\.of"):
        ToolsStep(tools)


async def test_a_graph_is_given_tools_by_name() -> None:
    """Router and tools take a set as it is; with one route no classifier is asked."""
    with ScriptedProvider.of(call("add", {"a": 1, "b": 2}), say("done"), say("three")) as provider:
        parts = Parts(Model("m", provider, "m"), toolsets={"sums": Toolset("sums", [Tool.of(add)])})
        flow = Flow("agent", allow_cyclic=True)
        llm = LLModel(parts.default, PromptStore()["planner"])
        router = flow.to(RouterStep(llm, llm, {"all": parts.tools("sums")}, done="responder"), name="router")
        router.to(ToolsStep(parts.tools("sums")), name="tools").cycle_to("router")
        step = flow.add_step(ResponderStep(parts.llm("responder")), name="responder", after="router")
        step.respond()
        await flow.run(ChatRequest.of_text("m", "1 + 2?"))
    assert [message["role"] for message in provider.requests[1].messages][-2:] == ["assistant", "tool"]
    assert provider.requests[1].messages[-1]["content"] == '{"result": 3}'


def test_steps_that_could_do_nothing_are_refused() -> None:
    """Without time no tool answers, and without routes there is no way to go."""
    with pytest.raises(InvalidTool, match="timeout_seconds=0 must be more than 0"):
        ToolsStep([], timeout_seconds=0)
    planner = LLModel(Model("m", ScriptedProvider.of(), "m"), LLMPromptArtifact("p"))
    with pytest.raises(InvalidStep, match="at least one route"):
        RouterStep(planner, planner, {})


def test_tools_that_are_not_there_are_named() -> None:
    """With those that are."""
    with pytest.raises(UnknownStep, match="there are no tools 'x'; there are: sums"):
        Parts(Model("m", ScriptedProvider.of(), "m"), toolsets={"sums": Toolset("sums")}).tools("x")
