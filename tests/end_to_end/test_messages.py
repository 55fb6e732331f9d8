"""/v1/messages through Anthropic's own SDK and as raw wire, over real upstreams of both kinds and over graphs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import orjson
import pytest
from anthropic.types import Message, MessageParam
from anthropic.types.shared import ErrorResponse

from graph.agents.travel import TravelTools
from llm.testing import ANTHROPIC, Cut, Hang, Json, Pause, ScriptedUpstream, Stream
from llm.testing.dialect import OPENAI, Call
from llm.testing.upstream import Reply, answer, choice, frame
from tests.gateway.endpoints.messages.test_shape import ASKED, WRONG
from tests.serving import Gateway, serving, serving_upstream

HI: list[MessageParam] = [{"role": "user", "content": "hi"}]
BODY = {"model": "up", "max_tokens": 9, "messages": HI}
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


LATE = frame(choice({"tool_calls": [{"index": 0, "function": {"arguments": "late"}}]}))


def sdk(gateway: Gateway, **options: Any) -> anthropic.AsyncAnthropic:
    """The official SDK, with only the base URL and a key set, and no retries of its own."""
    return anthropic.AsyncAnthropic(**{"base_url": gateway.address, "api_key": "none", "max_retries": 0, **options})


@asynccontextmanager
async def serving_claude(*replies: Reply) -> AsyncGenerator[tuple[Gateway, ScriptedUpstream], None]:
    """A gateway with one model, ``up``, behind which a scripted upstream answers as Anthropic does."""
    async with ScriptedUpstream(*replies) as upstream:
        provider = {"name": "scripted", "kind": "anthropic", "base_url": upstream.base_url, "api_key": "sk-own"}
        model = {"name": "up", "provider": "scripted", "model": "claude"}
        async with serving(providers=[provider], models=[model], graphs=[]) as gateway:
            yield gateway, upstream


async def test_an_answer_that_is_not_streamed() -> None:
    """Words, end and usage of an upstream of OpenAI's kind, which gets what it knows under its own names."""
    async with serving_upstream(answer("Hello")) as (gateway, upstream), sdk(gateway) as client:
        message = await client.messages.create(
            model="up",
            max_tokens=9,
            messages=HI,
            system="Be brief.",
            stop_sequences=["x"],
            extra_body={"temperature": 0.5},
        )
    assert Message.model_validate(message.model_dump()) == message
    assert (message.model, message.role, message.stop_reason) == ("up", "assistant", "end_turn")
    assert message.id.startswith("msg_")
    assert [block.model_dump(exclude_none=True) for block in message.content] == [{"type": "text", "text": "Hello"}]
    assert (message.usage.input_tokens, message.usage.output_tokens) == (7, 3)
    assert message._request_id is not None
    assert upstream.received[0].body == {
        "model": "upstream-model",
        "messages": [{"role": "system", "content": "Be brief."}, *HI],
        "max_completion_tokens": 9,
        "stop": ["x"],
        "temperature": 0.5,
    }


async def test_a_streamed_answer() -> None:
    """The SDK's stream helper puts it together, word by word."""
    async with (
        serving_upstream(OPENAI.text("Hel", "lo")) as (gateway, _),
        sdk(gateway) as client,
        client.messages.stream(model="up", max_tokens=9, messages=HI) as stream,
    ):
        words = [word async for word in stream.text_stream]
        message = await stream.get_final_message()
    assert words == ["Hel", "lo"]
    assert message.stop_reason == "end_turn"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (7, 3)


async def test_words_arrive_one_after_the_other() -> None:
    """The client has the first while the upstream has not yet written the second."""
    pause = Pause()
    pieces = [*OPENAI.words("first"), pause, *OPENAI.word_pieces(["second"]), *OPENAI.end("stop")]
    async with (
        serving_upstream(Stream(pieces)) as (gateway, _),
        sdk(gateway) as client,
        client.messages.stream(model="up", max_tokens=9, messages=HI) as stream,
    ):
        words = aiter(stream.text_stream)
        assert await anext(words) == "first"
        pause.set()
        assert await anext(words) == "second"


