"""A cache that gives answers to the same in other words, over real sockets: to whom, when not, and what that costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
import pytest

from llm.testing import ScriptedUpstream
from llm.testing.upstream import Hang, Json, Pause, Reply, Stream, answer, embeddings
from tests.end_to_end.test_cache import CHAT, KEYS, as_key, said
from tests.end_to_end.test_cache_joined import until_asked, until_waiting
from tests.gateway.store.servers import RedisServer
from tests.serving import Gateway, serving

APP = as_key("app")
FIRST = "What is the capital of Australia?"
AGAIN = "Please tell me the capital of Australia."
ONE, NEAR, FAR = [1.0, 0.0], [0.98, 0.199], [0.6, 0.8]
PRICE = {"input": 1_000, "output": 1_000}


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path, free_tcp_port: int) -> Iterator[str]:
    """The URL of a store of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/shared.db"
    else:
        with RedisServer(tmp_path, port=free_tcp_port):
            yield f"redis://127.0.0.1:{free_tcp_port}"


@asynccontextmanager
async def comparing(
    *replies: Reply,
    url: str = "",
    auth: Any = KEYS,
    guardrails: Any = (),
    semantic: Any = None,
    embedder: Any = MappingProxyType({}),
    secret: str = "",
    **cache: Any,
) -> AsyncGenerator[tuple[Gateway, ScriptedUpstream], None]:
    """A gateway whose model ``up`` has a cache that compares questions by the embeddings of ``vectors``."""
    async with ScriptedUpstream(*replies) as upstream:
        provider = {"name": "scripted", "kind": "openai", "base_url": upstream.base_url, "api_key": "sk-gateways-own"}
        asked = {"ttl_seconds": 60, "semantic": semantic or {"model": "vectors"}, **cache}
        models = [
            {"name": "up", "provider": "scripted", "model": "upstream-model", "price": PRICE, "cache": asked},
            {
                "name": "vectors",
                "deployments": [{"provider": "scripted", "model": "embedder"}],
                "price": PRICE,
                **embedder,
            },
        ]
        tree = {"providers": [provider], "models": models, "graphs": [], "auth": {"keys": auth, "secret": secret}}
        stored = {"store": {"url": url, "timeout_seconds": 10}} if url else {}
        async with serving(**tree, guardrails=guardrails, **stored) as gateway:
            yield gateway, upstream


def chat(text: Any, *before: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"model": "up", "messages": [*before, {"role": "user", "content": text}], **members}


def paths(upstream: ScriptedUpstream) -> list[str]:
    """What the upstream was asked for: ``chat/completions`` or ``embeddings``."""
    return [each.path.removeprefix("/v1/") for each in upstream.received]


async def test_the_same_in_other_words_is_given_the_same_answer(store: str) -> None:
    """In the same bytes; a third, who says it as the first did, is not embedded at all."""
    async with comparing(embeddings(ONE), answer("Canberra"), embeddings(NEAR), url=store) as (gateway, upstream):
        told = [await said(gateway, chat(text), **APP) for text in (FIRST, AGAIN, FIRST)]
    assert [mark for mark, _ in told] == ["miss", "semantic", "hit"]
    assert len({text for _, text in told}) == 1
    assert paths(upstream) == ["embeddings", "chat/completions", "embeddings"]
    assert (upstream.received[0].body["model"], upstream.received[0].body["input"]) == ("embedder", [FIRST])


