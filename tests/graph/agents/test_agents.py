"""The agents that ship, on a scripted model: which way they go, what they ask, what the client sees."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from graph import Event, Flow, FlowRun, RunTimeout
from graph.agents import reviewed_answer, trip_planner
from graph.parts import Parts
from graph.steps.evidence import gathered
from graph.steps.responder import ResponderStep
from graph.steps.tools import ToolsStep
from graph.tool import Tool
from llm import (
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    InvalidRequest,
    Model,
    QuestionRefused,
    UpstreamRequestRefused,
    UpstreamUnavailable,
    Usage,
)
from llm.providers.openai import OpenAIProvider
from llm.testing import ScriptedProvider, ScriptedUpstream, Turn, call, fail, say
from llm.testing.upstream import answer as upstream_answer
from llm.tokens import CHARACTERS
from prompts import InvalidPrompt, PromptStore

LISBON = {"location": "Lisbon", "date": "14 May"}
WEATHER = call("get_weather", LISBON)
SIGHTS = call("search_attractions", {"location": "Lisbon", "weather": "partly cloudy"})
GOOD = say('{"score": 5, "reason": "all there"}')
BAD = say('{"score": 2, "reason": "The attractions are missing."}')


def parts(provider: ScriptedProvider) -> Parts:
    return Parts(Model("scripted", provider, "scripted"))


def asked(text: str = "Plan a trip to Lisbon on 14 May", **parameters: Any) -> ChatRequest:
    return ChatRequest("agent", [{"role": "user", "content": text}], parameters, stream=True)


async def answer(flow: Flow, request: ChatRequest) -> tuple[ChatCompletion, FlowRun]:
    run = flow.start(Event(request))
    completion = ChatCompletion()
    async with aclosing(run.chunks()) as chunks:
        async for chunk in chunks:
            completion.add(chunk)
    return completion, run


def visited(run: FlowRun) -> dict[str, int]:
    return {name: run.visits(name) for name in run.plan.nodes}


async def test_a_trip_goes_through_router_tools_judge_and_responder() -> None:
    """The route is named once, the tools are called one after the other, the evidence is judged, the answer streams."""
    with ScriptedProvider.of(say("travel"), WEATHER, SIGHTS, say("done"), GOOD, say("Go to Lisbon!")) as provider:
        completion, run = await answer(trip_planner.build(parts(provider)), asked())
    assert completion.content == "Go to Lisbon!"
    assert completion.tool_calls == []
    assert visited(run) == {"router": 3, "tools": 2, "judge": 1, "responder": 1}
    route, first, second, third, judged, last = provider.requests
    assert route.labels == ("travel", "weather", "other")
    assert "travel, weather, other" in route.messages[0]["content"]
    assert [tool["function"]["name"] for tool in first.parameters["tools"]] == ["get_weather", "search_attractions"]
    result = json.loads(second.messages[-1]["content"])
    assert (result["location"], result["condition"]) == ("Lisbon", "partly cloudy")
    assert len(json.loads(third.messages[-1]["content"])["attractions"]) == 3
    assert judged.messages[1]["content"].startswith(
        "Request: Plan a trip to Lisbon on 14 May\nEvidence:\nget_weather: {"
    )
    assert [message["role"] for message in last.messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "tool",
    ]
    assert "tools" not in last.parameters
    assert last.stream


async def test_the_usage_of_the_run_is_that_of_all_its_calls() -> None:
    """What is told is what is paid: router, judge and responder together, and each call knows its step."""
    with ScriptedProvider.of(say("travel"), WEATHER, SIGHTS, say("done"), GOOD, say("Go!")) as provider:
        _, run = await answer(trip_planner.build(parts(provider)), asked())
    assert run.usage == Usage(60, 30, 90)
    assert [spent.step for spent in run.event.meter.calls] == ["router"] * 4 + ["judge", "responder"]


async def test_a_question_about_the_weather_is_offered_only_the_weather() -> None:
    """The route decides which tools there are."""
    with ScriptedProvider.of(say("weather"), WEATHER, say("done"), GOOD, say("Sunny.")) as provider:
        completion, run = await answer(trip_planner.build(parts(provider)), asked("Weather in Lisbon on 14 May?"))
    assert completion.content == "Sunny."
    assert [tool["function"]["name"] for tool in provider.requests[1].parameters["tools"]] == ["get_weather"]
    assert visited(run)["tools"] == 1


@pytest.mark.parametrize("label", ["other", "Other.", "I do not know", ""])
async def test_anything_else_goes_straight_to_the_responder(label: str) -> None:
    """A route without tools, or an answer that names no route, is answered without tools and judge."""
    with ScriptedProvider.of(say(label), say("I cannot do that.")) as provider:
        completion, run = await answer(trip_planner.build(parts(provider)), asked("Write a haiku"))
    assert completion.content == "I cannot do that."
    assert visited(run) == {"router": 1, "tools": 0, "judge": 0, "responder": 1}


async def test_a_missing_date_is_asked_for() -> None:
    """When the model calls no tool there is nothing to judge; the responder asks back."""
    with ScriptedProvider.of(say("travel"), say("done"), say("When?")) as provider:
        completion, run = await answer(trip_planner.build(parts(provider)), asked("A trip to Lisbon"))
    assert completion.content == "When?"
    assert visited(run)["judge"] == 0


async def test_the_judge_sends_the_router_back_with_its_reason() -> None:
    """A refusal is a remark for the router, and the route is not asked for again."""
    script = (say("travel"), WEATHER, say("done"), BAD, SIGHTS, say("done"), GOOD, say("Go!"))
    with ScriptedProvider.of(*script) as provider:
        completion, run = await answer(trip_planner.build(parts(provider)), asked())
    assert completion.content == "Go!"
    assert visited(run) == {"router": 4, "tools": 2, "judge": 2, "responder": 1}
    assert provider.requests[4].messages[-1] == {"role": "user", "content": "Reviewer: The attractions are missing."}
    roles = [message["role"] for message in provider.requests[-1].messages]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "tool"]


async def test_a_judge_that_never_accepts_does_not_spin() -> None:
    """After two refusals the responder answers with what there is."""
    script = (say("travel"), WEATHER, say("done"), *([BAD, WEATHER, say("done")] * 2), BAD, say("Well."))
    with ScriptedProvider.of(*script) as provider:
        completion, run = await answer(trip_planner.build(parts(provider)), asked())
    assert completion.content == "Well."
    assert visited(run)["judge"] == 3


COPIED = {"asked_place": "lisbon", "found_place": "Lisbon", "asked_date": "14 May", "found_date": "14 May"}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({**COPIED, "found_place": "Porto"}, "The place is wrong: Porto instead of lisbon."),
        ({**COPIED, "found_date": "15 May"}, "The date is wrong: 15 May instead of 14 May."),
        ({**COPIED, "score": 2, "reason": "The attractions are missing."}, "The attractions are missing."),
    ],
)
async def test_where_a_model_cannot_compare_code_compares_what_it_copied(said: dict[str, Any], reason: str) -> None:
    """The verdict of a small model is what it copied, compared in code; its score only says whether all is there."""
    verdict = say(json.dumps({"score": 5, "reason": "x", **said}))
    good = say(json.dumps({**COPIED, "score": 5, "reason": "all there"}))
    script = (say("travel"), WEATHER, say("done"), verdict, SIGHTS, say("done"), good, say("Go!"))
    with ScriptedProvider.of(*script, compares=False) as provider:
        await answer(trip_planner.build(parts(provider)), asked())
    schema = provider.requests[3].parameters["response_format"]["json_schema"]["schema"]
    assert list(schema["properties"]) == ["asked_place", "found_place", "asked_date", "found_date", "score", "reason"]
    assert provider.requests[4].messages[-1]["content"] == f"Reviewer: {reason}"


async def test_models_that_spell_badly_are_told_where_copies_come_from() -> None:
    """Arguments of the agent's own tools stand in the conversation, results included; what was found is in a result."""
    script = (say("travel"), WEATHER, say("done"), say(json.dumps({**COPIED, "score": 5, "reason": "x"})), say("Go!"))
    with ScriptedProvider.of(*script, compares=False) as provider:
        await answer(trip_planner.build(parts(provider)), asked(tools=[BOOK]))
    route, first, second, judged, last = (dict(request.copies) for request in provider.requests)
    arguments = [
        "get_weather.location",
        "get_weather.date",
        "search_attractions.location",
        "search_attractions.weather",
    ]
    assert first == dict.fromkeys(arguments, "Plan a trip to Lisbon on 14 May")
    assert list(second) == arguments
    assert all("partly cloudy" in text and str(text).startswith("Plan a trip") for text in second.values())
    assert {judged["asked_place"], judged["asked_date"]} == {"Plan a trip to Lisbon on 14 May"}
    assert judged["found_place"] == judged["found_date"] == ["Lisbon", "14 May", "partly cloudy", "May"]
    assert (route, last) == ({}, {"": ["Lisbon", "14 May", "partly cloudy", "May"]})


