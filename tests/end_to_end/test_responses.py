"""/v1/responses through the official SDK and as raw wire, over a real upstream and over graphs."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from llm.testing import OPENAI, Cut, Hang, Json, Pause, Stream
from llm.testing.dialect import Call
from llm.testing.upstream import answer, choice, frame
from tests.gateway.endpoints.responses.bad import BAD
from tests.gateway.endpoints.responses.published import events_of, item_list_of, kinds_of
from tests.serving import Gateway, serving, serving_upstream

PATH = "/v1/responses"
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
CALLED = Call("call_1", "get_weather", '{"city": "Oslo"}')


class Trip(BaseModel):
    """What a model is to answer."""

    city: str
    days: int


async def wire_of(gateway: Gateway, **body: Any) -> bytes:
    """The bytes of a streamed answer."""
    async with gateway.http.post(gateway.address + PATH, json={"model": "up", "stream": True, **body}) as response:
        assert response.status == 200, await response.text()
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        return await response.read()


async def test_a_response() -> None:
    """The SDK gets the words and the usage of the upstream; what was asked has become a chat request."""
    async with serving_upstream(answer("Hello")) as (gateway, upstream), gateway.sdk() as client:
        response = await client.responses.create(
            model="up",
            input="hi",
            instructions="Be brief.",
            max_output_tokens=16,
            temperature=0,
            reasoning={"effort": "low"},
            text={"verbosity": "low"},
            user="u",
            metadata={"a": "b"},
            store=False,
            include=["reasoning.encrypted_content"],
            truncation="auto",
            extra_body={"top_k": 2},
        )
    assert response.output_text == "Hello"
    assert response.model == "up"
    assert response.status == "completed"
    assert response.metadata == {"a": "b"}
    assert response.usage is not None
    assert response.usage.total_tokens == 10
    assert upstream.received[0].body == {
        "model": "upstream-model",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        "max_completion_tokens": 16,
        "temperature": 0,
        "reasoning_effort": "low",
        "verbosity": "low",
        "user": "u",
        "top_k": 2,
    }


async def test_a_streamed_response() -> None:
    """All of its events are the published ones; the SDK's own helper puts the same response together."""
    replies = [Stream.of_text("Hel", "lo", usage=USAGE) for _ in range(3)]
    async with serving_upstream(*replies) as (gateway, _), gateway.sdk() as client:
        events = events_of(await wire_of(gateway, input="hi"))
        plain = [event async for event in await client.responses.create(model="up", input="hi", stream=True)]
        async with client.responses.stream(model="up", input="hi") as stream:
            async for _ in stream:
                pass
            final = await stream.get_final_response()
    assert kinds_of(events) == kinds_of(plain)
    assert events[-1].response.output_text == final.output_text == "Hello"
    assert final.usage is not None
    assert final.usage.total_tokens == 9


async def test_words_arrive_one_after_the_other() -> None:
    """The client has the first word while the upstream has not yet written the second."""
    pause = Pause()
    pieces = [*Stream.words("first"), pause, frame(choice({"content": "second"})), *Stream.end(USAGE)]
    async with serving_upstream(Stream(pieces)) as (gateway, _), gateway.sdk() as client:
        words = []
        async for event in await client.responses.create(model="up", input="hi", stream=True):
            if event.type == "response.output_text.delta":
                words.append(event.delta)
                pause.set()
    assert words == ["first", "second"]


def test_the_sync_sdk() -> None:
    """The synchronous client reads both kinds of answer."""

    def talk(address: str) -> list[str]:
        with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
            with client.responses.stream(model="up", input="hi") as stream:
                kinds = [event.type for event in stream]
            whole = client.responses.create(model="up", input="hi")
            again = client.responses.retrieve(whole.id)
        return [kinds[-1], whole.output_text, again.output_text]

    async def main() -> list[str]:
        async with serving_upstream(Stream.of_text("Hel", "lo"), answer("Hello")) as (gateway, _):
            return await asyncio.to_thread(talk, gateway.address)

    assert asyncio.run(main()) == ["response.completed", "Hello", "Hello"]