async def test_it_is_streamed_event_by_event() -> None:
    """To the official SDK too; who wants a stream is not given a whole answer."""
    replies: list[Reply] = [
        embeddings(ONE),
        answer("Canberra"),
        embeddings(ONE),
        Stream.of_text("Can", "berra"),
        embeddings(NEAR),
    ]
    async with comparing(*replies) as (gateway, _):
        await said(gateway, chat(FIRST), **APP)
        mark, _ = await said(gateway, chat(FIRST, stream=True), **APP)
        async with gateway.sdk("sk-app-key") as client:
            stream = await client.chat.completions.create(**chat(AGAIN, stream=True))
            pieces = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
            headers = stream.response.headers
    assert (mark, headers["x-penstock-cache"]) == ("miss", "semantic")
    assert [piece for piece in pieces if piece] == ["Can", "berra"]
    assert headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    ("similarity", "vector", "mark"),
    [
        (0.95, NEAR, "semantic"),
        (0.99, NEAR, "miss"),
        (1, ONE, "semantic"),
        (0.5, [0.0, 0.0], "miss"),
        (0.5, [1.0], "miss"),
    ],
)
async def test_questions_must_be_as_alike_as_is_asked_for(similarity: float, vector: list[float], mark: str) -> None:
    """By the cosine of their embeddings; what is no direction, or one in another space, is like nothing."""
    replies = [embeddings(ONE), answer("1"), embeddings(vector), *([answer("2")] if mark == "miss" else [])]
    async with comparing(*replies, semantic={"model": "vectors", "similarity": similarity}) as (gateway, _):
        await said(gateway, chat(FIRST), **APP)
        assert (await said(gateway, chat(AGAIN), **APP))[0] == mark


async def test_of_several_the_most_alike_is_given() -> None:
    """Not the first, nor the last."""
    replies = [embeddings(FAR), answer("1"), embeddings(ONE), answer("2"), embeddings([0.0, 1.0]), answer("3")]
    texts = ["Capital of Australia?", FIRST, "Which is the capital of Australia?", AGAIN]
    async with comparing(*replies, embeddings(NEAR)) as (gateway, _):
        told = [await said(gateway, chat(text), **APP) for text in texts]
    assert [mark for mark, _ in told] == ["miss", "miss", "miss", "semantic"]
    assert told[3] == ("semantic", told[1][1])


@pytest.mark.parametrize(
    "other",
    [
        chat("Please tell me the capital of Austria."),
        chat(AGAIN, {"role": "system", "content": "Answer in French."}),
        chat(AGAIN, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}),
        chat(AGAIN, temperature=0.5),
        chat(AGAIN, tools=[{"type": "function", "function": {"name": "look"}}]),
    ],
)
async def test_all_else_must_agree_exactly(other: dict[str, Any]) -> None:
    """However alike the embeddings are: names, what was said before, and every parameter."""
    async with comparing(embeddings(ONE), answer("1"), embeddings(ONE), answer("2")) as (gateway, _):
        await said(gateway, chat(FIRST), **APP)
        assert (await said(gateway, other, **APP))[0] == "miss"


@pytest.mark.parametrize("shared", [True, False])
async def test_answers_are_those_of_a_key_unless_shared(shared: bool) -> None:
    """As in a cache that takes questions by the letter."""
    replies = [embeddings(ONE), answer("1"), embeddings(ONE), *([] if shared else [answer("2")])]
    async with comparing(*replies, shared=shared) as (gateway, _):
        await said(gateway, chat(FIRST), **APP)
        mark, _ = await said(gateway, chat(AGAIN), **as_key("other"))
    assert mark == ("semantic" if shared else "miss")


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": [{"type": "text", "text": FIRST}]}],
        [{"role": "user", "content": FIRST + "x" * 1000}],
        [{"role": "user", "content": "What is it?"}],
        [
            {
                "role": "assistant",
                "tool_calls": [{"id": "1", "type": "function", "function": {"name": "a", "arguments": ""}}],
            },
            {"role": "tool", "tool_call_id": "1", "content": "x"},
            {"role": "user", "content": FIRST},
        ],
        [{"role": "user", "content": FIRST}, {"role": "assistant", "content": "Can"}],
    ],
)
async def test_what_is_not_all_text_is_taken_by_the_letter(messages: Any) -> None:
    """Parts, results of tools, long texts, and what says nothing by itself: nothing is embedded."""
    body = {"model": "up", "messages": messages}
    async with comparing(answer("1")) as (gateway, upstream):
        marks = [(await said(gateway, body, **APP))[0] for _ in range(2)]
    assert marks == ["miss", "hit"]
    assert paths(upstream) == ["chat/completions"]


