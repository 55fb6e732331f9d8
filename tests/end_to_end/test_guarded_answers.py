"""Attempts to get a forbidden word past a policy: in every member of an answer that clients read, cut anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest

from llm.testing import ScriptedUpstream
from llm.testing.upstream import Json, Reply, Stream, answer, choice, frame
from tests.serving import Gateway, serving, serving_upstream

WORD = "nightjar"
CUT = ("nig", "htj", "ar ")
PLACES = ["tool_arguments", "output"]
POLICY = {"name": "quiet", "rules": [{"rule": "terms", "terms": [WORD], "places": PLACES}]}
HI = {"role": "user", "content": "hi"}


def deltas(*pieces: Mapping[str, Any]) -> Stream:
    """A stream of these deltas."""
    return Stream(
        [*(frame(choice(piece)) for piece in pieces), *Stream.end({"prompt_tokens": 1, "completion_tokens": 1})]
    )


def call(**function: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": function}]}


STREAMS: dict[str, Sequence[Mapping[str, Any]]] = {
    "content": [{"content": piece} for piece in CUT],
    "thoughts": [{"reasoning_content": piece} for piece in CUT],
    "other thoughts": [{"reasoning": piece} for piece in CUT],
    "refusal": [{"refusal": piece} for piece in CUT],
    "whole details": [{"content": "a", "reasoning_details": [{"type": "reasoning.text", "text": WORD}]}],
    "details": [{"reasoning_details": [{"type": "reasoning.text", "text": piece}]} for piece in CUT],
    "arguments": [call(name="f", arguments='{"a":"'), *(call(arguments=piece) for piece in (*CUT, '"}'))],
    "escaped arguments": [call(name="f", arguments='{"a":"\\u006eig'), call(arguments='htjar"}')],
    "arguments twice": [call(name="f", arguments='{"a":"\\u006eightjar",'), call(arguments='"a":1}')],
    "name of a call": [call(name=WORD, arguments="{}")],
    "function call": [
        {"function_call": {"name": "f", "arguments": '{"a":"'}},
        *({"function_call": {"arguments": piece}} for piece in (*CUT, '"}')),
    ],
    "escaped function call": [{"function_call": {"name": "f", "arguments": '{"a":"\\u006eightjar"}'}}],
    "name of a function": [{"function_call": {"name": WORD, "arguments": "{}"}}],
    "transcript": [{"audio": {"id": "a", "transcript": piece}} for piece in CUT],
    "annotation": [{"content": "a"}, {"annotations": [{"type": "url_citation", "url_citation": {"title": WORD}}]}],
    "beside a call": [{"tool_calls": [{"index": 0, "id": "c1", "note": WORD, "function": {"name": "f"}}]}],
    "role": [{"role": WORD, "content": "a"}],
    "name of a member": [{"content": "a"}, {"annotations": [{WORD: 1}]}],
    "name of a text": [{"content": "a"}, {WORD: "x"}],
    "list of texts": [{"notes": [piece]} for piece in CUT],
    "deep in a list": [{"notes": [{"deep": {"text": piece}}]} for piece in CUT],
    "list in an object": [{"note": {"list": [{"text": piece}]}} for piece in CUT],
    "no JSON": [call(name="f", arguments='{"a":NaN,"b":"\\u006eig'), call(arguments='htjar"}')],
    "half a sign": [call(name="f", arguments='{"a":"\\ud800","b":"\\u006eightjar"}')],
    "more behind JSON": [call(name="f", arguments='{"a":"\\u006eightjar"} so')],
    "beside a function call": [{"function_call": {"name": "f", "arguments": "{}", "note": WORD}}],
    "objects for a function": [{"function_call": {"name": "f", "arguments": {"a": WORD}}}],
    "no function call": [{"function_call": [WORD]}],
}
WHOLE: dict[str, Mapping[str, Any]] = {
    "content": {"content": f"A {WORD}."},
    "thoughts": {"content": "a", "reasoning_content": WORD},
    "refusal": {"content": None, "refusal": WORD},
    "arguments": {"content": None, **call(name="f", arguments='{"a":"\\u006eightjar"}')},
    "function call": {"content": None, "function_call": {"name": "f", "arguments": '{"a":"\\u006eightjar"}'}},
    "annotation": {"content": "a", "annotations": [{"type": "url_citation", "url_citation": {"title": WORD}}]},
    "transcript": {"content": None, "audio": {"id": "a", "transcript": WORD}},
    "objects for a function": {"content": None, "function_call": {"name": "f", "arguments": {"a": WORD}}},
}
APIS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": [HI]}),
    "completions": ("/v1/completions", {"prompt": "hi"}),
    "responses": ("/v1/responses", {"input": "hi"}),
    "messages": ("/v1/messages", {"messages": [HI], "max_tokens": 5}),
    "infer": ("/v2/models/{}/infer", {"inputs": ["hi"]}),
    "generate": ("/v2/models/{}/generate", {"text_input": "hi"}),
    "generate_stream": ("/v2/models/{}/generate_stream", {"text_input": "hi"}),
    "row": ("/own", {"text": "hi"}),
}


def settings(upstream: ScriptedUpstream, attached: str) -> dict[str, Any]:
    def named(kind: str) -> list[str]:
        return ["quiet"] if attached == kind else []

    target = {"graph": "asking"} if attached == "graph" else {"model": "up"}
    build = "tests.end_to_end.own_graphs:asking"
    return {
        "providers": [{"name": "scripted", "kind": "openai", "base_url": upstream.base_url}],
        "models": [{"name": "up", "provider": "scripted", "guardrails": named("model")}],
        "graphs": [{"name": "asking", "build": build, "guardrails": named("graph")}],
        "api": [{"path": "/own", "method": "POST", "stream": True, **target}],
        "auth": {"keys": [{"name": "app", "key": "sk-app-key", "guardrails": named("key")}]},
        "guardrails": [POLICY],
    }


async def leaks(attached: str, replies: Mapping[str, Reply], *, stream: bool) -> list[tuple[str, str, str]]:
    """The answers in which a part of the word is, by API."""
    found = []
    model = "asking" if attached == "graph" else "up"
    apis = {api: asked for api, asked in APIS.items() if not stream or api not in ("infer", "generate")}
    script = [reply for reply in replies.values() for _ in apis]
    async with ScriptedUpstream(*script) as upstream, serving(**settings(upstream, attached)) as gateway:
        for name in replies:
            for api, (path, body) in apis.items():
                asked = {"model": model, "stream": stream, **body} if path.startswith("/v1") else body
                headers = {"authorization": "Bearer sk-app-key"}
                headers |= {"accept": "text/event-stream"} if stream and api == "row" else {}
                url = gateway.address + path.format(model)
                async with gateway.http.post(url, json=asked, headers=headers) as made:
                    said = (await made.read()).decode()
                if made.status >= 500 or any(part in said for part in ("htj", "006eig", WORD)):
                    found.append((name, api, said))
    return found


@pytest.mark.parametrize("attached", ["key", "model", "graph"])
async def test_no_member_of_a_stream_carries_a_word_past_a_policy(attached: str) -> None:
    """However it is cut, over every API."""
    assert await leaks(attached, {name: deltas(*pieces) for name, pieces in STREAMS.items()}, stream=True) == []


@pytest.mark.parametrize("name", ["system_fingerprint", "service_tier"])
async def test_what_is_said_of_an_answer_carries_no_word(name: str) -> None:
    """Streamed or not."""
    streamed = Stream([frame({**choice({"content": "a"}), name: WORD}), *Stream.end({"prompt_tokens": 1})])
    whole = answer("a")
    assert await leaks("model", {"streamed": streamed}, stream=True) == []
    assert await leaks("model", {"whole": replace(whole, body={**whole.body, name: WORD})}, stream=False) == []


@pytest.mark.parametrize("streams", [True, False])
async def test_a_word_is_not_put_together_of_words_and_a_refusal(streams: bool) -> None:
    """Which are a text each to a policy, and so to who reads them through Anthropic's API."""
    streamed = deltas({"content": "a night"}, {"refusal": "jar"})
    reply = streamed if streams else answer("a night", refusal="jar")
    async with ScriptedUpstream(reply) as upstream, serving(**settings(upstream, "model")) as gateway:
        asked = {"model": "up", "messages": [HI], "max_tokens": 5, "stream": streams}
        headers = {"authorization": "Bearer sk-app-key"}
        async with gateway.http.post(f"{gateway.address}/v1/messages", json=asked, headers=headers) as made:
            said = await made.text()
    if streams:
        events = [orjson.loads(line[6:]) for line in said.splitlines() if line.startswith("data: ")]
        blocks = [
            (event["index"], event["delta"]["text"]) for event in events if event["type"] == "content_block_delta"
        ]
    else:
        blocks = [(index, block["text"]) for index, block in enumerate(orjson.loads(said)["content"])]
    assert blocks == ([(0, "a "), (1, "jar"), (2, "night")] if streams else [(0, "a night"), (1, "jar")])