async def test_a_topic_is_no_copy() -> None:
    """The reviewer may put it into words of its own."""
    verdict = say(json.dumps({"asked_topic": "an ETF", "found_topic": "an ETF", "score": 5, "reason": "x"}))
    with ScriptedProvider.of(say("An ETF is a fund."), verdict, compares=False) as provider:
        await answer(reviewed_answer.build(parts(provider)), asked("what is an etf?"))
    assert dict(provider.requests[1].copies) == {}


async def test_nothing_of_copies_goes_to_an_upstream() -> None:
    """Strict schemas refuse keywords that are not OpenAI's, and so may the body."""
    replies = [upstream_answer("travel"), upstream_answer("done"), upstream_answer("When?")]
    async with ScriptedUpstream(*replies) as upstream:
        provider = OpenAIProvider(upstream.base_url, "sk-x")
        request = ChatRequest("agent", [{"role": "user", "content": "A trip to Lisbon"}])
        await answer(trip_planner.build(Parts(Model("up", provider, "upstream-model"))), request)
        await provider.close()
    planned = upstream.received[1].body
    assert set(planned) == {"model", "messages", "tools", "temperature", "max_tokens"}
    for tool in planned["tools"]:
        schema = tool["function"]["parameters"]
        assert set(schema) == {"properties", "required", "additionalProperties", "type"}
        assert list(schema["properties"].values()) == [{"type": "string"}] * 2


