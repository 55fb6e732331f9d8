"""The wire, byte by byte, as the ``curl`` that everybody has reads it."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any

import pytest

from llm.testing import Cut, Hang, Json, Pause, Stream
from llm.testing.upstream import answer, choice, frame
from tests.serving import Gateway, serving_upstream

CHAT: Any = {"model": "up", "messages": [{"role": "user", "content": "hi"}]}
STREAM: Any = {**CHAT, "stream": True}
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
UNAVAILABLE = {
    "message": "The upstream provider failed or is overloaded.",
    "type": "server_error",
    "param": None,
    "code": "upstream_unavailable",
}
BROKE_OFF = {
    "message": "The upstream provider broke off in the middle of its answer.",
    "type": "server_error",
    "param": None,
    "code": "upstream_broke_off",
}


@dataclass(frozen=True)
class Answered:
    """What curl printed of an answer, and how curl itself ended."""

    status: int
    headers: dict[str, str]
    body: bytes
    exit_code: int

    @property
    def events(self) -> list[Any]:
        """The data of each event; every byte of the body belongs to one."""
        framed = re.fullmatch(rb"(?:data: [^\n]+\n\n)+", self.body)
        assert framed is not None, self.body
        datas = [event.removeprefix(b"data: ") for event in self.body.removesuffix(b"\n\n").split(b"\n\n")]
        return [data if data == b"[DONE]" else json.loads(data) for data in datas]


async def started(*arguments: str) -> asyncio.subprocess.Process:
    """A curl that is running."""
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        "curl", "-sSiN", "--max-time", "30", *arguments, stdout=pipe, stderr=pipe
    )


def arguments(gateway: Gateway, body: Any, path: str = "/v1/chat/completions") -> tuple[str, ...]:
    return (f"{gateway.address}{path}", "-H", "content-type: application/json", "-d", json.dumps(body))


async def curl(gateway: Gateway, body: Any, path: str = "/v1/chat/completions") -> Answered:
    """The answer to a POST."""
    process = await started(*arguments(gateway, body, path))
    printed, _ = await process.communicate()
    assert process.returncode is not None
    head, _, content = printed.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Answered(int(first.split(" ")[1]), headers, content, process.returncode)


async def test_a_stream_is_framed_as_server_sent_events() -> None:
    """Every event is one line ``data: …`` and an empty one; ``[DONE]`` is the last of them, and nothing follows it."""
    async with serving_upstream(Stream.of_text("Hel", "lo\n\ndata: x", usage=USAGE)) as (gateway, _):
        answered = await curl(gateway, {**STREAM, "stream_options": {"include_usage": True}})
    assert (answered.status, answered.exit_code) == (200, 0)
    assert answered.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answered.headers["cache-control"] == "no-cache, no-transform"
    assert answered.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in answered.headers
    *chunks, usage, done = answered.events
    assert done == b"[DONE]"
    assert answered.body.endswith(b"}\n\ndata: [DONE]\n\n")
    assert answered.body.count(b"[DONE]") == 1
    assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks] == ["", "Hel", "lo\n\ndata: x", None]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, "stop"]
    assert (usage["choices"], usage["usage"]) == ([], USAGE)
    assert {event["object"] for event in (*chunks, usage)} == {"chat.completion.chunk"}


async def test_what_an_upstream_says_after_its_end_does_not_reach_the_client() -> None:
    """Not one chunk goes out after ``[DONE]``."""
    late = [*Stream.of_text("Hi").pieces, frame(choice({"content": "late"})), b"data: [DONE]\n\n"]
    async with serving_upstream(Stream(late)) as (gateway, _):
        answered = await curl(gateway, STREAM)
    assert answered.events[-1] == b"[DONE]"
    assert answered.body.count(b"[DONE]") == 1
    assert b"late" not in answered.body


async def test_curl_prints_the_first_token_while_the_second_is_being_made() -> None:
    """Nothing on the way holds a chunk back."""
    pause = Pause()
    pieces = [*Stream.words("first"), pause, frame(choice({"content": "second"})), *Stream.end(USAGE)]
    async with serving_upstream(Stream(pieces)) as (gateway, _):
        process = await started(*arguments(gateway, STREAM))
        assert process.stdout is not None
        async with asyncio.timeout(30):
            begin = await process.stdout.readuntil(b'"content":"first"')
        pause.set()
        rest, _ = await process.communicate()
    assert b"second" not in begin
    assert b"second" in rest
    assert rest.endswith(b"data: [DONE]\n\n")


async def test_an_answer_that_is_not_streamed_has_its_length() -> None:
    """One JSON object, and the header says how long it is."""
    async with serving_upstream(answer("Hello")) as (gateway, _):
        answered = await curl(gateway, CHAT)
    assert answered.status == 200
    assert answered.headers["content-type"] == "application/json"
    assert int(answered.headers["content-length"]) == len(answered.body)
    assert json.loads(answered.body)["choices"][0]["message"]["content"] == "Hello"


@pytest.mark.parametrize(
    ("body", "reply", "status", "error"),
    [
        (CHAT, Json({"error": {"message": "boom"}}, 500), 503, UNAVAILABLE),
        (STREAM, Json({"error": {"message": "boom"}}, 500), 503, UNAVAILABLE),
        (STREAM, Stream([Cut()]), 502, BROKE_OFF),
        (STREAM, Stream([frame({"error": {"message": "boom"}})]), 503, UNAVAILABLE),
    ],
    ids=["whole", "status", "cut", "event"],
)
async def test_an_error_before_the_first_chunk_is_a_status_with_a_json_body(
    body: Any, reply: Json | Stream, status: int, error: Any
) -> None:
    """Also where a stream was asked for: no event, no ``[DONE]``, but an object, its length and its type."""
    async with serving_upstream(reply) as (gateway, _):
        answered = await curl(gateway, body)
    assert (answered.status, answered.exit_code) == (status, 0)
    assert answered.headers["content-type"] == "application/json"
    assert int(answered.headers["content-length"]) == len(answered.body)
    assert json.loads(answered.body) == {"error": error}


@pytest.mark.parametrize(
    ("change", "status"), [({"model": "nope"}, 404), ({"messages": []}, 400), ({"temperature": 9}, 400)]
)
async def test_a_stream_that_is_refused_is_a_status_with_a_json_body(change: Any, status: int) -> None:
    """The caller's own faults too."""
    async with serving_upstream() as (gateway, _):
        answered = await curl(gateway, {**STREAM, **change})
    assert (answered.status, answered.headers["content-type"]) == (status, "application/json")
    assert json.loads(answered.body)["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("end", "error"),
    [([Cut()], BROKE_OFF), ([], BROKE_OFF), ([frame({"error": {"message": "sk-abc"}})], UNAVAILABLE)],
    ids=["cut", "ended early", "event"],
)
async def test_an_error_after_the_first_chunk_is_the_last_event(end: list[Any], error: Any) -> None:
    """The status is out, so the stream says it: after what was said one event with an error, no ``[DONE]``, and for
    curl the transfer is whole."""
    async with serving_upstream(Stream([*Stream.words("Hel"), *end])) as (gateway, _):
        answered = await curl(gateway, STREAM)
    assert (answered.status, answered.exit_code) == (200, 0)
    role, said, failed = answered.events
    assert role["choices"][0]["delta"]["role"] == "assistant"
    assert said["choices"][0]["delta"] == {"content": "Hel"}
    assert failed == {"error": error}


async def test_curl_that_is_stopped_ends_the_upstreams_work() -> None:
    """Whoever presses Ctrl-C in mid-stream pays for no token more."""
    async with serving_upstream(Stream([*Stream.words("Hel"), Hang()])) as (gateway, upstream):
        process = await started(*arguments(gateway, STREAM))
        assert process.stdout is not None
        async with asyncio.timeout(30):
            await process.stdout.readuntil(b'"content":"Hel"')
            process.kill()
            await process.communicate()
            await upstream.left.wait()
