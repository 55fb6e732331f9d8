"""An answer on its way through: which bytes come out, whatever the reads are, and what is mended on the way."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as some

from llm import ChatChunk, ChatRequest, UpstreamBrokeOff, UpstreamError, UpstreamGarbled, UpstreamUnavailable, Usage
from llm.providers.openai_passing import Passage, whole
from llm.sse import EventParser
from llm.testing.upstream import choice, frame

HEAD = b'{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"upstream","system_fingerprint":"fp",'
DONE = b"data: [DONE]\n\n"


def event(delta: bytes, finish: bytes = b"null", more: bytes = b"") -> bytes:
    """An event as OpenAI writes it."""
    return b'data: %b"choices":[{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}]%b}\n\n' % (
        HEAD,
        delta,
        finish,
        more,
    )


def request(*, include_usage: bool = False) -> ChatRequest:
    asked = ChatRequest.of_text("served", "hi")
    asked.stream, asked.passes, asked.include_usage = True, True, include_usage
    return asked


def passed(*reads: bytes, include_usage: bool = False) -> tuple[bytes, list[ChatChunk], UpstreamError | None]:
    """What goes on of a stream that comes in these reads, its chunks, and the fault that ended it."""
    parser, passage, chunks = EventParser(), Passage(request(include_usage=include_usage)), []
    for read in reads:
        chunk = passage.take(parser.feed(read))
        if chunk is not None:
            chunks.append(chunk)
        if passage.fault is not None or passage.ended:
            break
    if passage.fault is None:
        chunks.append(passage.close())
    return b"".join(chunk.wire or b"" for chunk in chunks), chunks, passage.fault


def of_server(stream: bytes) -> bytes:
    """The same under the name that was asked for."""
    return stream.replace(b'"model":"upstream"', b'"model":"served"')


ROLE = event(b'{"role":"assistant","content":"","refusal":null}')
WORDS = [event(b'{"content":"%b"}' % word) for word in (b"Hel", "lö".encode(), b" \\n", b'\\"quoted\\"', b"\\\\", b"")]
STOP = event(b"{}", b'"stop"')
UNKNOWN = event(b'{"content":"x","annotations":[{"type":"url_citation"}],"audio":{"id":"a"}}', more=b',"x_new":[1.50]')
USAGE = b'data: %b"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":4,"total_tokens":11}}\n\n' % HEAD
TOOL = event(b'{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":""}}]}')
STREAM = b"".join([ROLE, *WORDS, UNKNOWN, TOOL, *WORDS, STOP])


def test_untouched_is_untouched() -> None:
    """Byte for byte what came, but for the name; fields that nobody knows are in it, and texts in any spelling."""
    wire, chunks, fault = passed(STREAM + DONE)
    assert (wire, fault) == (of_server(STREAM), None)
    assert "".join(chunk.content or "" for chunk in chunks) == 'Hellö \n"quoted"\\xHellö \n"quoted"\\'


def test_usage_is_told_to_those_who_asked() -> None:
    """Its event is the last, as it came; to the others it is not sent, nor are its nulls; read it is for both."""
    nulls = [each.replace(b'"finish_reason":null}]}', b'"finish_reason":null}],"usage":null}') for each in WORDS]
    stream = b"".join([ROLE, *nulls, STOP, USAGE, DONE])
    told, chunks, _ = passed(stream, include_usage=True)
    untold, others, _ = passed(stream)
    assert told == of_server(b"".join([ROLE, *nulls, STOP, USAGE]))
    assert untold == of_server(b"".join([ROLE, *WORDS, STOP]))
    assert [chunk.usage for chunk in (*chunks, *others) if chunk.usage] == [Usage(7, 4, 11)] * 2


def test_usage_beside_the_last_words_is_told_at_the_end() -> None:
    """Some upstreams do not give it an event of its own; here it has one."""
    last = event(b"{}", b'"stop"', b',"usage":{"prompt_tokens":1,"completion_tokens":2}')
    wire, chunks, _ = passed(ROLE + last + DONE, include_usage=True)
    *_, stop, usage = [orjson.loads(each[6:]) for each in wire.split(b"\n\n")[:-1]]
    assert "usage" not in stop
    assert (usage["choices"], usage["usage"], usage["id"]) == (
        [],
        {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        "chatcmpl-1",
    )
    assert b"usage" not in passed(ROLE + last + DONE)[0]
    assert [chunk.usage for chunk in chunks if chunk.usage] == [Usage(1, 2, 3)]


PIECES = some.sampled_from([ROLE, *WORDS, UNKNOWN, TOOL, STOP, USAGE, b": ping\n\n", event(b'{"role":"assistant"}')])
ENDS = some.sampled_from([DONE, b"", b"data: {oops\n\n", b'data: {"error":{"message":"sk-secret"}}\n\n'])


@given(some.lists(PIECES, max_size=8), ENDS, some.lists(some.integers(0, 2500), max_size=12), some.booleans())
def test_any_split_gives_the_same_answer(pieces: list[bytes], end: bytes, cuts: list[int], told: bool) -> None:
    """Wherever the network cuts an upstream's stream, the client gets the same bytes, and the same is counted."""
    stream = b"".join(pieces) + end
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    one, whole_chunks, fault = passed(stream, include_usage=told)
    many, chunks, same = passed(*(stream[start:stop] for start, stop in pairwise(edges)), include_usage=told)
    assert (many, type(same)) == (one, type(fault))
    texts = ["".join(chunk.content or "" for chunk in each) for each in (whole_chunks, chunks)]
    assert texts[0] == texts[1]
    assert b"sk-secret" not in one