@pytest.mark.parametrize("said", ["no json", '{"score": "high"}', '{"score": true}', "[1]", '{"reason": "x"}'])
async def test_an_answer_without_a_verdict_refuses(said: str) -> None:
    """A judge that says nothing usable does not let pass."""
    script = (say("travel"), WEATHER, say("done"), say(said), SIGHTS, say("done"), GOOD, say("Go!"))
    with ScriptedProvider.of(*script) as provider:
        await answer(trip_planner.build(parts(provider)), asked())
    assert provider.requests[4].messages[-1]["content"] == "Reviewer: The judge gave no verdict."


BOOK: Any = {"type": "function", "function": {"name": "book", "parameters": {"type": "object"}}}


async def test_a_tool_that_the_client_declared_is_handed_back() -> None:
    """The agent's own tools run inside; a call of the client's ends the answer as OpenAI does."""
    with ScriptedProvider.of(say("travel"), call("book", {"city": "Lisbon"})) as provider:
        completion, run = await answer(trip_planner.build(parts(provider)), asked(tools=[BOOK]))
    assert completion.finish_reason == "tool_calls"
    assert [(made.name, json.loads(made.arguments)) for made in completion.tool_calls] == [("book", {"city": "Lisbon"})]
    assert visited(run) == {"router": 1, "tools": 0, "judge": 0, "responder": 1}
    offered = [tool["function"]["name"] for tool in provider.requests[1].parameters["tools"]]
    assert offered == ["get_weather", "search_attractions", "book"]


