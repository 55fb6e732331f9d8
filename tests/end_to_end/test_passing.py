"""Models that pass: what an upstream says reaches the client as it was said, and is a run all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.catalog.catalog import Catalog
from gateway.config import Settings
from llm.testing import Json, Stream
from llm.testing.upstream import Reply, choice, frame
from tests.serving import Gateway, serving_upstream

MESSAGES: Any = [{"role": "user", "content": "hi"}]
GRAPH = {"name": "graph", "build": "tests.end_to_end.test_passing:over"}
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "prompt_tokens_details": {"cached_tokens": 2}}
ANSWER = {
    "id": "chatcmpl-upstream",
    "object": "chat.completion",
    "created": 1,
    "model": "upstream-model",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "a", "audio": {"id": "x"}}, "finish_reason": "stop"},
        {"index": 1, "message": {"role": "assistant", "content": "b", "annotations": []}, "finish_reason": "length"},
    ],
    "usage": USAGE,
    "service_tier": "default",
    "x_unknown": {"model": "inner"},
}


def over(parts: Any) -> Any:
    """A graph over the same model, with a step before it."""
    from graph import Flow  # noqa: PLC0415
    from graph.steps.responder import ResponderStep  # noqa: PLC0415

    flow = Flow("graph")
    flow.to(lambda body: body, name="same").to(ResponderStep(parts.model("any")), name="responder").respond()
    return flow


async def raw(gateway: Gateway, **body: Any) -> bytes:
    """The bytes of an answer."""
    asked = {"model": "up", "messages": MESSAGES, **body}
    async with gateway.http.post(f"{gateway.address}/v1/chat/completions", json=asked) as answered:
        assert answered.status == 200
        return await answered.read()


async def test_a_whole_answer_is_the_upstreams() -> None:
    """Several choices and members that nobody knows, byte for byte but for the name; and the run knows what it cost."""
    async with serving_upstream(Json(ANSWER)) as (gateway, upstream):
        body = await raw(gateway, n=2, x_asked={"a": [1, 2.5]}, logprobs=True)
        (run,) = await gateway.runs()
    assert body == orjson.dumps({**ANSWER, "model": "up"})
    assert upstream.received[0].body == {
        "model": "upstream-model",
        "messages": MESSAGES,
        "n": 2,
        "x_asked": {"a": [1, 2.5]},
        "logprobs": True,
    }
    assert run["usage"] == {"source": "real", "usd": None, **USAGE}
    assert [step["step"] for step in run["steps"]] == ["responder"]


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
async def test_a_stream_is_the_upstreams(size: int) -> None:
    """However the network cuts it; without the usage, for which only the gateway asked; other options go along."""
    words = [frame(choice({"role": "assistant", "content": ""})), *(frame(choice({"content": x})) for x in "abcde")]
    end = frame({**choice({}, "stop"), "service_tier": "default"})
    usage = frame({**choice({}), "choices": [], "usage": USAGE})
    stream = Stream([*words, end, usage, b"data: [DONE]\n\n"]).split(size)
    async with serving_upstream(stream, stream) as (gateway, upstream):
        untold = await raw(gateway, stream=True, stream_options={"include_obfuscation": False})
        told = await raw(gateway, stream=True, stream_options={"include_usage": True})
        runs = await gateway.runs(2)
    served = [each.replace(b'"upstream-model"', b'"up"') for each in (*words, end, usage)]
    assert untold == b"".join([*served[:-1], b"data: [DONE]\n\n"])
    assert told == b"".join([*served, b"data: [DONE]\n\n"])
    assert [run["usage"] for run in runs] == [{"source": "real", "usd": None, **USAGE}] * 2
    assert upstream.received[0].body["stream_options"] == {"include_obfuscation": False, "include_usage": True}


@pytest.mark.parametrize("stream", [True, False])
async def test_what_nobody_reported_is_counted_and_told(stream: bool) -> None:
    """Under the id of the upstream's answer, and marked."""
    words, end = Stream.words("some ", "words"), frame(choice({}, "stop"))
    uncounted: Reply = Json({name: ANSWER[name] for name in ANSWER if name != "usage"})
    reply = Stream([*words, end, b"data: [DONE]\n\n"]) if stream else uncounted
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    async with serving_upstream(reply) as (gateway, _):
        body = await raw(gateway, **options)
        (run,) = await gateway.runs()
    said = orjson.loads(body.split(b"\n\n")[-3][6:] if stream else body)
    assert (said["id"], said["model"], said["usage"]["estimated"]) == ("chatcmpl-upstream", "up", True)
    assert run["usage"] == {"source": "estimated", "usd": None, **said["usage"]}
    assert body.endswith(b"data: [DONE]\n\n") is stream


async def test_a_whole_answer_to_a_request_for_a_stream_is_told_as_one() -> None:
    """Some upstreams cannot stream everything."""
    async with serving_upstream(Json(ANSWER)) as (gateway, _):
        body = await raw(gateway, stream=True, stream_options={"include_usage": True})
    *events, usage, done = [each.removeprefix(b"data: ") for each in body.split(b"\n\n")[:-1]]
    deltas = [orjson.loads(each)["choices"][0]["delta"] for each in events]
    assert deltas[0]["role"] == "assistant"
    assert [delta.get("content") for delta in deltas] == ["", "a", None]
    assert (orjson.loads(usage)["usage"], done) == (USAGE, b"[DONE]")


async def test_an_empty_stream_is_an_answer_that_says_nothing() -> None:
    """As long as the upstream says that it is over."""
    async with serving_upstream(Stream([b"data: [DONE]\n\n"])) as (gateway, _):
        *events, done = (await raw(gateway, stream=True)).split(b"\n\n")[:-1]
    choices = [orjson.loads(each[6:])["choices"][0] for each in events]
    assert [each["finish_reason"] for each in choices] == [None, "stop"]
    assert (choices[0]["delta"]["role"], done) == ("assistant", b"data: [DONE]")


async def test_what_is_recorded_or_walks_a_graph_does_not_pass(tmp_path: Path) -> None:
    """Such answers are told in the gateway's words, and so can be replayed; each choice is a call of its own."""
    async with serving_upstream(*[Json(ANSWER)] * 3, graphs=[GRAPH]) as (gateway, upstream):
        two = orjson.loads(await raw(gateway, model="graph", n=2))
        walked = orjson.loads(await raw(gateway, model="graph"))
    async with serving_upstream(Json(ANSWER), record={"path": str(tmp_path)}) as (gateway, _):
        recorded = orjson.loads(await raw(gateway))
    assert (len(two["choices"]), len(upstream.received)) == (2, 3)
    assert not any("n" in sent.body for sent in upstream.received)
    assert len(walked["choices"]) == len(recorded["choices"]) == 1
    assert recorded["id"] != ANSWER["id"]


@pytest.mark.parametrize("repair", [True, False])
def test_a_model_whose_json_is_checked_does_not_pass(repair: bool) -> None:
    """What may be asked for again cannot have been sent."""
    provider = {"name": "far", "kind": "openai", "base_url": "http://127.0.0.1:9/v1"}
    models = [{"name": "up", "provider": "far", "repair": repair}, {"name": "own", "provider": "mini"}]
    mini = {"name": "mini", "kind": "embedded"}
    settings = Settings.model_validate({"providers": [provider, mini], "models": models, "graphs": []})
    assert {served.name: served.passes for served in Catalog.of(settings)} == {"up": not repair, "own": False}