def mended(*deltas: dict[str, Any], finish: str | None = "stop") -> list[Any]:
    """The choices that come out of these deltas and this end."""
    stream = b"".join(map(frame, [*map(choice, deltas), choice({}, finish)]))
    wire, _, fault = passed(stream + DONE)
    assert fault is None
    events = [orjson.loads(each[6:]) for each in wire.split(b"\n\n")[:-1]]
    assert {each["model"] for each in events} == {"served"}
    return [each["choices"][0] for each in events]


def test_a_role_is_said_once() -> None:
    """In the first delta, also where the upstream says it in none, or in all."""
    for role in ({}, {"role": "assistant"}):
        choices = mended({**role, "content": "a"}, {**role, "content": "b"}, {**role, "content": "c"})
        assert [each["delta"] for each in choices] == [
            {"role": "assistant", "content": "a"},
            {"content": "b"},
            {"content": "c"},
            {},
        ]


@pytest.mark.parametrize(("said", "meant"), [("eos", "stop"), ("MAX_TOKENS", "length"), ("tool_use", "tool_calls")])
def test_the_end_is_told_in_openais_words(said: str, meant: str) -> None:
    """Strict clients know five."""
    assert mended({"content": "a"}, finish=said)[-1]["finish_reason"] == meant


def test_an_answer_that_does_not_say_why_it_ended_has_stopped() -> None:
    """When the upstream says that its stream is over."""
    *_, last = mended({"content": "a"}, finish=None)
    assert (last["delta"], last["finish_reason"]) == ({}, "stop")


def test_tool_calls_get_the_index_and_the_id_that_are_right() -> None:
    """All at index 0, id and type repeated, arguments as an object; members that OpenAI does not have stay."""
    call = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}, "extra": {"s": 1}}
    again = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "}"}}
    other = {"index": 0, "id": "b", "function": {"name": "g", "arguments": {"x": 1}}}
    first, second, third, _ = mended({"tool_calls": [call]}, {"tool_calls": [again]}, {"tool_calls": [other]})
    assert first["delta"]["tool_calls"] == [call]
    assert second["delta"]["tool_calls"] == [{"index": 0, "function": {"arguments": "}"}}]
    assert third["delta"]["tool_calls"] == [
        {"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": '{"x":1}'}}
    ]


def test_several_choices_pass_side_by_side() -> None:
    """Each has its role, its calls and its end; what all of them say is counted."""
    lines = [
        {**choice({"role": "assistant", "content": text}), "choices": [{"index": index, "delta": delta, **END}]}
        for text, index, delta in [
            ("", 0, {"role": "assistant", "content": "a"}),
            ("", 1, {"role": "assistant", "content": "b"}),
            ("", 1, {"content": "c"}),
            ("", 0, {"content": "d"}),
        ]
    ]
    stream = b"".join(map(frame, lines))
    wire, chunks, _ = passed(stream + DONE)
    renamed = stream.replace(b'"upstream-model"', b'"served"')
    assert wire.startswith(renamed)
    ends = [orjson.loads(each[6:])["choices"][0] for each in wire[len(renamed) :].split(b"\n\n")[:-1]]
    assert [(end["index"], end["finish_reason"]) for end in ends] == [(0, "stop"), (1, "stop")]
    assert "".join(chunk.content or "" for chunk in chunks) == "abcd"