async def test_a_header_carries_no_word_past_a_policy() -> None:
    """That of a response that a graph makes."""
    graph = {"name": "noting", "build": "tests.end_to_end.own_graphs:noting", "guardrails": ["quiet"]}
    row = {"path": "/own", "method": "POST", "graph": "noting"}
    models = [{"name": "demo", "provider": "mini"}]
    async with serving(models=models, graphs=[graph], api=[row], guardrails=[POLICY]) as gateway:
        told = [await gateway.post("/own", {"text": text}) for text in ("fine", WORD)]
    assert [(status, headers.get("x-note")) for status, headers, _ in told] == [(200, "fine"), (200, None)]


@pytest.mark.parametrize("attached", ["key", "model", "graph"])
async def test_no_member_of_an_answer_carries_a_word_past_a_policy(attached: str) -> None:
    """One that is not streamed."""
    replies = {name: answer(**message) for name, message in WHOLE.items()}
    assert await leaks(attached, replies, stream=False) == []


FORMS = {
    "json_schema": ({"rule": "json_schema", "schema": {"required": ["a"]}}, '{"a": 1}', '{"b": 1}'),
    "form": ({"rule": "form", "pattern": "yes|no"}, "yes", "yes, but"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("stream", [True, False])
async def test_what_stands_beside_an_answer_needs_not_its_form(form: str, stream: bool) -> None:
    """Thoughts, sources and what upstreams say of the whole answer are no JSON, as a rule asks of the words."""
    rule, good, bad = FORMS[form]
    beside = {"reasoning_content": "I think.", "annotations": [{"type": "url_citation", "url": "https://a.example"}]}
    replies: list[Reply] = [
        Stream([frame({**choice({"content": text, **beside}), "system_fingerprint": "fp_1"}), *Stream.end({})])
        for text in (good, bad)
    ]
    if not stream:
        replies = [_whole(text, beside) for text in (good, bad)]
    policy = {"name": "form", "everywhere": True, "rules": [rule]}
    async with serving_upstream(*replies, guardrails=[policy]) as (gateway, _):
        said = [await _asked(gateway, stream=stream) for _ in replies]
    assert said == [(good, "I think.", "stop"), ("", "I think.", "content_filter")]


def _whole(text: str, beside: Mapping[str, Any]) -> Json:
    message = {"role": "assistant", "content": text, **beside}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return Json(
        {"id": "1", "object": "chat.completion", "model": "m", "choices": choices, "system_fingerprint": "fp_1"}
    )


async def _asked(gateway: Gateway, *, stream: bool) -> tuple[str, str, str | None]:
    """The words of an answer, its thoughts, and how it ended."""
    asked: Any = {"model": "up", "messages": [HI]}
    if not stream:
        _, _, answer = await gateway.post("/v1/chat/completions", asked)
        (one,) = answer["choices"]
        return one["message"]["content"], one["message"]["reasoning_content"], one["finish_reason"]
    async with gateway.sdk() as sdk:
        chunks = [chunk async for chunk in await sdk.chat.completions.create(**asked, stream=True)]
    deltas = [chunk.choices[0].delta for chunk in chunks]
    thoughts = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    return "".join(delta.content or "" for delta in deltas), thoughts, chunks[-1].choices[0].finish_reason