async def test_messages_have_it_too() -> None:
    """Anthropic's API, with answers of its own."""
    body = {**chat(FIRST), "max_tokens": 5}
    async with comparing(embeddings(ONE), answer("1"), embeddings(NEAR)) as (gateway, _):
        marks = [
            (await said(gateway, each, "/v1/messages", **APP))[0] for each in (body, {**chat(AGAIN), "max_tokens": 5})
        ]
    assert marks == ["miss", "semantic"]


async def test_an_embedding_is_charged_as_what_it_is() -> None:
    """Each has a row of its model, which is no further request; an answer that is given costs nothing beside it."""
    async with comparing(embeddings(ONE), answer("1"), embeddings(NEAR)) as (gateway, _):
        for text in (FIRST, AGAIN):
            await said(gateway, chat(text), **APP)
        rows: list[Any] = []
        while len(rows) < 3:
            _, _, told = await gateway.get("/admin/usage?by=key&by=model&by=outcome", **as_key("ops"))
            rows = told["usage"]
    assert {
        (row["key"], row["model"], row["outcome"]): (row["requests"], row["total_tokens"], row["usd"]) for row in rows
    } == {
        ("app", "vectors", "answered"): (0, 14, 0.014),
        ("app", "up", "answered"): (1, 10, 0.01),
        ("app", "up", "cached"): (1, 0, 0),
    }


async def test_an_embedding_is_no_request_and_has_no_place_of_its_own() -> None:
    """While one request of a key that may have one is answered, no other is; and each counts once."""
    keys = [{"name": "app", "key": "sk-app-key", "rpm": 3, "parallel": 1, "budget_usd": 100}]
    pause = Pause()
    stream = Stream([*Stream.words("Can"), pause, *Stream.end({"prompt_tokens": 7, "completion_tokens": 2})])
    async with comparing(embeddings(ONE), stream, embeddings(ONE), answer("1"), auth=keys) as (gateway, _):
        body = chat(FIRST, stream=True)
        first = await gateway.http.post(gateway.address + CHAT, json=body, headers=APP)
        status, _, _ = await gateway.post(CHAT, chat("Who is Anna?"), **APP)
        pause.set()
        await first.read()
        mark, _ = await said(gateway, chat("Who is Bob?"), **APP)
    assert (first.status, status, mark) == (200, 429, "miss")
    assert first.headers["x-ratelimit-remaining-requests"] == "2"


@pytest.mark.parametrize("limits", [{"rpm": 1}, {"rpm": 1, "tpm": 100_000}, {"rpm": 1, "budget_usd": 100}])
async def test_nothing_is_embedded_for_a_key_without_a_request_left(limits: dict[str, Any], store: str) -> None:
    """Its request is refused as if there were no cache."""
    keys = [{"name": "app", "key": "sk-app-key", **limits}]
    async with comparing(embeddings(ONE), answer("1"), auth=keys, url=store) as (gateway, upstream):
        told = [await gateway.post(CHAT, chat(text), **APP) for text in (FIRST, AGAIN, "Who is Bob?")]
    assert [status for status, _, _ in told] == [200, 429, 429]
    assert told[1][2]["error"]["code"] == "rate_limit_exceeded"
    assert paths(upstream) == ["embeddings", "chat/completions"]


async def test_a_question_takes_one_request_and_one_place_however_it_ends() -> None:
    """An answer of the cache gives back what was taken before the embedding; one that is refused for its tokens has
    cost an embedding, and so its request."""
    keys = [{"name": "app", "key": "sk-app-key", "rpm": 3, "tpm": 2_000, "parallel": 1}]
    replies = [embeddings(ONE), answer("1"), embeddings(NEAR), embeddings(ONE), embeddings(ONE), answer("2")]
    async with comparing(*replies, auth=keys) as (gateway, upstream):
        marks = [(await said(gateway, chat(text, max_tokens=9), **APP))[0] for text in (FIRST, AGAIN)]
        status, _, _ = await gateway.post(CHAT, chat("Who is Anna?", max_tokens=5_000), **APP)
        _, headers, _ = await gateway.post(CHAT, chat("Who is Bob?", max_tokens=9), **APP)
    assert (marks, status, len(upstream.received)) == (["miss", "semantic"], 429, 6)
    assert headers["x-ratelimit-remaining-requests"] == "0"