@pytest.mark.parametrize("claude", [True, False])
async def test_a_loop_of_tools(claude: bool) -> None:
    """Calls come out whole, streamed or not; results go back in, whatever the upstream speaks."""
    said: Any = ANTHROPIC if claude else OPENAI
    calls = [Call("c1", "get_weather", '{"city": "Oslo"}'), Call("c2", "get_weather", '{"city": "Rome"}')]
    replies = [said.calls(*calls), said.answer("", *calls, finish_reason="tool_calls"), said.answer("Cold.")]
    async with (
        (serving_claude if claude else serving_upstream)(*replies) as (gateway, upstream),
        sdk(gateway) as client,
    ):
        given: Any = {"model": "up", "max_tokens": 99, "tools": [WEATHER], "tool_choice": {"type": "any"}}
        async with client.messages.stream(messages=HI, **given) as stream:
            streamed = await stream.get_final_message()
        whole = await client.messages.create(messages=HI, **given)
        results: Any = [
            {"type": "tool_result", "tool_use_id": block.id, "content": "-3", "is_error": True}
            for block in whole.content
            if block.type == "tool_use"
        ]
        history: Any = [*HI, {"role": "assistant", "content": whole.content}, {"role": "user", "content": results}]
        last = await client.messages.create(messages=history, **given)
    messages: list[Any] = [streamed, whole]
    for message in messages:
        assert message.stop_reason == "tool_use"
        uses = [(block.id, block.name, block.input) for block in message.content if block.type == "tool_use"]
        assert uses == [("c1", "get_weather", {"city": "Oslo"}), ("c2", "get_weather", {"city": "Rome"})]
    assert last.content[0].model_dump(exclude_none=True) == {"type": "text", "text": "Cold."}
    sent = upstream.received[-1].body
    if claude:
        assert (sent["tools"], sent["tool_choice"]) == ([WEATHER], {"type": "any"})
        assert sent["messages"][-1] == history[-1]
    else:
        assert (sent["tools"][0]["function"]["name"], sent["tool_choice"]) == ("get_weather", "required")
        assert [message["role"] for message in sent["messages"]] == ["user", "assistant", "tool", "tool"]