async def test_a_tool_of_the_clients_may_not_have_the_name_of_one_of_the_agents() -> None:
    """Whose call it is must be clear, so the request is refused."""
    taken: Any = {"type": "function", "function": {"name": "get_weather"}}
    with pytest.raises(InvalidRequest, match="'get_weather' is taken") as raised:
        await answer(trip_planner.build(parts(ScriptedProvider.of())), asked(tools=[taken]))
    assert raised.value.param == "tools"


async def test_with_tool_choice_none_the_clients_tools_are_not_offered() -> None:
    """The agent's own are: they are how it works."""
    with ScriptedProvider.of(say("travel"), say("done"), say("When?")) as provider:
        await answer(trip_planner.build(parts(provider)), asked(tools=[BOOK], tool_choice="none"))
    offered = [tool["function"]["name"] for tool in provider.requests[1].parameters["tools"]]
    assert offered == ["get_weather", "search_attractions"]


async def test_tools_called_at_once_run_side_by_side() -> None:
    """Several calls in one answer get their results in their order."""
    both = call("get_weather", LISBON, ("search_attractions", {"location": "Lisbon", "weather": "sunny"}))
    with ScriptedProvider.of(say("travel"), both, say("done"), GOOD, say("Go!")) as provider:
        _, run = await answer(trip_planner.build(parts(provider)), asked())
    results = [message for message in provider.requests[2].messages if message["role"] == "tool"]
    calls = next(message["tool_calls"] for message in provider.requests[2].messages if message.get("tool_calls"))
    assert [message["tool_call_id"] for message in results] == [one["id"] for one in calls]
    assert visited(run)["tools"] == 1


async def test_several_tools_do_not_wait_for_each_other() -> None:
    """Both are running before either has returned."""
    both_are_here = asyncio.Barrier(2)

    async def wait(name: str) -> str:
        """Waits for the other one."""
        await both_are_here.wait()
        return name

    request = asked()
    calls = call("wait", {"name": "a"}, ("wait", {"name": "b"})).chunks
    request.messages.append(ChatCompletion.of(calls).message())
    flow = Flow()
    flow.to(ToolsStep([Tool.of(wait)]), name="tools").respond()
    await asyncio.wait_for(flow.run(request), 5)
    assert [message["content"] for message in request.messages[-2:]] == ['{"result": "a"}', '{"result": "b"}']


def test_evidence_is_the_latest_result_of_each_tool() -> None:
    """A result belongs to the call before it, also where a model uses the same id again."""
    request = asked()
    for city, result in (("Oslo", "cold"), ("Rome", "hot")):
        one = {"id": "call_0", "type": "function", "function": {"name": "weather", "arguments": city}}
        request.messages += [
            {"role": "assistant", "content": None, "tool_calls": [one]},
            {"role": "tool", "tool_call_id": "call_0", "content": result},
        ]
    (evidence,) = gathered(request)
    assert evidence.strings == []
    assert (evidence.call["function"]["arguments"], str(evidence)) == ("Rome", "weather: hot")


@pytest.mark.parametrize(("score", "way"), [(3, 2), (4, 1), (5, 1)])
async def test_from_four_on_a_score_is_good_enough(score: int, way: int) -> None:
    """Three is sent back."""
    again = (WEATHER, say("done"), GOOD) if way == 2 else ()
    script = (say("travel"), WEATHER, say("done"), say(json.dumps({"score": score, "reason": "r"})), *again, say("Go!"))
    with ScriptedProvider.of(*script) as provider:
        _, run = await answer(trip_planner.build(parts(provider)), asked())
    assert visited(run)["judge"] == way


@dataclass
class Notes:
    """The state of somebody's flow."""

    seen: int = 0


async def test_the_steps_of_an_agent_work_in_a_flow_with_a_state_of_its_own() -> None:
    """What they remember does not stand in the state."""
    with ScriptedProvider.of(say("travel"), WEATHER, say("done"), GOOD, say("Go!")) as provider:
        flow = trip_planner.build(parts(provider))
        flow.state = Notes
        _, run = await answer(flow, asked())
    assert run.event.state == Notes()
    assert run.event.notes["router"]["route"] == "travel"
    assert run.event.notes["judge"]["verdict"].allowed


