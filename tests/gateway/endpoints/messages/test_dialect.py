"""Answers in Anthropic's words: every event and every message is one that its own types take."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from gateway.answers import Ending
from gateway.endpoints.messages.dialect import MessagesDialect, usage_to_wire
from graph import Event
from llm import ChatChunk, ChatCompletion, ChatRequest, ToolCallDelta, UpstreamGarbled, Usage

EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
USAGE = Usage.of(5, 3)


def dialect() -> MessagesDialect:
    return MessagesDialect(Event(ChatRequest.of_text("m", "hi"), id="req_1"))


def streamed(chunks: Iterable[ChatChunk], finish: str = "stop", usage: Usage = USAGE) -> list[dict[str, Any]]:
    """The events of an answer, each as Anthropic's types take it and as its ``event`` line says."""
    said = dialect()
    frames = said.begin() + b"".join(map(said.chunk, chunks)) + said.end(Ending(finish, usage))
    events = []
    for frame in frames.decode().removesuffix("\n\n").split("\n\n"):
        name, data = frame.split("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        EVENT.validate_python(events[-1], strict=False)
        assert name == f"event: {events[-1]['type']}"
    return events


def blocks(chunks: Iterable[ChatChunk]) -> list[dict[str, Any]]:
    """The blocks that the events of an answer make, begun and ended one after the other."""
    made: list[dict[str, Any]] = []
    is_open = False
    for event in streamed(chunks)[1:-2]:
        if event["type"] == "content_block_start":
            assert (event["index"], is_open) == (len(made), False)
            made.append(dict(event["content_block"]))
            is_open = True
        assert event["index"] == len(made) - 1
        if event["type"] == "content_block_stop":
            is_open = False
        for name, value in event.get("delta", {}).items():
            place = {"partial_json": "json", "citation": "citations"}.get(name, name)
            if name != "type":
                made[-1][place] = made[-1].get(place, [] if name == "citation" else "") + (
                    [value] if name == "citation" else value
                )
    assert not is_open
    return made


def whole(chunks: Iterable[ChatChunk], finish: str = "stop", usage: Usage = USAGE) -> dict[str, Any]:
    message = dialect().whole(ChatCompletion.of(chunks), Ending(finish, usage))
    Message.model_validate(message)
    return message


def extra(**members: Any) -> ChatChunk:
    return ChatChunk(extra=members)


def call(index: int, arguments: str = "", name: str | None = None, id_: str | None = None) -> ChatChunk:
    return ChatChunk(tool_calls=(ToolCallDelta(index, arguments, id_, name),))


SIGNED = {"type": "thinking", "thinking": "hm", "signature": "s"}
HIDDEN = {"type": "redacted_thinking", "data": "xyz"}
CITATION = {
    "type": "char_location",
    "cited_text": "x",
    "document_index": 0,
    "document_title": None,
    "file_id": None,
    "start_char_index": 0,
    "end_char_index": 1,
}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def thought(said: str, signature: str = "") -> dict[str, Any]:
    return {"type": "thinking", "thinking": said, "signature": signature}


THOUGHT, SIGNATURE = extra(reasoning_content="hm"), extra(thinking_blocks=[SIGNED])


def test_words() -> None:
    """The opening, one block of the words, the end with what it cost; empty chunks say nothing."""
    chunks = [ChatChunk.text("Hel"), ChatChunk(), ChatChunk.text(""), ChatChunk.text("lo")]
    opened, *inner, ended, stopped = streamed(chunks)
    assert opened["message"] | {"usage": None} == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "usage": None,
        "stop_reason": None,
        "stop_sequence": None,
    }
    assert [event["type"] for event in inner] == [
        "content_block_start",
        *["content_block_delta"] * 2,
        "content_block_stop",
    ]
    assert ended["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert ended["usage"] == usage_to_wire(USAGE)
    assert stopped == {"type": "message_stop"}
    assert whole(chunks) == {**opened["message"], "content": [text("Hello")], **ended["delta"], "usage": ended["usage"]}


def test_an_answer_without_a_word() -> None:
    """It has no blocks."""
    assert [event["type"] for event in streamed([])] == ["message_start", "message_delta", "message_stop"]
    assert whole([])["content"] == []


@pytest.mark.parametrize(
    ("chunks", "streams", "makes"),
    [
        ([THOUGHT, ChatChunk.text("A")], [thought("hm"), text("A")], None),
        ([THOUGHT, SIGNATURE, extra(thinking_blocks=[HIDDEN]), ChatChunk.text("A")], [SIGNED, HIDDEN, text("A")], None),
        ([extra(reasoning_content="hm", thinking_blocks=[SIGNED, HIDDEN])], [SIGNED, HIDDEN], None),
        ([extra(thinking_blocks=[thought("", "s")])], [thought("", "s")], None),
        (
            [extra(reasoning_content="draft "), THOUGHT, SIGNATURE],
            [thought("draft hm")],
            [thought("draft "), SIGNED],
        ),
        (
            [ChatChunk.text("A"), THOUGHT, ChatChunk.text("B")],
            [text("A"), thought("hm"), text("B")],
            [thought("hm"), text("AB")],
        ),
        ([ChatChunk.text("A"), extra(citations=[CITATION])], [{**text("A"), "citations": [CITATION]}], None),
        ([extra(citations=["https://a.b"], thinking_blocks=[{"type": "x"}]), ChatChunk.text("A")], [text("A")], None),
    ],
)
def test_thoughts_and_citations(chunks: list[ChatChunk], streams: Any, makes: Any) -> None:
    """Thoughts are blocks, signed where somebody signed them; what other upstreams put under these names is none."""
    assert blocks(chunks) == streams
    assert whole(chunks)["content"] == (makes or streams)


def test_tool_calls() -> None:
    """Each is a block, begun when its name is known; without an id it gets one."""
    chunks = [
        ChatChunk.text("Wait."),
        call(0, id_="c1"),
        call(0, "{", name="f"),
        call(0, '"x": 1}'),
        call(1, "{}", "g"),
        call(2, "", "h", "c3"),
    ]
    use = {"type": "tool_use", "input": {}}
    assert blocks(chunks) == [
        text("Wait."),
        {**use, "id": "c1", "name": "f", "json": '{"x": 1}'},
        {**use, "id": "toolu_1_1", "name": "g", "json": "{}"},
        {**use, "id": "c3", "name": "h"},
    ]
    message = whole(chunks)
    assert [block.get("input") for block in message["content"]] == [None, {"x": 1}, {}, {}]
    assert [block.get("id") for block in message["content"]] == [None, "c1", "toolu_1_1", "c3"]
    assert message["stop_reason"] == "tool_use"


def test_a_call_that_goes_on_behind_another() -> None:
    """It cannot be said in blocks that come one after the other."""
    with pytest.raises(UpstreamGarbled):
        streamed([call(0, "{", "f"), call(1, "{}", "g"), call(0, "}")])


@pytest.mark.parametrize("arguments", ["{", "[]", "5", "no"])
def test_arguments_that_are_no_object(arguments: str) -> None:
    """Of an answer that was cut off the call is left out; else the model is to blame."""
    assert whole([ChatChunk.text("A"), call(0, arguments, "f", "c")], "length")["content"] == [text("A")]
    with pytest.raises(UpstreamGarbled, match="the model's call of 'f' are no JSON object"):
        whole([call(0, arguments, "f", "c")], "tool_calls")


@pytest.mark.parametrize(
    ("finish", "chunks", "reason"),
    [
        ("stop", [], "end_turn"),
        ("length", [], "max_tokens"),
        ("tool_calls", [], "tool_use"),
        ("function_call", [], "tool_use"),
        ("content_filter", [], "refusal"),
        ("stop", [call(0, "{}", "f", "c")], "tool_use"),
        ("length", [call(0, "{}", "f", "c")], "max_tokens"),
        ("stop", [extra(refusal="I won't.")], "refusal"),
        ("stop", [extra(stop_sequence="END")], "stop_sequence"),
    ],
)
def test_why_it_ended(finish: str, chunks: list[ChatChunk], reason: str) -> None:
    """One of Anthropic's words; of an upstream's refusal the words are the text."""
    said = streamed(chunks, finish)[-2]["delta"]
    assert said == {name: whole(chunks, finish)[name] for name in ("stop_reason", "stop_sequence")}
    assert said["stop_reason"] == reason
    assert said["stop_sequence"] == ("END" if reason == "stop_sequence" else None)
    if chunks and chunks[0].extra and "refusal" in chunks[0].extra:
        assert whole(chunks, finish)["content"] == [text("I won't.")]


def test_what_it_cost() -> None:
    """Tokens of the cache stand beside those of the prompt; what was counted by us says so."""
    details = {
        "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 4},
    }
    assert whole([], usage=Usage(10, 9, 19, details))["usage"] == {
        "input_tokens": 5,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 2,
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 4},
    }
    assert whole([], usage=Usage.of(1, 1, estimated=True))["usage"]["estimated"] is True
