"""The answer of the Responses API, event by event, against the published types."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.answers import Ending
from gateway.endpoints.responses.dialect import ResponsesDialect
from gateway.faults import Fault
from graph import Event
from llm import ChatChunk, ChatCompletion, ToolCallDelta, UpstreamBrokeOff, UpstreamGarbled, UpstreamRateLimited, Usage
from tests.gateway.endpoints.responses.published import events_of, kinds_of, response_of

SUFFIX = "0123456789abcdef" * 2
DONE = Ending("stop", Usage.of(7, 3))
WEATHER = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}


def dialect(**members: Any) -> ResponsesDialect:
    return ResponsesDialect(Event(id=f"req_{SUFFIX}"), {"model": "m", "input": "hi", **members})


def said(*chunks: ChatChunk, ending: Ending = DONE, **members: Any) -> list[Any]:
    """The events of an answer of these chunks."""
    answer = dialect(**members)
    return events_of(answer.begin() + b"".join(answer.chunk(chunk) for chunk in chunks) + answer.end(ending))


def call(index: int, arguments: str, call_id: str | None = None, name: str | None = None, **more: Any) -> ChatChunk:
    return ChatChunk(tool_calls=(ToolCallDelta(index, arguments, call_id, name, **more),))


def test_the_events_of_a_text() -> None:
    """They come in OpenAI's order, say where they are, and the last one holds the whole response."""
    events = said(ChatChunk.text("Hel"), ChatChunk.text(""), ChatChunk(), ChatChunk.text("lo"))
    assert kinds_of(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event.delta for event in events if event.type == "response.output_text.delta"] == ["Hel", "lo"]
    assert events[2].item.status == "in_progress"
    assert events[2].item.content == []
    assert events[6].text == events[7].part.text == events[8].item.content[0].text == "Hello"
    assert {event.item_id for event in events[3:8]} == {events[2].item.id}
    response = events[-1].response
    assert response.output_text == "Hello"
    assert response.output == [events[8].item]
    assert response.usage.total_tokens == 10
    assert response.id == f"resp_{SUFFIX}"
    assert response.completed_at >= response.created_at
    assert (events[0].response.status, events[0].response.usage, events[0].response.output) == ("in_progress", None, [])


def test_the_events_of_calls() -> None:
    """Each call is an item of its own, after what was said before it, and ends before the next begins."""
    events = said(
        ChatChunk.text("Let me look."),
        call(0, "", "call_a", "get_weather"),
        call(0, '{"city":'),
        call(0, '"Oslo"}'),
        call(1, "{}", "call_b", "get_time"),
    )
    assert kinds_of(events)[8:] == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert [event.output_index for event in events[8:-1]] == [1] * 5 + [2] * 4
    _, first, second = events[-1].response.output
    assert (first.call_id, first.name, first.arguments, first.status) == (
        "call_a",
        "get_weather",
        '{"city":"Oslo"}',
        "completed",
    )
    assert (second.call_id, second.name, second.arguments) == ("call_b", "get_time", "{}")


def test_a_call_whose_name_comes_late() -> None:
    """It begins with its name; what came before is not lost, and a call without an id gets one."""
    events = said(call(0, '{"a":'), call(0, "1", name="f"), call(0, "}"))
    assert [event.delta for event in events if event.type.endswith(".delta")] == ['{"a":1', "}"]
    (item,) = events[-1].response.output
    assert (item.name, item.arguments) == ("f", '{"a":1}')
    assert item.call_id.startswith("call_")
    (nameless,) = said(call(0, "{}"))[-1].response.output
    assert (nameless.name, nameless.arguments) == ("", "{}")


def test_a_call_of_a_custom_tool() -> None:
    """It has an input instead of arguments, and events of its own."""
    events = said(call(0, "SELECT ", "call_a", "sql", kind="custom"), call(0, "1"))
    assert kinds_of(events)[2:-1] == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
    ]
    assert events[-1].response.output[0].input == "SELECT 1"


def test_a_piece_of_a_call_that_has_ended_is_no_answer() -> None:
    """Its events have been told as final already."""
    answer = dialect()
    answer.begin()
    answer.chunk(call(0, "{", "call_a", "f"))
    answer.chunk(call(1, "{}", "call_b", "g"))
    with pytest.raises(UpstreamGarbled, match="after the call had ended"):
        answer.chunk(call(0, "}"))


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_what_was_thought_is_an_item_before_what_was_said(name: str) -> None:
    """As a summary, with the events of one."""
    events = said(ChatChunk(extra={name: "Hm, "}), ChatChunk(extra={name: "well"}), ChatChunk.text("Yes"))
    assert kinds_of(events)[2:9] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]
    thought, message = events[-1].response.output
    assert thought.summary[0].text == "Hm, well"
    assert message.content[0].text == "Yes"


def test_a_refusal_is_a_part_of_its_own() -> None:
    """Beside a text in one message, with the events of a refusal."""
    events = said(ChatChunk.text("Well. "), ChatChunk(extra={"refusal": "I will not."}))
    assert kinds_of(events)[4:-1] == [
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "content_part.added",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
    ]
    (message,) = events[-1].response.output
    assert [part.type for part in message.content] == ["output_text", "refusal"]
    assert message.content[1].refusal == "I will not."


