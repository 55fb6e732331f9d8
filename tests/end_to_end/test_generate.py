"""Triton's generate and generate_stream, on models that chat and on those that do not."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from llm.testing import Hang, Json, Stream
from llm.testing.upstream import Cut, answer
from tests.end_to_end.test_own_models import row, serving_models
from tests.serving import Gateway, serving_upstream

PATH = "/v2/models/up/generate"


async def streamed(gateway: Gateway, path: str, body: Any) -> tuple[str, list[Any]]:
    """The content type of a stream, and its events, each of which is one line of data."""
    async with gateway.http.post(gateway.address + path, json=body) as answered:
        frames = (await answered.text()).split("\n\n")
        assert frames.pop() == ""
        assert all(frame.startswith("data: ") and "\n" not in frame for frame in frames)
        return answered.headers["content-type"], [orjson.loads(frame.removeprefix("data: ")) for frame in frames]


async def test_generate() -> None:
    """A text in, a text out; the parameters are those of the chat, wherever they stand; the id is echoed."""
    async with serving_upstream(answer("Rome"), answer("Rome")) as (gateway, upstream):
        body = {"id": "7", "text_input": "Italy?", "parameters": {"max_tokens": 5, "stream": False, "top_k": 3}}
        _, _, whole = await gateway.post(PATH, body)
        _, _, beside = await gateway.post(PATH, {"text_input": "Italy?", "temperature": 0, "bad_words": ""})
    assert whole == {"id": "7", "model_name": "up", "model_version": "", "text_output": "Rome"}
    assert beside == {"model_name": "up", "model_version": "", "text_output": "Rome"}
    first, second = [received.body for received in upstream.received]
    assert (first["messages"], first["max_tokens"], first["top_k"]) == ([USER], 5, 3)
    assert (second["temperature"], "bad_words" in second) == (0, False)


USER = {"role": "user", "content": "Italy?"}


async def test_generate_stream() -> None:
    """An event a piece, no [DONE]; the pieces together are the text."""
    async with serving_upstream(Stream.of_text("Rome", " it", " is")) as (gateway, _):
        kind, events = await streamed(gateway, f"{PATH}_stream", {"id": "7", "text_input": "Italy?"})
    assert kind.startswith("text/event-stream")
    assert [event.pop("text_output") for event in events] == ["Rome", " it", " is"]
    assert events == [{"id": "7", "model_name": "up", "model_version": ""}] * 3


async def test_an_error_before_the_first_piece_is_a_status() -> None:
    """That of the upstream, with a string for an error."""
    async with serving_upstream(Json({"error": {}}, 429)) as (gateway, _):
        status, _, body = await gateway.post(f"{PATH}_stream", {"text_input": "Italy?"})
    assert (status, body) == (429, {"error": "The upstream provider limits our rate."})


async def test_an_error_after_the_first_piece_is_an_event() -> None:
    """The last one, after a 200."""
    async with serving_upstream(Stream([*Stream.words("Rome"), Cut()])) as (gateway, _):
        _, events = await streamed(gateway, f"{PATH}_stream", {"text_input": "Italy?"})
    assert events[0]["text_output"] == "Rome"
    assert events[-1] == {"error": "The upstream provider broke off in the middle of its answer."}


async def test_a_client_that_leaves_ends_the_upstreams_work() -> None:
    """Whether it waits for the whole or for a stream."""
    for path in (PATH, f"{PATH}_stream"):
        async with serving_upstream(Hang()) as (gateway, upstream):
            asked = asyncio.create_task(gateway.post(path, {"text_input": "Italy?"}))
            while not upstream.received:
                await asyncio.sleep(0)
            asked.cancel()
            await asyncio.wait_for(upstream.left.wait(), 5)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "a text under 'text_input'"),
        ([], "a text under 'text_input'"),
        ({"text_input": ["a"]}, "a text under 'text_input'"),
        ({"text_input": "a", "parameters": {"max_tokens": "5"}}, "Invalid type for 'max_tokens'"),
        ({"text_input": "a", "parameters": {"temperature": 3}}, "above maximum value"),
        ({"text_input": "a", "parameters": {"temperature": True}}, "Invalid type for 'temperature'"),
        ({"text_input": "a", "max_tokens": 0}, "below minimum value"),
        ({"text_input": "a", "parameters": {"n": 2}}, "n must be 1"),
        ({"text_input": "a", "parameters": {"tools": "x"}}, "Invalid type for 'tools'"),
        ({"text_input": "a", "parameters": {"model": "other"}}, "'model' is no parameter"),
        ({"text_input": "a", "parameters": {"x": {}}}, "strings, numbers and booleans"),
        ({"text_input": "a", "parameters": []}, "strings, numbers and booleans"),
        ({"text_input": "a", "id": {}}, "'id' must be a string"),
    ],
)
@pytest.mark.parametrize("path", [PATH, f"{PATH}_stream"])
async def test_what_is_wrong_is_a_400(path: str, body: Any, message: str) -> None:
    """Before anything is asked of anybody."""
    async with serving_upstream() as (gateway, upstream):
        status, _, told = await gateway.post(path, body)
    assert (status, message in told["error"], upstream.received) == (400, True, []), told


async def test_a_model_of_ones_own_generates_too() -> None:
    """The text is its one row, its output the text."""
    async with serving_models(row("loud", "Echo", parameters={"shout": True}, version="1")) as gateway:
        _, _, whole = await gateway.post("/v2/models/loud/generate", {"text_input": "a"})
        _, events = await streamed(gateway, "/v2/models/loud/versions/1/generate_stream", {"text_input": "a"})
    assert events == [whole] == [{"model_name": "loud", "model_version": "1", "text_output": "A"}]