async def test_what_only_anthropic_knows_reaches_it() -> None:
    """Cache marks, signed thoughts and its own tools go up; thoughts, the stop sequence and cached tokens come down."""
    thinking = {"type": "thinking", "thinking": "", "signature": ""}
    start = {"input_tokens": 5, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 1}
    pieces = [
        ANTHROPIC.event("message_start", message={"role": "assistant", "usage": start}),
        *ANTHROPIC.block(
            0,
            thinking,
            {"type": "thinking_delta", "thinking": "hm"},
            {"type": "signature_delta", "signature": "sig"},
        ),
        *ANTHROPIC.block(1, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Hi"}),
        ANTHROPIC.event(
            "message_delta",
            delta={"stop_reason": "stop_sequence", "stop_sequence": "END"},
            usage={"output_tokens": 3},
        ),
        ANTHROPIC.event("message_stop"),
    ]
    signed = {"type": "thinking", "thinking": "hm", "signature": "sig"}
    given: Any = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]},
            {"role": "assistant", "content": [signed, {"type": "text", "text": "Ho"}]},
            {"role": "user", "content": [{"type": "text", "text": "on"}]},
        ],
        "system": [{"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}}],
        "tools": [{"type": "web_search_20250305", "name": "web_search"}],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "stop_sequences": ["END"],
        "max_tokens": 2000,
    }
    async with (
        serving_claude(Stream(pieces)) as (gateway, upstream),
        sdk(gateway) as client,
        client.messages.stream(model="up", **given) as stream,
    ):
        message = await stream.get_final_message()
    assert upstream.received[0].body == {**given, "model": "claude", "stream": True}
    assert message.content[0].model_dump() == signed
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")
    usage = message.usage
    assert (usage.input_tokens, usage.cache_creation_input_tokens, usage.cache_read_input_tokens) == (5, 3, 2)


async def test_thoughts_of_other_models_are_thinking_blocks() -> None:
    """What comes as reasoning_content is thought, streamed and not."""
    said = [frame(choice({"reasoning_content": "h"})), frame(choice({"reasoning_content": "m"}))]
    streamed = Stream([*OPENAI.opening(), *said, *OPENAI.word_pieces(["Hi"]), *OPENAI.end("stop")])
    async with serving_upstream(streamed, answer("Hi", reasoning_content="hm")) as (gateway, _), sdk(gateway) as client:
        async with client.messages.stream(model="up", max_tokens=9, messages=HI) as stream:
            first = await stream.get_final_message()
        second = await client.messages.create(model="up", max_tokens=9, messages=HI)
    thought = {"type": "thinking", "thinking": "hm", "signature": ""}
    assert first.content[0].model_dump() == second.content[0].model_dump() == thought


async def test_a_graph_answers_too() -> None:
    """The trip planner, streamed and not, with the words of its tools and the usage of its whole run."""
    asked: list[MessageParam] = [{"role": "user", "content": "Plan a trip to Lisbon on 14 May"}]
    async with serving() as gateway, sdk(gateway) as client:
        whole = await client.messages.create(model="trip-planner", max_tokens=500, messages=asked)
        async with client.messages.stream(model="trip-planner", max_tokens=500, messages=asked) as stream:
            words = [word async for word in stream.text_stream]
            streamed = await stream.get_final_message()
        counted = await client.messages.count_tokens(model="trip-planner", messages=asked)
        model = await client.messages.count_tokens(model="penstock-demo", messages=asked)
        (run, _) = await gateway.runs(2)
    (said,) = whole.content
    assert said.type == "text"
    assert f"{TravelTools().get_weather('Lisbon', '14 May')['temp_c']}°C" in said.text
    assert "".join(words) == said.text
    assert len(words) > 10
    assert [block.text for block in streamed.content if block.type == "text"] == [said.text]
    assert streamed.usage.input_tokens == whole.usage.input_tokens == run["usage"]["prompt_tokens"]
    assert counted.input_tokens > 5
    assert model.input_tokens > 5


async def test_tokens_are_counted_without_asking_the_model() -> None:
    """More words, a system and tools are more tokens; the upstream hears of nothing."""
    wrong: Any = [{"role": "x", "content": "hi"}]
    async with serving_upstream() as (gateway, _), sdk(gateway) as client:
        little = await client.messages.count_tokens(model="up", messages=HI)
        more = await client.messages.count_tokens(model="up", messages=HI, system="Be very brief.", tools=[WEATHER])
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.count_tokens(model="nope", messages=HI)
        with pytest.raises(anthropic.BadRequestError, match=r"messages\.0\.role"):
            await client.messages.count_tokens(model="up", messages=wrong)
    assert 0 < little.input_tokens < more.input_tokens


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("reply", "error", "status", "kind"),
    [
        (Json({"error": {"message": "bad"}}, 400), anthropic.BadRequestError, 400, "invalid_request_error"),
        (Json({"error": {"message": "sk-abc"}}, 401), anthropic.InternalServerError, 502, "api_error"),
        (Json({"error": {}}, 429, {"retry-after": "2"}), anthropic.RateLimitError, 429, "rate_limit_error"),
        (Json({}, 500), anthropic.InternalServerError, 503, "overloaded_error"),
        (Json(b"no json"), anthropic.InternalServerError, 502, "api_error"),
    ],
)
async def test_an_upstream_that_fails_before_its_first_chunk(
    reply: Json, error: type[anthropic.APIStatusError], status: int, kind: str, stream: bool
) -> None:
    """It is a status, streamed or not, that the SDK raises as the right class; keys are never repeated."""
    async with serving_upstream(reply) as (gateway, _), sdk(gateway) as client:
        with pytest.raises(error) as raised:
            await client.messages.create(model="up", max_tokens=9, messages=HI, stream=stream)
    body: Any = raised.value.body
    assert ErrorResponse.model_validate(body).error.type == kind
    assert (raised.value.status_code, body["request_id"]) == (status, raised.value.request_id)
    assert "sk-abc" not in str(raised.value)


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        ([Cut()], "api_error"),
        ([b"data: {oops\n\n"], "api_error"),
        ([OPENAI.fault("sk-abc")], "overloaded_error"),
        ([*OPENAI.call_pieces([Call("a", "f"), Call("b", "g")], whole=True), LATE], "api_error"),
    ],
)
async def test_an_upstream_that_fails_after_its_first_chunk(end: list[Any], kind: str) -> None:
    """What was said has arrived; then the SDK raises the error that stands in the stream."""
    async with serving_upstream(Stream([*OPENAI.words("Hel"), *end])) as (gateway, _), sdk(gateway) as client:
        got = ""
        with pytest.raises(anthropic.APIStatusError) as raised:
            async with client.messages.stream(model="up", max_tokens=9, messages=HI) as stream:
                async for word in stream.text_stream:
                    got += word
    body: Any = raised.value.body
    assert got == "Hel"
    assert ErrorResponse.model_validate(body).error.type == kind
    assert body["request_id"] == raised.value.request_id
    assert "sk-abc" not in str(body)