END = {"finish_reason": None}


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"{oops", UpstreamGarbled),
        (b'{"choices":[5]}', UpstreamGarbled),
        (b'{"nothing":1}', UpstreamGarbled),
        (b'{"choices":[{"index":0,"delta":{"content":5}}]}', UpstreamGarbled),
        (b'{"choices":[{"index":{},"delta":{},"finish_reason":"error"}]}', UpstreamUnavailable),
        (b'{"choices":[{"index":0,"delta":{},"finish_reason":"abort"}]}', UpstreamBrokeOff),
        (b'{"error":{"message":"sk-secret"}}', UpstreamUnavailable),
        (
            HEAD + b'"choices":[{"index":0,"delta":{"content":"},"logprobs":null,"finish_reason":null}]}',
            UpstreamGarbled,
        ),
        (
            HEAD + b'"choices":[{"index":0,"delta":{"content":"\\"},"logprobs":null,"finish_reason":null}]}',
            UpstreamGarbled,
        ),
        (
            HEAD + b'"choices":[{"index":0,"delta":{"content":"\xff"},"logprobs":null,"finish_reason":null}]}',
            UpstreamGarbled,
        ),
    ],
)
def test_a_fault_ends_the_answer_after_what_came_before_it(data: bytes, kind: type[UpstreamError]) -> None:
    """What the same read brought before it goes on; of its own words nothing does."""
    wire, _, fault = passed(ROLE + WORDS[0] + b"data: %b\n\n" % data)
    assert wire == of_server(ROLE + WORDS[0])
    assert type(fault) is kind


@pytest.mark.parametrize("nested", [b'{"a":{"model":"upstream"},"choices":', b'{"choices":'])
def test_only_the_name_of_the_answer_is_changed(nested: bytes) -> None:
    """A member of the same name further inside stays as it is, also where the answer itself has none."""
    wire, _, _ = passed(b'data: %b[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}\n\n' % nested + DONE)
    answer = orjson.loads(wire[6:])
    assert answer["model"] == "served"
    assert answer.get("a", {"model": "upstream"}) == {"model": "upstream"}


def test_a_whole_answer_passes_too() -> None:
    """As the bytes that it is, but for the name; where its end is told in other words, that is mended."""
    body = (
        b'{"id":"1", "object":"chat.completion", "created":1, "model": "upstream", '
        b'"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"%b"}]}'
    )
    kept, other = (whole(body % reason, request()) for reason in (b"stop", b"eos"))
    assert kept.wire == body.replace(b'"upstream"', b'"served"') % b"stop"
    assert other.wire is not None
    assert orjson.loads(other.wire)["choices"][0]["finish_reason"] == "stop"
    assert (kept.content, kept.usage) == ("Hi", None)


def test_what_every_whole_answer_has_is_there() -> None:
    """Id, kind, time, indexes, roles, counts and lists of likeliest tokens, where the upstream leaves them out."""
    said = {"message": {"role": "model", "content": "Hi"}, "logprobs": {"content": [{"token": "Hi", "logprob": -1.0}]}}
    body = {"id": 5, "created": 1.5, "choices": [said, said], "usage": {"prompt_tokens": 7, "completion_tokens": None}}
    made = orjson.loads(whole(orjson.dumps(body), request()).wire or b"")
    assert made["id"].startswith("chatcmpl-")
    assert (made["object"], type(made["created"])) == ("chat.completion", int)
    assert made["usage"] == {"prompt_tokens": 7, "completion_tokens": 0, "total_tokens": 7}
    assert [(each["index"], each["message"]["role"]) for each in made["choices"]] == [
        (0, "assistant"),
        (1, "assistant"),
    ]
    assert made["choices"][1]["logprobs"] == {"content": [{"token": "Hi", "logprob": -1.0, "top_logprobs": []}]}


def test_what_every_event_has_is_there() -> None:
    """One id, kind and time in all of them, also in that of the usage, whose counts are all there."""
    bare = [{"choices": [{"delta": {"content": word}}]} for word in "ab"]
    usage = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
    wire, _, fault = passed(b"".join(map(frame, [*bare, usage])) + DONE, include_usage=True)
    events = [orjson.loads(each[6:]) for each in wire.split(b"\n\n")[:-1]]
    assert fault is None
    assert len({(each["id"], each["object"], each["created"]) for each in events}) == 1
    assert (events[0]["object"], type(events[0]["created"])) == ("chat.completion.chunk", int)
    assert [each["choices"][0]["finish_reason"] for each in events[:-1]] == [None, None, "stop"]
    assert events[-1]["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
