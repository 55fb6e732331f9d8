"""/v1/completions and answers with several choices, through the official SDK."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest

from llm.testing import Json, Stream
from llm.testing.upstream import answer, choice, frame
from tests.serving import serving, serving_upstream

MESSAGES: Any = [{"role": "user", "content": "hi"}]
USAGE = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
TOKEN = {"token": "Hi", "logprob": -0.5, "bytes": None, "top_logprobs": [{"token": "Hi", "logprob": -0.5}]}
WRONG = [
    ({"model": "up"}, "prompt", "missing_required_parameter"),
    ({"model": "up", "prompt": 5}, "prompt", "invalid_type"),
    ({"model": "up", "prompt": []}, "prompt", "empty_array"),
    ({"model": "up", "prompt": ["a", 1]}, "prompt[1]", "invalid_type"),
    ({"model": "up", "prompt": [1, "a"]}, "prompt[1]", "invalid_type"),
    ({"model": "up", "prompt": [[True]]}, "prompt[0][0]", "invalid_type"),
    ({"model": "up", "prompt": [1, 2]}, "prompt", None),
    ({"model": "up", "prompt": "a", "echo": True}, "echo", "unsupported_parameter"),
    ({"model": "up", "prompt": "a", "echo": 1}, "echo", "invalid_type"),
    ({"model": "up", "prompt": "a", "suffix": 1}, "suffix", "invalid_type"),
    ({"model": "up", "prompt": "a", "logprobs": 6}, "logprobs", "integer_above_max_value"),
    ({"model": "up", "prompt": "a", "max_tokens": -1}, "max_tokens", "integer_below_min_value"),
    ({"model": "up", "prompt": "a", "best_of": 2, "stream": True}, "best_of", "invalid_value"),
    ({"model": "up", "prompt": "a", "stream_options": {"include_usage": True}}, "stream_options", None),
    ({"model": "up", "prompt": ["a"] * 65}, "n", "integer_above_max_value"),
    ({"model": "up", "prompt": ["a"] * 33, "n": 2}, "n", "integer_above_max_value"),
    ({"prompt": "a"}, None, None),
]


async def test_a_prompt_is_what_the_user_says() -> None:
    """A chat model is asked with the prompt as the user's message; the answer is one of this API, streamed or not."""
    said = [answer("Hello")] * 2
    async with serving_upstream(*said) as (gateway, upstream), gateway.sdk() as client:
        whole = await client.completions.create(model="up", prompt="Once", max_tokens=5, temperature=0)
        stream = await client.completions.create(
            model="up", prompt="Once", stream=True, stream_options={"include_usage": True}
        )
        pieces = [piece async for piece in stream]
    assert (whole.object, whole.choices[0].text, whole.choices[0].finish_reason) == ("text_completion", "Hello", "stop")
    assert whole.id.startswith("cmpl-")
    assert whole.usage is not None
    assert whole.usage.total_tokens > 0
    assert "".join(piece.choices[0].text for piece in pieces if piece.choices) == "Hello"
    assert [piece.choices[0].finish_reason for piece in pieces if piece.choices][-1] == "stop"
    assert (pieces[-1].choices, pieces[-1].usage is not None) == ([], True)
    sent = upstream.received[0].body
    assert sent == {
        "model": "upstream-model",
        "messages": [{"role": "user", "content": "Once"}],
        "max_tokens": 5,
        "temperature": 0,
    }


async def test_the_log_probabilities_of_a_chat() -> None:
    """They come in the four lists of this API."""
    message = {"role": "assistant", "content": "Hi"}
    part = {"index": 0, "message": message, "logprobs": {"content": [TOKEN]}, "finish_reason": "stop"}
    said = Json({"choices": [part], "usage": USAGE})
    async with serving_upstream(said) as (gateway, upstream), gateway.sdk() as client:
        made = await client.completions.create(model="up", prompt="Once", logprobs=1)
    logprobs = made.choices[0].logprobs
    assert logprobs is not None
    assert (logprobs.tokens, logprobs.token_logprobs, logprobs.text_offset) == (["Hi"], [-0.5], [0])
    assert logprobs.top_logprobs == [{"Hi": -0.5}]
    assert (upstream.received[0].body["logprobs"], upstream.received[0].body["top_logprobs"]) == (True, 1)