async def test_what_is_wrong_with_a_question_gives_no_embedding_back() -> None:
    """It is embedded before it is looked at, so it takes a request: nobody buys embeddings by mistakes."""
    keys = [{"name": "app", "key": "sk-app-key", "rpm": 2}]
    async with comparing(embeddings(ONE), embeddings(NEAR), auth=keys) as (gateway, upstream):
        wrong = [await gateway.post(CHAT, chat(f"Who is {name}?", n=-1), **APP) for name in ("Anna", "Bob", "Carla")]
    assert [status for status, _, _ in wrong][:2] == [400, 400]
    assert paths(upstream) == ["embeddings", "embeddings"]


async def test_of_many_at_once_those_are_embedded_that_have_a_request_left() -> None:
    """What one has taken is no other's between its embedding and its answer."""
    keys = [{"name": "app", "key": "sk-app-key", "rpm": 1}]
    async with comparing(embeddings(ONE), answer("1"), auth=keys) as (gateway, upstream):
        asking = [gateway.post(CHAT, chat(f"Who is {name}?"), **APP) for name in ("Anna", "Bob", "Carla", "Dora")]
        told = await asyncio.gather(*asking)
    assert sorted(status for status, _, _ in told) == [200, 429, 429, 429]
    assert paths(upstream) == ["embeddings", "chat/completions"]


async def test_who_answered_is_not_who_embedded() -> None:
    """The header that names deployments names those of the answer, which here has none."""
    async with comparing(embeddings(ONE), answer("1")) as (gateway, _):
        _, headers, _ = await gateway.post(CHAT, chat(FIRST), **APP)
    assert "x-penstock-deployment" not in headers


async def test_without_embeddings_a_question_is_taken_by_the_letter() -> None:
    """An embedder that fails costs nobody an answer."""
    down = Json({"error": {"message": "down"}}, status=400)
    async with comparing(down, answer("1"), down, answer("2")) as (gateway, _):
        marks = [(await said(gateway, chat(text), **APP))[0] for text in (FIRST, AGAIN, FIRST)]
    assert marks == ["miss", "miss", "hit"]


async def test_what_policies_look_at_is_not_embedded() -> None:
    """They have not looked yet: what they would mask or refuse would be said to the embedder."""
    policy = {"name": "quiet", "rules": [{"rule": "terms", "terms": ["x"], "action": "refuse"}]}
    keys = [{"name": "app", "key": "sk-app-key", "guardrails": ["quiet"]}]
    async with comparing(answer("1"), auth=keys, guardrails=[policy]) as (gateway, upstream):
        mark, _ = await said(gateway, chat(FIRST), **APP)
    assert (mark, paths(upstream)) == ("miss", ["chat/completions"])


async def test_the_policies_of_the_embedder_hold_for_what_it_is_told() -> None:
    """A model that may not be told something is not told it for a cache either."""
    policy = {"name": "quiet", "rules": [{"rule": "terms", "terms": ["Australia"], "action": "refuse"}]}
    async with comparing(answer("1"), guardrails=[policy], embedder={"guardrails": ["quiet"]}) as (gateway, upstream):
        mark, _ = await said(gateway, chat(FIRST), **APP)
    assert (mark, paths(upstream)) == ("miss", ["chat/completions"])