async def test_bad_requests_are_the_callers() -> None:
    """Each of them is a 400 in Anthropic's form, never a 500."""
    async with serving_upstream() as (gateway, _):
        for change, words in WRONG:
            status, headers, body = await gateway.post("/v1/messages", {**ASKED, "model": "up", **change})
            assert (status, body["type"], body["error"]["type"]) == (400, "error", "invalid_request_error"), words
            assert body["error"]["message"].startswith(words)
            assert body["request_id"] == headers["request-id"]
        for raw in (b"", b"{", b"[]", b"5", b'{"a":NaN}', b'{"model":"\\ud800"}', b"[" * 5000, b"\xff"):
            status, _, body = await gateway.post("/v1/messages", raw)
            assert (status, body["error"]["type"]) == (400, "invalid_request_error"), raw


async def test_refusals_of_the_gate_are_in_anthropics_form() -> None:
    """401, 403, 404, 405 and 413, on this path and below it; elsewhere they stay OpenAI's."""
    keys = [{"name": "app", "key": "app-key-123", "role": "user", "models": ["up"]}]
    rules = [{"path": "/v1/messages/count_tokens", "method": "POST", "action": "FORBID"}]
    server = {"port": 0, "drain_seconds": 1, "max_body_mb": 0.1}
    named = {"x-api-key": "app-key-123"}
    async with serving_upstream(auth={"keys": keys}, api=rules, server=server) as (gateway, _):
        for status, kind, path, body, headers in (
            (401, "authentication_error", "/v1/messages", BODY, {}),
            (401, "authentication_error", "/v1/messages", BODY, {"x-api-key": "wrong"}),
            (401, "authentication_error", "/v1/messages", BODY, {**named, "Authorization": "Bearer other"}),
            (403, "permission_error", "/v1/messages/count_tokens", BODY, named),
            (404, "not_found_error", "/v1/messages", {**BODY, "model": "down"}, named),
            (404, "not_found_error", "/v1/messages/nothing", BODY, named),
            (413, "request_too_large", "/v1/messages", b" " * 200_000, named),
        ):
            got, sent, said = await gateway.post(path, body, **headers)
            assert (got, said["type"], said["error"]["type"]) == (status, "error", kind)
            assert said["request_id"] == sent["request-id"] == sent["x-request-id"]
            assert "app-key" not in orjson.dumps(said).decode()
        got, sent, said = await gateway.get("/v1/messages", **named)
        assert (got, said["error"]["type"], sent["allow"]) == (405, "invalid_request_error", "POST")
        _, _, said = await gateway.post("/v1/chat/completions", {})
        assert said["error"].keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize("options", [{"api_key": "app-key-123"}, {"api_key": None, "auth_token": "app-key-123"}])
async def test_a_key_comes_in_either_header(options: dict[str, Any]) -> None:
    """As the SDK's api_key or auth_token."""
    keys = [{"name": "app", "key": "app-key-123", "role": "user"}]
    async with serving_upstream(answer("Hi"), auth={"keys": keys}) as (gateway, _), sdk(gateway, **options) as client:
        assert (await client.messages.create(model="up", max_tokens=9, messages=HI)).stop_reason == "end_turn"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_ends_the_upstreams_work(stream: bool) -> None:
    """In mid-stream or while it waits for the whole."""
    async with serving_upstream(Stream([*OPENAI.words("Hi"), Hang()]) if stream else Hang()) as (gateway, upstream):
        asked = asyncio.create_task(gateway.post("/v1/messages", {**BODY, "stream": stream}))
        while not upstream.received:
            await asyncio.sleep(0)
        asked.cancel()
        await asyncio.wait_for(upstream.left.wait(), 5)
        (run,) = await gateway.runs()
    assert run["outcome"] == "left"


async def test_a_cap_ends_an_answer_as_cut_off() -> None:
    """A graph that answers with its best draft says max_tokens."""
    graphs = [{"name": "drafting", "build": "tests.end_to_end.own_graphs:drafting"}]
    async with serving_upstream(graphs=graphs) as (gateway, _), sdk(gateway) as client:
        message = await client.messages.create(model="drafting", max_tokens=9, messages=HI)
    assert message.stop_reason == "max_tokens"