async def test_prompts_in_one_request() -> None:
    """Each prompt, so often as ``n`` says, is a choice; the usage is their sum, and each is a run."""
    async with serving() as gateway, gateway.sdk() as client:
        made = await client.completions.create(model="penstock-demo", prompt=["Who are you?", "Hello"], n=2)
        alone = await client.completions.create(model="penstock-demo", prompt="Who are you?")
        runs = await gateway.runs(5)
    texts = [part.text for part in sorted(made.choices, key=lambda part: part.index)]
    assert [part.index for part in made.choices] == [0, 1, 2, 3]
    assert (texts[0], texts[1]) == (alone.choices[0].text, alone.choices[0].text)
    assert (texts[2], texts[2] != texts[0]) == (texts[3], True)
    assert made.usage is not None
    assert made.usage.total_tokens == sum(run["usage"]["total_tokens"] for run in runs[1:])


async def test_several_choices_of_a_chat() -> None:
    """The SDK puts them together by their index, streamed and whole; the first frame is of the first choice."""
    async with serving() as gateway, gateway.sdk() as client:
        whole = await client.chat.completions.create(model="penstock-demo", messages=MESSAGES, n=3)
        async with client.chat.completions.stream(
            model="penstock-demo", messages=MESSAGES, n=3, stream_options={"include_usage": True}
        ) as stream:
            first = await anext(aiter(stream))
            streamed = await stream.get_final_completion()
    assert first.type == "chunk"
    assert first.chunk.choices[0].index == 0
    said = [part.message.content for part in whole.choices]
    assert len(said) == 3
    assert said == [part.message.content for part in streamed.choices]
    assert all(part.finish_reason == "stop" for part in streamed.choices)
    assert (whole.usage, streamed.usage) == (streamed.usage, whole.usage)


async def test_one_of_several_choices_fails() -> None:
    """Before anything has been sent that is a status, and no choice is sent; later it is an error in the stream."""
    bad = Json({"error": {"message": "no", "type": "server_error"}}, 500)
    cut = Stream((frame(choice({"content": "a"})),))
    graphs = [{"name": "relay", "build": "tests.end_to_end.own_graphs:relay"}]
    async with serving_upstream(bad, bad, cut, cut, graphs=graphs) as (gateway, _), gateway.sdk() as client:
        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(model="relay", messages=MESSAGES, n=2)
        stream = await client.chat.completions.create(model="relay", messages=MESSAGES, n=2, stream=True)
        with pytest.raises(openai.APIError) as error:
            [chunk async for chunk in stream]
    assert error.value.code == "upstream_broke_off"


async def test_a_client_that_leaves_ends_all_choices() -> None:
    """When it goes in the middle of a stream of two choices, both runs end as left."""
    async with serving() as gateway, gateway.sdk() as client:
        stream = await client.chat.completions.create(model="penstock-demo", messages=MESSAGES, n=2, stream=True)
        await anext(aiter(stream))
        await stream.close()
        async with asyncio.timeout(10):
            runs = await gateway.runs(2)
    assert {run["outcome"] for run in runs} <= {"left", "answered"}
    assert len(runs) == 2


@pytest.mark.parametrize(("body", "param", "code"), WRONG)
async def test_what_is_wrong_is_named(body: Any, param: str | None, code: str | None) -> None:
    """A body that is wrong gets a 400 that names the member and says what is the matter with it."""
    async with serving_upstream() as (gateway, upstream):
        status, _, said = await gateway.post("/v1/completions", body)
    assert (status, said["error"]["param"], said["error"]["code"]) == (400, param, code)
    assert not upstream.received