async def test_calls_of_the_clients_tools_go_before_the_agents_own() -> None:
    """Of a mixture only those of the client are handed back; the agent's own are asked for again later."""
    mixed = call("get_weather", LISBON, ("book", {"city": "Lisbon"}))
    with ScriptedProvider.of(say("travel"), mixed) as provider:
        completion, run = await answer(trip_planner.build(parts(provider)), asked(tools=[BOOK]))
    assert [made.name for made in completion.tool_calls] == ["book"]
    assert visited(run)["tools"] == 0


async def test_custom_tools_of_the_client_are_no_functions() -> None:
    """They are offered to the model, and have no parameters to look into."""
    custom = {"type": "custom", "custom": {"name": "sql"}}
    with ScriptedProvider.of(say("travel"), say("done"), say("When?")) as provider:
        await answer(trip_planner.build(parts(provider)), asked(tools=[custom]))
    assert provider.requests[1].parameters["tools"][-1] == custom


def refused(param: str | None, code: str | None = "unsupported_value") -> Turn:
    return fail(UpstreamRequestRefused(f"no {param}", upstream_status=400, param=param, code=code))


async def test_a_parameter_of_ours_that_a_model_refuses_is_left_out() -> None:
    """Some models take no temperature, some call max_tokens otherwise."""
    script = (refused("temperature"), refused("max_tokens", "unsupported_parameter"), say("other"), say("Hello."))
    with ScriptedProvider.of(*script) as provider:
        completion, _ = await answer(trip_planner.build(parts(provider)), asked("hi", temperature=1.0))
    assert completion.content == "Hello."
    assert [request.parameters for request in provider.requests[:3]] == [
        {"temperature": 0.0, "max_tokens": 16},
        {"max_tokens": 16},
        {"max_completion_tokens": 16},
    ]


async def test_a_parameter_of_the_clients_that_a_model_refuses_is_told() -> None:
    """It is the client's to change."""
    with (
        ScriptedProvider.of(say("other"), refused("temperature")) as provider,
        pytest.raises(UpstreamRequestRefused, match="no temperature"),
    ):
        await answer(trip_planner.build(parts(provider)), asked("hi", temperature=1.0))


@pytest.mark.parametrize(
    ("code", "kind"),
    [("invalid_value", QuestionRefused), (None, QuestionRefused), ("context_length_exceeded", UpstreamRequestRefused)],
)
async def test_a_question_of_ours_that_a_model_refuses_is_not_the_callers_fault(code: str | None, kind: type) -> None:
    """Unless it is too long, which the caller's conversation is."""
    with ScriptedProvider.of(refused("messages", code)) as provider, pytest.raises(kind) as raised:
        await answer(trip_planner.build(parts(provider)), asked())
    assert type(raised.value) is kind