async def test_what_is_reserved_for_another_embedder_is_given_back() -> None:
    """Also where no run of the request follows, as its answer is there."""
    keys = [{"name": "app", "key": "sk-app-key", "tpm": 100_000}]
    two = [{"provider": "scripted", "model": model} for model in ("embedder", "spare")]
    replies = [embeddings(ONE), answer("1"), Json({"data": "garbled"}), embeddings(NEAR), answer("2")]
    anew = {**APP, "Cache-Control": "no-cache"}
    async with comparing(*replies, auth=keys, embedder={"deployments": two}) as (gateway, _):
        _, before, _ = await gateway.post(CHAT, chat(FIRST), **APP)
        mark, _ = await said(gateway, chat(AGAIN), **APP)
        _, after, _ = await gateway.post(CHAT, chat(FIRST), **anew)
    left = [int(headers["x-ratelimit-remaining-tokens"]) for headers in (before, after)]
    answered, embedded, garbled = 10, 7, 10
    assert (mark, left[0] - left[1]) == ("semantic", answered + garbled + embedded)


async def test_an_answer_under_policies_that_changed_is_nobody_elses() -> None:
    """It may have been made under others than those that it would be found under."""
    policy = {"name": "quiet", "rules": [{"rule": "terms", "terms": ["Canberra"], "action": "redact"}]}
    vector, pause = orjson.dumps(embeddings(ONE).body), Pause()
    replies: list[Reply] = [Stream([pause, vector]), answer("Canberra"), embeddings(ONE), answer("Canberra")]
    async with comparing(*replies, guardrails=[policy], secret="s" * 32, shared=True) as (gateway, upstream):
        _, _, made = await gateway.post("/admin/keys", {"name": "stored"}, **as_key("ops"))
        stored = {"Authorization": f"Bearer {made['key']}"}
        asking = asyncio.create_task(said(gateway, chat(FIRST), **stored))
        await until_asked(gateway, upstream)
        change: dict[str, Any] = {"json": {"guardrails": ["quiet"]}, "headers": as_key("ops")}
        async with gateway.http.patch(f"{gateway.address}/admin/keys/stored", **change) as changed:
            assert changed.status == 200
        pause.set()
        masked = await asking
        other = await said(gateway, chat(FIRST), **APP)
    assert (masked[0], b"Canberra" in masked[1]) == ("miss", False)
    assert (other[0], b"Canberra" in other[1]) == ("miss", True)


async def test_a_client_that_leaves_ends_its_embedding() -> None:
    """And nothing is asked for it afterwards."""
    async with comparing(Hang()) as (gateway, upstream):
        asking = asyncio.create_task(said(gateway, chat(FIRST), **APP))
        await until_asked(gateway, upstream)
        asking.cancel()
        async with asyncio.timeout(10):
            await upstream.left.wait()
    assert paths(upstream) == ["embeddings"]


async def test_who_asks_the_same_meanwhile_is_not_embedded() -> None:
    """It waits for the answer, whoever makes that, or made it once."""
    pause = Pause()
    async with comparing(embeddings(ONE), answer("1"), Stream([pause, orjson.dumps(embeddings(NEAR).body)])) as (
        gateway,
        upstream,
    ):
        await said(gateway, chat(FIRST), **APP)
        asking = [asyncio.create_task(said(gateway, chat(AGAIN), **APP))]
        await until_asked(gateway, upstream, 3)
        asking += [asyncio.create_task(said(gateway, chat(AGAIN), **APP)) for _ in range(2)]
        await until_waiting(gateway, 2)
        pause.set()
        marks = [(await each)[0] for each in asking]
    assert marks == ["semantic", "joined", "joined"]


async def test_the_embedded_model_compares_too() -> None:
    """A gateway without a network: the model that comes along makes the embeddings, and the answer."""
    cache = {"ttl_seconds": 60, "semantic": {"model": "penstock-demo", "similarity": 0.5}}
    models = [{"name": "penstock-demo", "provider": "mini", "cache": cache}]
    async with serving(models=models, graphs=[]) as gateway:
        bodies = [{**chat(text), "model": "penstock-demo", "max_tokens": 5} for text in (FIRST, AGAIN)]
        marks = [(await said(gateway, body))[0] for body in bodies]
    assert marks == ["miss", "semantic"]
