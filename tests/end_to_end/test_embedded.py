"""The embedded model behind the gateway as it starts without a settings file: the agents, and the model by itself."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessageParam

from graph.agents.travel import TravelTools, atlas
from tests.serving import Gateway, serving

PLACE, DATE = "Lisbon", "14 May"
TRIP: list[ChatCompletionMessageParam] = [{"role": "user", "content": f"Plan a trip to {PLACE} on {DATE}"}]
FORECAST: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"location": {"type": "string"}, "date": {"type": "string"}},
            "required": ["location", "date"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture
async def gateway() -> AsyncGenerator[Gateway, None]:
    async with serving() as gateway:
        yield gateway


def facts(place: str, date: str) -> list[str]:
    """What the tools know of a place, as an answer must say it."""
    tools = TravelTools()
    weather = tools.get_weather(place, date)
    sights = tools.search_attractions(place, weather["condition"])
    return [place, weather["condition"], f"{weather['temp_c']}°C", *sights["attractions"]]


async def test_the_trip_planner_says_what_its_tools_found(gateway: Gateway) -> None:
    """Streamed and not, the same grounded answer; it comes in many chunks, and its usage is what its steps spent."""
    async with gateway.sdk() as client:
        whole = await client.chat.completions.create(model="trip-planner", messages=TRIP)
        stream = await client.chat.completions.create(
            model="trip-planner", messages=TRIP, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    answer = whole.choices[0].message.content or ""
    assert [fact for fact in facts(PLACE, DATE) if fact not in answer] == []
    pieces = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    assert "".join(pieces) == answer
    assert len(pieces) > 10
    assert whole.usage is not None
    assert chunks[-1].usage == whole.usage

    streamed, collected = await gateway.runs(2)
    for run in (streamed, collected):
        walked = [step["step"] for step in run["steps"]]
        assert walked == ["router", "tools", "router", "tools", "router", "judge", "responder"]
        assert [step["step"] for step in run["steps"] if not step["usage"]] == ["tools", "tools"]
        calls = [call for step in run["steps"] for call in step["usage"]]
        assert {call["source"] for call in calls} == {"real"}
        assert sum(call["total_tokens"] for call in calls) == whole.usage.total_tokens


async def test_most_cities_of_the_table_are_answered_whole(gateway: Gateway) -> None:
    """So small a model may fail at some; that it fails at many would be a fault of ours."""
    right = 0
    cities = sorted({city for city, _ in atlas().normals})[::20]
    async with gateway.sdk() as client:
        for city in cities:
            asked: list[ChatCompletionMessageParam] = [{"role": "user", "content": f"Plan a trip to {city} on 14 May"}]
            whole = await client.chat.completions.create(model="trip-planner", messages=asked)
            right += all(fact in (whole.choices[0].message.content or "") for fact in facts(city, "14 May"))
    assert right >= 0.7 * len(cities)


async def test_an_unknown_place_is_not_made_up(gateway: Gateway) -> None:
    """No temperature, no sights: nobody has looked anything up."""
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Plan a trip to Qorvendale on 3 June"}]
    async with gateway.sdk() as client:
        whole = await client.chat.completions.create(model="trip-planner", messages=messages)
    answer = whole.choices[0].message.content or ""
    assert "°C" not in answer
    assert "Qorvendale" in answer


async def test_the_model_list_calls_it_a_demonstration(gateway: Gateway) -> None:
    """Whoever lists the models is told what it is."""
    async with gateway.sdk() as client:
        models = {model.id: model async for model in client.models.list()}
    assert set(models) == {"penstock-demo", "trip-planner", "reviewed-answer"}
    assert "Demonstration model" in str(models["penstock-demo"].model_dump()["description"])


async def test_a_tool_of_the_client_comes_back_as_a_call(gateway: Gateway) -> None:
    """Its arguments are JSON that its schema allows; the client runs it and the model answers from what it found."""
    messages = [*TRIP]
    async with gateway.sdk() as client:
        asked = await client.chat.completions.create(model="penstock-demo", messages=messages, tools=[FORECAST])
        call: Any = (asked.choices[0].message.tool_calls or [])[0]
        found = {**json.loads(call.function.arguments), "condition": "sunny", "temp_c": 21}
        messages.append(asked.choices[0].message.model_dump(exclude_none=True))  # type: ignore[arg-type]
        messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(found)})
        told = await client.chat.completions.create(model="penstock-demo", messages=messages, tools=[FORECAST])
    assert asked.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "get_weather"
    assert set(json.loads(call.function.arguments)) == {"location", "date"}
    assert told.choices[0].finish_reason in {"stop", "tool_calls"}


async def test_json_is_as_its_schema_says(gateway: Gateway) -> None:
    """Whatever the model would rather say: hot or cold, the answer is an instance of the schema."""
    schema: Any = {
        "type": "object",
        "properties": {
            "topic": {"enum": ["sport", "finance"]},
            "stars": {"type": "integer", "minimum": 1, "maximum": 5},
        },
        "required": ["topic", "stars"],
        "additionalProperties": False,
    }
    response_format: Any = {"type": "json_schema", "json_schema": {"name": "rating", "schema": schema, "strict": True}}
    async with gateway.sdk() as client:
        for seed in range(5):
            rated = await client.chat.completions.create(
                model="penstock-demo", messages=TRIP, response_format=response_format, temperature=1.5, seed=seed
            )
            rating = json.loads(rated.choices[0].message.content or "")
            assert set(rating) == {"topic", "stars"}
            assert rating["topic"] in {"sport", "finance"}
            assert rating["stars"] in range(1, 6)


async def test_limits_stops_and_seeds(gateway: Gateway) -> None:
    """max_tokens cuts to the token, a stop string is not sent, a seed gives the same draw again."""
    who: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Who are you?"}]
    async with gateway.sdk() as client:
        plain = await client.chat.completions.create(model="penstock-demo", messages=who)
        short = await client.chat.completions.create(model="penstock-demo", messages=who, max_tokens=3)
        text = plain.choices[0].message.content or ""
        word = text.split()[2]
        stopped = await client.chat.completions.create(model="penstock-demo", messages=who, stop=[word])
        drawn = [
            await client.chat.completions.create(model="penstock-demo", messages=who, temperature=2, seed=seed)
            for seed in (7, 7, 8, 9)
        ]
    assert short.usage is not None
    assert (short.choices[0].finish_reason, short.usage.completion_tokens) == ("length", 3)
    assert (stopped.choices[0].finish_reason, stopped.choices[0].message.content) == ("stop", text.partition(word)[0])
    said = [draw.choices[0].message.content for draw in drawn]
    assert said[0] == said[1]
    assert len(set(said)) > 1


async def test_a_client_that_leaves_stops_the_model(gateway: Gateway) -> None:
    """The run ends as left, having said no more than was read and a token or two."""
    async with gateway.sdk() as client:
        stream = await client.chat.completions.create(model="trip-planner", messages=TRIP, stream=True)
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        await stream.close()
        whole = await client.chat.completions.create(model="trip-planner", messages=TRIP)
    _, left = await gateway.runs(2)
    assert left["outcome"] == "left"
    assert whole.usage is not None
    assert 0 < sum(call["total_tokens"] for step in left["steps"] for call in step["usage"]) < whole.usage.total_tokens