async def test_a_model_call_that_is_left_before_it_says_anything_is_booked() -> None:
    """The provider has read the prompt, and will charge for it; one that fails at once is not booked."""

    class Silent(ScriptedProvider):
        async def stream(self, model: str, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
            await asyncio.Event().wait()
            yield ChatChunk()

    flow = Flow(max_seconds=0.01)
    flow.to(ResponderStep(Model("silent", Silent.of(), "silent", counter=CHARACTERS)), name="responder").respond()
    run = flow.start(Event(asked("x" * 400)))
    with pytest.raises(RunTimeout):
        await run.result()
    assert (run.usage.prompt_tokens, run.usage.completion_tokens, run.usage.source) == (100, 0, "estimated")


async def test_a_prompt_that_a_step_cannot_fill_is_refused_when_the_graph_is_built(tmp_path: Path) -> None:
    """Not when the first request comes."""
    (tmp_path / "planner.toml").write_text('[[prompt_template]]\nrole = "system"\ncontent = "{{ city }}"\n')
    (tmp_path / "judge.toml").write_text('[[prompt_template]]\nrole = "system"\ncontent = "{{ topic }}"\n')
    mine = Parts(Model("m", ScriptedProvider.of(), "m"), prompts=PromptStore(tmp_path))
    with pytest.raises(InvalidPrompt, match="prompt 'planner' needs 'city'; here nothing can be filled in"):
        trip_planner.build(mine)
    (tmp_path / "planner.toml").unlink()
    mine = Parts(Model("m", ScriptedProvider.of(), "m"), prompts=PromptStore(tmp_path))
    with pytest.raises(InvalidPrompt, match="prompt 'judge' needs 'topic'; here request, evidence can be used"):
        trip_planner.build(mine)


async def test_a_tool_that_does_not_exist_is_told_to_the_model() -> None:
    """A call of a tool that nobody declared gets an error to read, and the loop goes on."""
    with ScriptedProvider.of(say("travel"), call("fly", {}), say("done"), GOOD, say("Go!")) as provider:
        await answer(trip_planner.build(parts(provider)), asked())
    assert "there is no tool 'fly'" in provider.requests[2].messages[-1]["content"]


async def test_the_clients_parameters_are_the_responders() -> None:
    """Sampling of the client reaches the step that speaks; router and judge keep their own."""
    request = asked("hi", temperature=1.5, stop=["x"], max_completion_tokens=7, seed=3)
    with ScriptedProvider.of(say("other"), say("Hello.")) as provider:
        await answer(trip_planner.build(parts(provider)), request)
    route, spoken = provider.requests
    assert route.parameters == {"temperature": 0.0, "max_tokens": 16}
    assert spoken.parameters == {"temperature": 1.5, "stop": ["x"], "max_completion_tokens": 7, "seed": 3}


async def test_an_upstream_that_fails_inside_the_agent_fails_the_run() -> None:
    """The error names the step; what was spent before is booked."""
    script: tuple[Turn, ...] = (say("travel"), fail(UpstreamUnavailable("down")))
    with ScriptedProvider.of(*script) as provider:
        run = trip_planner.build(parts(provider)).start(Event(asked()))
        with pytest.raises(UpstreamUnavailable) as raised:
            await run.result()
    assert raised.value.__notes__ == ["in step 'router' of flow 'trip-planner'"]
    assert run.usage.total_tokens == 15


def test_the_agents_prove_how_they_stream() -> None:
    """The planner answers live, the reviewed answer once it is accepted."""
    provider = ScriptedProvider.of()
    assert trip_planner.build(parts(provider)).streaming.kind == "live"
    assert reviewed_answer.build(parts(provider)).streaming.kind == "accepted"


async def test_a_reviewed_answer_shows_only_the_accepted_draft() -> None:
    """The writer gets the reason; the client sees nothing of the first draft."""
    script = (say("rude words"), say('{"score": 1, "reason": "Be polite."}'), say("Kind words."), GOOD)
    with ScriptedProvider.of(*script) as provider:
        completion, run = await answer(reviewed_answer.build(parts(provider)), asked("hi"))
    assert completion.content == "Kind words."
    assert provider.requests[1].messages[1]["content"] == "Request: hi\nAnswer: rude words"
    assert [message["content"] for message in provider.requests[2].messages[1:]] == [
        "hi",
        "rude words",
        "Reviewer: Be polite.",
    ]
    assert run.limit is None


async def test_the_best_draft_is_answered_when_none_is_accepted() -> None:
    """Three drafts at most; of those the one that scored highest, and the run says that it was limited."""
    scores = (2, 3, 1)
    drafts = [turn for score in scores for turn in (say(f"draft {score}"), say(json.dumps({"score": score})))]
    with ScriptedProvider.of(*drafts) as provider:
        completion, run = await answer(reviewed_answer.build(parts(provider)), asked("hi"))
    assert completion.content == "draft 3"
    assert "writer" in str(run.limit)
    assert run.usage.total_tokens == 6 * 15
