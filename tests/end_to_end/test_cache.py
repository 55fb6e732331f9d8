"""The cache of a model over real sockets: who is given what was made before, in which form, and what it costs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from multidict import CIMultiDict

from llm.testing import ScriptedUpstream
from llm.testing.upstream import Json, Reply, Stream, answer, embeddings
from tests.serving import Gateway, serving

CHAT = "/v1/chat/completions"
QUESTION: dict[str, Any] = {"model": "up", "messages": [{"role": "user", "content": "hi"}]}
STREAMED = {**QUESTION, "stream": True}
KEYS = [
    {"name": "app", "key": "sk-app-key"},
    {"name": "other", "key": "sk-other-key"},
    {"name": "poor", "key": "sk-poor-key", "models": ["nothing"]},
    {"name": "ops", "key": "sk-ops-key", "role": "admin"},
]


def as_key(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer sk-{name}-key"}


@asynccontextmanager
async def caching(
    *replies: Reply,
    auth: Any = (),
    price: Any = None,
    store: Any = None,
    guardrails: Any = (),
    api: Any = (),
    **cache: Any,
) -> AsyncGenerator[tuple[Gateway, ScriptedUpstream], None]:
    """A gateway whose model ``up`` has a cache, and ``plain`` none."""
    async with ScriptedUpstream(*replies) as upstream:
        provider = {"name": "scripted", "kind": "openai", "base_url": upstream.base_url, "api_key": "sk-gateways-own"}
        model = {"provider": "scripted", "model": "upstream-model", "price": price}
        models = [{"name": "up", **model, "cache": {"ttl_seconds": 60, **cache}}, {"name": "plain", **model}]
        tree = {
            "providers": [provider],
            "models": models,
            "graphs": [],
            "auth": {"keys": list(auth)},
            "guardrails": guardrails,
            "api": api,
        }
        async with serving(**tree, **({"store": store} if store else {})) as gateway:
            yield gateway, upstream


async def said(gateway: Gateway, body: Any, path: str = CHAT, **headers: str) -> tuple[str | None, bytes]:
    """What the cache had to do with an answer, and the answer."""
    async with gateway.http.post(gateway.address + path, json=body, headers=headers) as response:
        assert response.status == 200
        return response.headers.get("x-penstock-cache"), await response.read()


async def test_the_same_question_is_answered_from_the_cache() -> None:
    """A whole answer as the same bytes, with the usage that the first one had."""
    async with caching(answer("hello")) as (gateway, _):
        first, second = [await said(gateway, QUESTION) for _ in range(2)]
        async with gateway.http.get(f"{gateway.address}/metrics") as told:
            metrics = await told.text()
    assert (first[0], second[0]) == ("miss", "hit")
    assert first[1] == second[1]
    assert b'"total_tokens":10' in second[1]
    for outcome in ("hit", "miss"):
        assert f'penstock_cache_answers_total{{model="up",outcome="{outcome}"}} 1.0' in metrics


async def test_a_stream_is_replayed_as_a_stream() -> None:
    """Event by event, to the official SDK too; a whole answer to the same question is another entry."""
    async with caching(Stream.of_text("Hel", "lo"), answer("Hello")) as (gateway, _):
        first, second, whole = [await said(gateway, body) for body in (STREAMED, STREAMED, QUESTION)]
        async with gateway.sdk() as client:
            stream = await client.chat.completions.create(**STREAMED)
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
    assert (first[0], second[0], whole[0], text) == ("miss", "hit", "miss", "Hello")
    assert first[1] == second[1]
    assert b"id: " not in second[1]


@pytest.mark.parametrize(
    ("other", "hits"),
    [
        ({"user": "u-7"}, True),
        ({"metadata": {"a": "b"}}, True),
        ({"temperature": None}, True),
        ({"temperature": 0.5}, False),
        ({"max_tokens": 5}, False),
        ({"messages": [{"role": "user", "content": "hi "}]}, False),
        ({"unknown_member": 1}, False),
    ],
)
async def test_what_changes_the_answer_is_another_question(other: dict[str, Any], hits: bool) -> None:
    """Members that only say who asks are left out, and so is the order; any other counts, known or not."""
    body = dict(reversed([*{**QUESTION, **other}.items()]))
    async with caching(answer("hello"), *([] if hits else [answer("hello")])) as (gateway, _):
        await said(gateway, QUESTION)
        mark, _ = await said(gateway, body)
    assert mark == ("hit" if hits else "miss")


async def test_no_store_and_no_cache_are_heeded() -> None:
    """``no-store`` neither reads nor keeps; ``no-cache`` asks anew, and that answer is kept."""
    async with caching(answer("1"), answer("2"), answer("3")) as (gateway, _):
        marks = [
            await said(gateway, QUESTION, **headers)
            for headers in ({"Cache-Control": "no-store"}, {}, {"Cache-Control": "no-cache"}, {})
        ]
    assert [mark for mark, _ in marks] == ["bypass", "miss", "miss", "hit"]
    assert marks[2][1] == marks[3][1]


async def test_several_samples_bypass_it_unless_the_settings_say_so() -> None:
    """Who asks for several choices wants them to differ; at temperature 0 they do not."""
    several = {**QUESTION, "n": 2}
    async with caching(answer("1"), answer("2"), answer("3")) as (gateway, _):
        marks = [(await said(gateway, body))[0] for body in (several, several, {**several, "temperature": 0})]
    async with caching(answer("1"), sampled=True) as (gateway, _):
        marks += [(await said(gateway, several))[0] for _ in range(2)]
    assert marks == ["bypass", "bypass", "miss", "miss", "hit"]


async def test_members_of_a_row_mean_what_its_operator_says() -> None:
    """A shop in ``store`` is no wish to have the answer stored, and a number in ``n`` none for several choices."""
    row = {"path": "/shops", "model": "up", "text": "{n} of {store}", "input": {"n": "$.n", "store": "$.store"}}
    async with caching(answer("1"), api=[row]) as (gateway, _):
        marks = [(await said(gateway, {"n": 5, "store": "Rome"}, "/shops"))[0] for _ in range(2)]
    assert marks == ["miss", "hit"]


async def test_models_without_a_cache_say_nothing_of_it() -> None:
    """Nor is anything kept of them."""
    async with caching(answer("1"), answer("2")) as (gateway, _):
        marks = [(await said(gateway, {**QUESTION, "model": "plain"}))[0] for _ in range(2)]
    assert marks == [None, None]


async def test_what_failed_is_not_kept() -> None:
    """Neither an error nor a stream that broke."""
    failure = Json({"error": {"message": "down"}}, status=500)
    async with caching(failure, answer("hello")) as (gateway, _):
        status, headers, _ = await gateway.post(CHAT, QUESTION)
        mark, _ = await said(gateway, QUESTION)
    assert (status >= 500, mark) == (True, "miss")
    assert "x-penstock-cache" not in headers


def filtered(*reasons: str) -> Json:
    """An answer that its upstream has cut off, with a choice for each reason."""
    choices = [
        {"index": index, "message": {"role": "assistant", "content": "hel"}, "finish_reason": reason}
        for index, reason in enumerate(reasons)
    ]
    return Json({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": choices})


CUT = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "content_filter"}]}\n\ndata: [DONE]\n\n'
HELD_BACK = Stream([*Stream.words("hel"), CUT])


@pytest.mark.parametrize(
    ("path", "body", "reply"),
    [
        (CHAT, QUESTION, filtered("content_filter")),
        (CHAT, STREAMED, HELD_BACK),
        (CHAT, {**QUESTION, "n": 2, "temperature": 0}, filtered("stop", "content_filter")),
        ("/v1/completions", {"model": "up", "prompt": "hi"}, filtered("safety")),
        ("/v1/messages", {**QUESTION, "max_tokens": 5}, filtered("content_filter")),
        ("/v1/responses", {"model": "up", "input": "hi", "store": False}, filtered("content_filter")),
        ("/v2/models/up/generate", {"text_input": "hi"}, filtered("content_filter")),
        ("/v2/models/up/generate_stream", {"text_input": "hi"}, HELD_BACK),
        ("/ask", {"messages": QUESTION["messages"]}, filtered("content_filter")),
    ],
)
async def test_what_an_upstream_has_filtered_is_not_kept(path: str, body: dict[str, Any], reply: Reply) -> None:
    """Of no API: who asks the same is not told what was held back from another; their own may be whole."""
    api = [{"path": "/ask", "method": "POST", "model": "up", "output": {"said": "$.answer"}}]
    async with caching(reply, reply, auth=KEYS, api=api, shared=True) as (gateway, _):
        marks = [(await said(gateway, body, path, **as_key(name)))[0] for name in ("app", "other")]
    assert marks == ["miss", "miss"]


async def test_what_a_policy_has_refused_is_not_kept() -> None:
    """It is said instead of the answer, and is none."""
    rule = {"rule": "terms", "terms": ["hello"], "action": "refuse", "places": ["output"]}
    policy = {"name": "quiet", "replacement": "No.", "rules": [rule], "everywhere": True}
    async with caching(answer("hello"), answer("hi"), guardrails=[policy]) as (gateway, _):
        told = [await said(gateway, QUESTION) for _ in range(3)]
    assert [mark for mark, _ in told] == ["miss", "miss", "hit"]


@pytest.mark.parametrize("shared", [True, False])
async def test_answers_are_those_of_a_key_unless_shared(shared: bool) -> None:
    """And even a shared one is given to nobody who may not use the model."""
    replies = [answer("1")] * (1 if shared else 2)
    async with caching(*replies, auth=KEYS, shared=shared) as (gateway, _):
        marks = [(await said(gateway, QUESTION, **as_key(name)))[0] for name in ("app", "other", "app")]
        status, _, body = await gateway.post(CHAT, QUESTION, **as_key("poor"))
    assert marks == ["miss", "hit" if shared else "miss", "hit"]
    assert (status, body["error"]["code"]) == (404, "model_not_found")


async def test_a_hit_costs_nothing_and_is_in_the_ledger() -> None:
    """One paid request, and one of 0 dollars and 0 tokens."""
    async with caching(answer("1"), auth=KEYS, price={"input": 1, "output": 1}) as (gateway, _):
        for _ in range(2):
            await said(gateway, QUESTION, **as_key("app"))
        rows: list[Any] = []
        while sum(row["requests"] for row in rows) < 2:
            _, _, body = await gateway.get("/admin/usage", **as_key("ops"))
            rows = body["usage"]
    assert [(row["requests"], row["total_tokens"]) for row in rows] == [(2, 10)]


async def test_workers_share_it(tmp_path: Path) -> None:
    """What one was told, the other gives; not once its models are others."""
    store = {"url": f"sqlite:///{tmp_path}/shared.db"}
    async with caching(answer("1"), auth=KEYS, store=store) as (one, upstream):
        provider = {"name": "scripted", "kind": "openai", "base_url": upstream.base_url, "api_key": "sk-gateways-own"}
        model = {"name": "up", "provider": "scripted", "model": "upstream-model", "cache": {"ttl_seconds": 60}}
        plain = {"name": "plain", "provider": "scripted", "model": "upstream-model"}
        tree = {"providers": [provider], "graphs": [], "auth": {"keys": KEYS}, "store": store}
        first = await said(one, QUESTION, **as_key("app"))
        async with serving(**tree, models=[model, plain]) as other:
            second = await said(other, QUESTION, **as_key("app"))
        upstream.script.append(answer("2"))
        async with serving(**tree, models=[{**model, "model": "another"}, plain]) as changed:
            third = await said(changed, QUESTION, **as_key("app"))
    assert (first[0], second[0], third[0]) == ("miss", "hit", "miss")
    assert first[1] == second[1]


async def test_every_api_of_a_model_has_it() -> None:
    """Completions, messages, responses that are not stored, V2 and embeddings; stored responses bypass it."""
    requests: list[tuple[str, dict[str, Any], str]] = [
        ("/v1/completions", {"model": "up", "prompt": "hi"}, "hit"),
        ("/v1/messages", {**QUESTION, "max_tokens": 5}, "hit"),
        ("/v1/responses", {"model": "up", "input": "hi", "store": False}, "hit"),
        ("/v1/responses", {"model": "up", "input": "hi"}, "bypass"),
        ("/v2/models/up/generate", {"text_input": "hi"}, "hit"),
        ("/v1/embeddings", {"model": "up", "input": "hi"}, "hit"),
    ]
    replies = [answer("x")] * 6
    async with caching(*replies, embeddings([0.5])) as (gateway, _):
        for path, body, mark in requests:
            marks = [(await said(gateway, body, path))[0] for _ in range(2)]
            assert marks[1] == mark, path


async def test_a_key_and_a_cache_go_together() -> None:
    """A request under an Idempotency-Key may be answered from the cache, and then has ids."""
    async with caching(Stream.of_text("a")) as (gateway, _):
        await said(gateway, STREAMED)
        first, second = [await said(gateway, STREAMED, **{"Idempotency-Key": "k"}) for _ in range(2)]
    assert first == second
    assert (first[0], first[1][:6]) == ("hit", b"id: 1\n")


async def test_without_its_store_every_request_is_a_miss(free_tcp_port: int) -> None:
    """And is answered."""
    store = {"url": f"redis://127.0.0.1:{free_tcp_port}"}
    async with caching(answer("1"), answer("2"), auth=KEYS, store=store) as (gateway, _):
        marks = [(await said(gateway, QUESTION, **as_key("app")))[0] for _ in range(2)]
    assert marks == ["miss", "miss"]


async def test_a_key_under_other_guardrails_is_given_answers_of_its_own() -> None:
    """Even where answers are shared: what one may read, the other may not."""
    policy = {
        "name": "quiet",
        "rules": [{"rule": "terms", "terms": ["hello"], "action": "refuse", "places": ["output"]}],
    }
    guarded = {"name": "guarded", "key": "sk-guarded-key", "guardrails": ["quiet"]}
    async with caching(answer("hello"), answer("hello"), auth=[*KEYS, guarded], guardrails=[policy], shared=True) as (
        gateway,
        _,
    ):
        _, text = await said(gateway, QUESTION, **as_key("app"))
        async with gateway.http.post(gateway.address + CHAT, json=QUESTION, headers=as_key("guarded")) as response:
            other = await response.read()
    assert b"hello" in text
    assert b"hello" not in other


async def test_a_stream_is_no_answer_to_who_takes_none() -> None:
    """However often ``Accept`` is said: an endpoint of one's own streams where one of them takes a stream."""
    api = [{"path": "/ask", "method": "POST", "model": "up", "stream": True}]
    body = {"messages": QUESTION["messages"]}
    async with caching(Stream.of_text("Ciao"), answer("Ciao"), api=api) as (gateway, _):
        both = CIMultiDict([("Accept", "application/json"), ("Accept", "text/event-stream")])
        async with gateway.http.post(f"{gateway.address}/ask", json=body, headers=both) as streamed:
            first = streamed.headers["content-type"]
        _, headers, told = await gateway.post("/ask", body, Accept="application/json")
    assert first.startswith("text/event-stream")
    assert (headers["x-penstock-cache"], told["answer"]) == ("miss", "Ciao")
