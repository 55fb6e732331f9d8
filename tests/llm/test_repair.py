"""Checked answers: what must be JSON is right, or is asked for once more, or fails; and nothing wrong leaves."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import Any

import pytest

from llm import ChatChunk, ChatCompletion, ChatRequest, InvalidRequest, UpstreamAnswerInvalid, UpstreamAnswerTooLong
from llm.chat import ToolCallDelta
from llm.repair import checked
from llm.testing import ScriptedProvider, call, say
from llm.testing.scripted import Turn

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
JSON_SCHEMA = {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}}
JSON_OBJECT = {"response_format": {"type": "json_object"}}
TOOLS = {"tools": [{"type": "function", "function": {"name": "count", "parameters": SCHEMA}}]}


async def chunks_of(provider: ScriptedProvider, parameters: dict[str, Any]) -> list[ChatChunk]:
    request = ChatRequest.of_text("m", "how many?").having(**parameters)
    async with aclosing(checked(partial(provider.stream, "m"), request)) as chunks:
        return [chunk async for chunk in chunks]


async def answer_of(*script: Turn, **parameters: Any) -> tuple[ChatCompletion, ScriptedProvider]:
    with ScriptedProvider.of(*script) as provider:
        return ChatCompletion.of(await chunks_of(provider, parameters)), provider


@pytest.mark.parametrize("parameters", [JSON_SCHEMA, JSON_OBJECT])
async def test_a_right_answer_is_asked_for_once(parameters: dict[str, Any]) -> None:
    """And comes whole."""
    answer, provider = await answer_of(say('{"n": 1}'), **parameters)
    assert (answer.content, answer.finish_reason) == ('{"n": 1}', "stop")
    assert answer.usage is not None
    assert (answer.usage.total_tokens, len(provider.requests)) == (15, 1)


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ("one", "the answer: no JSON"),
        ('{"n": "1"}', 'the answer: n: "1" is not of type "integer"'),
        ("", "the answer: no JSON"),
        ("[1]", 'is not of type "object"'),
    ],
)
async def test_a_wrong_answer_is_asked_for_once_more(wrong: str, fault: str) -> None:
    """The model is told what was wrong; the usage is that of both turns, and the wrong answer is not heard."""
    answer, provider = await answer_of(say(wrong), say('{"n": 1}'), **JSON_SCHEMA)
    assert answer.content == '{"n": 1}'
    assert answer.usage is not None
    assert answer.usage.total_tokens == 30
    before, told = provider.requests[1].messages[-2:]
    assert before == {"role": "assistant", "content": wrong or "(nothing)"}
    assert fault in told["content"]
    assert provider.requests[1].parameters == provider.requests[0].parameters


async def test_an_answer_that_stays_wrong_is_an_error() -> None:
    """After one repair turn, with nothing of it said before."""
    fails = pytest.raises(UpstreamAnswerInvalid, match="after a repair too: the answer: no JSON")
    with ScriptedProvider.of(say("one"), say("two")) as provider, fails:
        await chunks_of(provider, JSON_OBJECT)


@pytest.mark.parametrize(
    "long",
    [
        say("x" * 100),
        call("count", {"n": "x" * 80}),
        Turn(tuple(ChatChunk(extra={"reasoning_content": "x" * 20}) for _ in range(4))),
        Turn((ChatChunk(logprobs={"content": [{"token": "x" * 80}]}),)),
    ],
)
async def test_an_answer_that_is_kept_for_the_check_has_a_bound(long: Turn) -> None:
    """In either turn; the upstream is left at once, and nothing of what was kept has been heard."""
    given: dict[str, Any] = {**JSON_SCHEMA, **TOOLS}
    request = ChatRequest.of_text("m", "?").having(**given)
    heard: list[ChatChunk] = []
    for script in ([long], [Turn((ChatChunk.text("no"),)), long]):
        provider = ScriptedProvider.of(*script)
        with pytest.raises(UpstreamAnswerTooLong, match="longer than 100 bytes"):
            async with aclosing(checked(partial(provider.stream, "m"), request, max_bytes=100)) as chunks:
                async for chunk in chunks:
                    heard.append(chunk)
        assert len(provider.requests) == len(script)
    assert [chunk for chunk in heard if chunk.content or chunk.tool_calls] == []


async def test_the_fence_of_markdown_is_taken_off() -> None:
    """That needs no second turn."""
    answer, _ = await answer_of(say('```json\n{"n": 1}\n```'), **JSON_SCHEMA)
    assert answer.content == '{"n": 1}'


@pytest.mark.parametrize(
    ("written", "told"), [('```json\n{"n": 1}\n```', '{"n": 1}'), ("", "{}"), ('{"n": 1}', '{"n": 1}')]
)
async def test_arguments_are_what_was_checked(written: str, told: str) -> None:
    """Without their fence, and JSON where none were written; cut off, they are as they came."""
    tools = [{"type": "function", "function": {"name": "count", "parameters": {"type": "object"}}}]
    delta = ChatChunk(tool_calls=(ToolCallDelta(0, written, "c", "count"),))
    answer, _ = await answer_of(Turn((delta, ChatChunk(finish_reason="tool_calls"))), tools=tools)
    assert answer.tool_calls[0].arguments == told
    answer, _ = await answer_of(Turn((delta, ChatChunk(finish_reason="length"))), tools=tools)
    assert answer.tool_calls[0].arguments == written


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_an_answer_that_was_cut_off_is_passed_on(reason: str) -> None:
    """Its end says so, as with OpenAI; another turn would be cut off too."""
    answer, _ = await answer_of(say('{"n": ', finish_reason=reason), **JSON_SCHEMA)
    assert (answer.content, answer.finish_reason) == ('{"n": ', reason)


async def test_tool_calls_are_checked() -> None:
    """Their arguments, and that there is such a tool; text beside them streams, and is not said twice."""
    wrong = Turn((ChatChunk.text("Let me "), ChatChunk.text("see."), *call("count", {"n": "x"}).chunks))
    again = Turn((ChatChunk.text("Sorry."), *call("count", {"n": 2}).chunks))
    with ScriptedProvider.of(wrong, again) as provider:
        chunks = await chunks_of(provider, TOOLS)
    assert [chunk.content for chunk in chunks if chunk.content] == ["Let me ", "see."]
    (made,) = ChatCompletion.of(chunks).tool_calls
    assert (made.name, made.arguments) == ("count", '{"n":2}')
    assert "the arguments of count: n:" in provider.requests[1].messages[-1]["content"]
    answer, _ = await answer_of(call("nope", {}), call("count", {"n": 3}), **TOOLS)
    assert answer.tool_calls[0].name == "count"


async def test_with_a_schema_content_comes_in_one_piece() -> None:
    """Reasoning streams as it comes; so does everything where nothing is to be checked."""
    thought = ChatChunk(extra={"reasoning_content": "hm"})
    script = Turn((thought, *say('{"n": 1} ').chunks))
    with ScriptedProvider.of(script, say("a b c")) as provider:
        chunks = await chunks_of(provider, JSON_SCHEMA)
        assert [chunk.content for chunk in await chunks_of(provider, {}) if chunk.content] == ["a ", "b ", "c"]
    assert chunks[0].extra == thought.extra
    assert [chunk.content for chunk in chunks if chunk.content] == ['{"n": 1} ']


async def test_a_tool_call_beside_a_schema_is_no_answer_yet() -> None:
    """Only the arguments are checked."""
    answer, _ = await answer_of(call("count", {"n": 1}), **TOOLS, **JSON_SCHEMA)
    assert answer.tool_calls[0].arguments == '{"n":1}'


@pytest.mark.parametrize(
    "schema", [{"type": "nope"}, {"$ref": "http://127.0.0.1:1/x"}, {"enum": ["x" * 300_000]}, {"pattern": "(?=x)"}]
)
async def test_a_schema_that_cannot_be_used_is_the_callers_fault(schema: dict[str, Any]) -> None:
    """Found before the model is asked; nothing outside the schema is fetched."""
    given = {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}}
    with ScriptedProvider.of() as provider, pytest.raises(InvalidRequest) as raised:
        await chunks_of(provider, given)
    assert raised.value.param == "response_format.json_schema.schema"
    assert raised.value.code == "invalid_json_schema"