def test_logprobs_stand_beside_their_text() -> None:
    """In the deltas, and all of them in the part at its end."""
    token = {"token": "a", "logprob": -0.5, "top_logprobs": [{"token": "b", "logprob": -1, "bytes": [98]}]}
    events = said(*(ChatChunk(content="a", logprobs={"content": [token]}) for _ in range(2)))
    assert [event.logprobs[0].logprob for event in events if event.type.endswith("delta")] == [-0.5, -0.5]
    (message,) = events[-1].response.output
    assert [(log.token, log.bytes, log.top_logprobs[0].bytes) for log in message.content[0].logprobs] == [
        ("a", [97], [98]),
    ] * 2


@pytest.mark.parametrize(
    ("finish_reason", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_an_answer_that_was_cut_off_is_incomplete(finish_reason: str, reason: str) -> None:
    """So is the item that was cut, and the last event says so."""
    events = said(ChatChunk.text("Hel"), ending=Ending(finish_reason, Usage.of(7, 1)))
    response = events[-1].response
    assert (events[-1].type, response.status) == ("response.incomplete", "incomplete")
    assert response.incomplete_details.reason == reason
    assert response.output[0].status == "incomplete"
    assert response.completed_at is None


def test_an_answer_of_nothing() -> None:
    """It is complete, and has no items."""
    events = said()
    assert kinds_of(events) == ["created", "in_progress", "completed"]
    assert events[-1].response.output == []


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (UpstreamBrokeOff("x"), "server_error", "upstream_broke_off"),
        (UpstreamRateLimited("x"), "rate_limit_exceeded", "rate_limit_exceeded"),
    ],
)
def test_an_error_is_an_event_and_then_a_response_that_failed(error: Exception, code: str, told: str) -> None:
    """What was said stays, as incomplete; the error has a top-level object, by which the SDKs know it."""
    answer = dialect()
    wire = answer.begin() + answer.chunk(ChatChunk.text("Hel")) + answer.error(Fault.of(error))
    *_, raised, failed = events_of(wire)
    assert (raised.type, raised.code) == ("error", told)
    assert raised.model_extra["error"]["message"] == raised.message
    assert (failed.type, failed.response.status, failed.response.error.code) == ("response.failed", "failed", code)
    assert failed.response.output[0].status == "incomplete"


def test_an_error_before_anything_was_said_begins_the_response() -> None:
    """Readers want to be told of a response before they are told of its end."""
    assert kinds_of(events_of(dialect().error(Fault.of(UpstreamBrokeOff("x"))))) == [
        "created",
        "in_progress",
        "error",
        "failed",
    ]


def test_a_response_in_the_background_waits_first() -> None:
    """It is told as queued before it is in progress."""
    events = said(ChatChunk.text("a"), background=True)
    assert kinds_of(events)[:3] == ["created", "queued", "in_progress"]
    assert [event.response.status for event in events[:3]] == ["queued", "queued", "in_progress"]


def test_a_whole_answer_is_the_streamed_one() -> None:
    """The object that is answered at once is the one that the last event of a stream holds."""
    chunks = [
        ChatChunk(extra={"reasoning_content": "Hm"}),
        ChatChunk.text("Hello"),
        call(0, "{}", "call_a", "f"),
        call(1, "x", "call_b", "g", kind="custom"),
    ]
    streamed = said(*chunks)[-1].response
    whole = response_of(dialect().whole(ChatCompletion.of(chunks), DONE))
    assert whole.model_copy(update={"created_at": 0, "completed_at": 0}) == streamed.model_copy(
        update={"created_at": 0, "completed_at": 0}
    )


def test_what_was_asked_is_told_again() -> None:
    """Every parameter as it was sent, and OpenAI's defaults for the others."""
    asked: dict[str, Any] = {
        "instructions": "Be brief.",
        "max_output_tokens": 99,
        "max_tool_calls": 3,
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "previous_response_id": "resp_1",
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "service_tier": "flex",
        "store": False,
        "temperature": 0,
        "tool_choice": {"type": "function", "name": "get_weather"},
        "tools": [WEATHER],
        "top_logprobs": 2,
        "top_p": 0.5,
        "truncation": "auto",
        "user": "u",
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
    }
    told = dialect(**asked).response
    response_of(told)
    assert {name: told[name] for name in asked} == asked
    plain = response_of(dialect(metadata=None).response)
    assert (plain.temperature, plain.top_p, plain.tool_choice, plain.tools) == (1.0, 1.0, "auto", [])
    assert (plain.truncation, plain.parallel_tool_calls, plain.metadata) == ("disabled", True, {})
    assert plain.text is not None
    assert plain.text.format is not None
    assert plain.text.format.type == "text"


def test_usage_in_this_apis_words() -> None:
    """With its details, and with the mark of what was counted by us."""
    wire = {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    usage = said(ending=Ending("stop", Usage.from_wire(wire)))[-1].response.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (9, 5, 14)
    assert (usage.input_tokens_details.cached_tokens, usage.input_tokens_details.cache_write_tokens) == (4, 2)
    assert usage.output_tokens_details.reasoning_tokens == 3
    estimated = said(ending=Ending("stop", Usage.of(1, 1, estimated=True)))[-1].response.usage
    assert estimated.model_extra == {"estimated": True}
