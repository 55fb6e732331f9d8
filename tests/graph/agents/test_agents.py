"""The agents that ship, on a scripted model: which way they go, what they ask, what the client sees."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import Any

import pytest

from graph import Event, Flow, FlowRun
from graph.agents import reviewed_answer, trip_planner
from graph.parts import Parts
from llm import ChatCompletion, ChatRequest, InvalidRequest, Model, UpstreamUnavailable, Usage
from llm.testing import ScriptedProvider, Turn, call, fail, say

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
    assert [message["tool_call_id"] for message in results] == ["call_0", "call_1"]
    assert visited(run)["tools"] == 1


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