async def test_items_of_every_kind_become_messages() -> None:
    """Texts, images, files, what the assistant said, what it called and got, and what it thought."""
    items: list[Any] = [
        {"role": "developer", "content": "Be kind."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Look:"}]},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "and"},
                {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
            ],
        },
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "I see.", "annotations": []}],
        },
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}", "id": None, "status": None},
        {"type": "custom_tool_call", "call_id": "b", "name": "g", "input": "x"},
        {"type": "function_call_output", "call_id": "a", "output": "1"},
        {"type": "custom_tool_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "2"}]},
        {"role": "assistant", "content": "Three."},
        {"role": "user", "content": ""},
    ]
    async with serving_upstream(answer("ok")) as (gateway, upstream):
        status, _, body = await gateway.post(PATH, {"model": "up", "input": items})
        _, _, listed = await gateway.get(f"{PATH}/{body['id']}/input_items?order=asc")
    assert status == 200
    assert upstream.received[0].body["messages"] == [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": "Look:"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "and"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}},
            ],
        },
        {
            "role": "assistant",
            "content": "I see.",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "b", "type": "custom", "custom": {"name": "g", "input": "x"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
        {"role": "assistant", "content": "Three."},
        {"role": "user", "content": ""},
    ]
    published = item_list_of(listed)
    assert [item.type for item in published.data] == [item.get("type", "message") for item in items]
    assert len({item.id for item in published.data}) == len(items)


@pytest.mark.parametrize("stream", [True, False])
async def test_tools_of_the_client(stream: bool) -> None:
    """A call reaches the SDK as an item; its output goes up with the call, by reference or with the history."""
    called = OPENAI.calls(CALLED) if stream else OPENAI.answer("", CALLED, finish_reason="tool_calls")
    choice_of_one: Any = {"type": "function", "name": "get_weather"}
    async with (
        serving_upstream(called, answer("Cold."), answer("Cold.")) as (gateway, upstream),
        gateway.sdk() as client,
    ):
        asked: dict[str, Any] = {"model": "up", "input": "Weather?", "tools": [WEATHER], "tool_choice": choice_of_one}
        if stream:
            async with client.responses.stream(**asked) as events:
                first: Any = await events.get_final_response()
        else:
            first = await client.responses.create(**asked)
        (call,) = first.output
        result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "-3"}
        chained = await client.responses.create(
            model="up", previous_response_id=first.id, input=[result], tools=[WEATHER], parallel_tool_calls=False
        )
        history: Any = [{"role": "user", "content": "Weather?"}, *first.output, result]
        whole = await client.responses.create(model="up", input=history, tools=[WEATHER])
    assert (call.type, call.call_id, call.name, call.arguments) == (
        "function_call",
        "call_1",
        "get_weather",
        '{"city": "Oslo"}',
    )
    assert chained.output_text == whole.output_text == "Cold."
    function = {name: WEATHER[name] for name in ("name", "description", "parameters", "strict")}
    first_body, second, third = (received.body for received in upstream.received)
    assert first_body["tools"] == [{"type": "function", "function": function}]
    assert first_body["tool_choice"] == {"type": "function", "function": {"name": "get_weather"}}
    assert second["parallel_tool_calls"] is False
    assert second["messages"] == third["messages"]
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "tool"]


async def test_structured_output() -> None:
    """The schema goes up in chat's form; the SDK parses what comes back, streamed or not."""
    text = '{"city": "Oslo", "days": 3}'
    async with (
        serving_upstream(answer(text), Stream.of_text(text[:9], text[9:]), answer("{}")) as (gateway, upstream),
        gateway.sdk() as client,
    ):
        parsed = await client.responses.parse(model="up", input="Plan.", text_format=Trip)
        async with client.responses.stream(model="up", input="Plan.", text_format=Trip) as stream:
            final = await stream.get_final_response()
        await client.responses.create(model="up", input="Plan.", text={"format": {"type": "json_object"}})
    assert parsed.output_parsed == final.output_parsed == Trip(city="Oslo", days=3)
    wanted = upstream.received[0].body["response_format"]
    assert (wanted["type"], wanted["json_schema"]["name"], wanted["json_schema"]["strict"]) == (
        "json_schema",
        "Trip",
        True,
    )
    assert wanted["json_schema"]["schema"]["required"] == ["city", "days"]
    assert upstream.received[2].body["response_format"] == {"type": "json_object"}


async def test_graphs_answer_too() -> None:
    """An agent on the embedded model, and a graph whose answer is an object; tools inside it do not show."""
    async with serving() as gateway, gateway.sdk() as client:
        whole = await client.responses.create(model="trip-planner", input="What is the weather in Oslo in May?")
        async with client.responses.stream(model="trip-planner", input="What is the weather in Oslo in May?") as stream:
            final = await stream.get_final_response()
    assert "Oslo" in whole.output_text
    assert final.output_text == whole.output_text
    assert [item.type for item in whole.output] == ["message"]
    assert whole.usage is not None
    assert whole.usage.output_tokens > 0


async def test_what_a_graph_says_besides_text() -> None:
    """Objects as JSON; the best draft at a cap as an incomplete response; none of its words where it breaks."""
    graphs = [
        {"name": name, "build": f"tests.end_to_end.own_graphs:{name}"} for name in ("counting", "drafting", "failing")
    ]
    async with serving(graphs=graphs) as gateway, gateway.sdk() as client:
        counted = await client.responses.create(model="counting", input="hello")
        drafted = await client.responses.create(model="drafting", input="hello")
        with pytest.raises(openai.InternalServerError) as raised:
            await client.responses.create(model="failing", input="hello", stream=True)
    assert counted.output_text == '{"letters":5}'
    assert (drafted.status, drafted.output_text) == ("incomplete", "a draft")
    assert "secret" not in str(raised.value)


async def test_what_was_thought_is_a_summary() -> None:
    """An upstream's reasoning is an item of its own, and does not go up again with what comes after it."""
    thoughts = [frame(choice({"reasoning_content": text})) for text in ("Hm, ", "well.")]
    reply = Stream([*thoughts, *Stream.words("Yes")[1:], *Stream.end(USAGE)])
    async with serving_upstream(reply, answer("Sure.")) as (gateway, upstream), gateway.sdk() as client:
        async with client.responses.stream(model="up", input="hi") as stream:
            first: Any = await stream.get_final_response()
        await client.responses.create(model="up", input="Sure?", previous_response_id=first.id)
    assert [item.type for item in first.output] == ["reasoning", "message"]
    assert first.output[0].summary[0].text == "Hm, well."
    assert upstream.received[1].body["messages"][1] == {"role": "assistant", "content": "Yes"}


async def test_bad_input_is_the_callers_error() -> None:
    """Whatever is wrong with a request: a 400 that names the place, before anything is asked or kept."""
    async with serving_upstream() as (gateway, _):
        for body, param, code in BAD:
            status, _, told = await gateway.post(PATH, body)
            assert (status, told["error"]["param"], told["error"]["code"]) == (400, param, code), body
            assert told["error"].keys() == {"message", "type", "param", "code"}
        bytes_of_nothing = await gateway.post(PATH, b"{")
        unknown = await gateway.post(PATH, {"model": "nobody", "input": "hi", "background": True})
        elsewhere = [
            await gateway.post(f"{PATH}/resp_1", {}),
            await gateway.get(PATH),
            await gateway.get(f"{PATH}/a/b"),
        ]
    assert bytes_of_nothing[0] == 400
    assert (unknown[0], unknown[2]["error"]["code"]) == (404, "model_not_found")
    assert [status for status, _, _ in elsewhere] == [405, 405, 404]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("reply", "error", "status", "code"),
    [
        (Json({"error": {"message": "bad", "param": "top_p", "code": "x"}}, 400), openai.BadRequestError, 400, "x"),
        (Json({"error": {"message": "sk-abc"}}, 401), openai.InternalServerError, 502, "upstream_credentials_refused"),
        (Json({"error": {}}, 429, {"retry-after": "2"}), openai.RateLimitError, 429, "rate_limit_exceeded"),
        (Json({}, 500), openai.InternalServerError, 503, "upstream_unavailable"),
    ],
)
async def test_an_upstream_that_fails_before_its_first_chunk(
    reply: Json, error: type[openai.APIStatusError], status: int, code: str, stream: bool
) -> None:
    """It is a status, streamed or not, that the SDK raises as the right class."""
    async with serving_upstream(reply) as (gateway, _), gateway.sdk() as client:
        with pytest.raises(error) as raised:
            await client.responses.create(model="up", input="hi", stream=stream)
    assert (raised.value.status_code, raised.value.code) == (status, code)


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ([Cut()], "upstream_broke_off"),
        ([b"data: {oops\n\n"], "upstream_garbled"),
        ([frame({"error": {"message": "sk-abc"}})], "upstream_unavailable"),
    ],
)
async def test_an_upstream_that_fails_after_its_first_chunk(end: list[Any], code: str) -> None:
    """What was said has arrived, then the SDK raises; the response is kept as failed."""
    async with serving_upstream(Stream([*Stream.words("Hel"), *end])) as (gateway, _), gateway.sdk() as client:
        got: list[Any] = []
        with pytest.raises(openai.APIError) as raised:
            async for event in await client.responses.create(model="up", input="hi", stream=True):
                got.append(event)
        kept = await client.responses.retrieve(got[0].response.id)
    assert kinds_of(got)[-1] == "output_text.delta"
    assert raised.value.code == code
    assert "sk-abc" not in str(raised.value)
    assert kept.status == "failed"
    assert kept.error is not None
    assert kept.error.code == "server_error"


async def test_an_answer_that_was_cut_off() -> None:
    """The upstream's length is the response's limit."""
    reply = answer("Hel")
    reply.body["choices"][0]["finish_reason"] = "length"
    async with serving_upstream(reply) as (gateway, _), gateway.sdk() as client:
        response = await client.responses.create(model="up", input="hi", max_output_tokens=16)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_ends_the_upstreams_work(stream: bool) -> None:
    """And nothing is kept of what it did not wait for."""
    pieces = Stream([*Stream.words("Hello"), Hang()]) if stream else Hang()
    async with serving_upstream(pieces) as (gateway, upstream), gateway.sdk() as client:
        if stream:
            events: Any = await client.responses.create(model="up", input="hi", stream=True)
            begun: Any = await anext(aiter(events))
            await events.close()
        else:
            asked = asyncio.create_task(gateway.post(PATH, {"model": "up", "input": "hi"}))
            while not upstream.received:
                await asyncio.sleep(0)
            asked.cancel()
        await asyncio.wait_for(upstream.left.wait(), 5)
        (run,) = await gateway.runs()
        if stream:
            assert (await gateway.get(f"{PATH}/{begun.response.id}"))[0] == 404
    assert run["outcome"] == "left"
