"""Limits of keys and teams over HTTP: what is refused and how, and what is settled on every way out."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import openai
import pytest

from gateway.app import create_app
from gateway.config import Settings
from gateway.store.protocol import NANOS, Account, Amount, Hold, Limits
from gateway.store.sqlite import SQLiteStore
from llm.testing import Cut, Hang, Json, Pause, ScriptedUpstream, Stream
from llm.testing.upstream import Reply, answer, embeddings
from tests.serving import Gateway, serving

KEY = "app-key-123"
BEARER = {"Authorization": f"Bearer {KEY}"}
MESSAGES: Any = [{"role": "user", "content": "hi"}]
CHAT: Any = {"model": "up", "messages": MESSAGES, "max_tokens": 50}
PRICE = {"input": 1.0, "output": 2.0}
DEAR = 7 * 1000 + 3 * 2000
"""What the scripted answer (7 tokens in, 3 out) costs at that price, in billionths of a dollar."""
WHOLE = Amount(requests=1, tokens=10, nanos=DEAR)


@asynccontextmanager
async def limited(
    folder: Path, *replies: Reply, team: Any = None, **limits: Any
) -> AsyncGenerator[tuple[Gateway, ScriptedUpstream], None]:
    """A gateway over a scripted upstream, with a key ``app`` under these limits, perhaps in a team."""
    teams = [{"name": "search", "period": "total", **team}] if team else []
    key = {"name": "app", "key": KEY, "period": "total", "team": "search" if team else "", **limits}
    free = {"name": "free", "key": "free-key-123"}
    async with ScriptedUpstream(*replies) as upstream:
        tree = {
            "auth": {"keys": [key, free], "teams": teams},
            "providers": [{"name": "scripted", "kind": "openai", "base_url": upstream.base_url, "api_key": "sk-own-1"}],
            "models": [{"name": "up", "provider": "scripted", "model": "upstream-model", "price": PRICE}],
            "graphs": [{"name": "relay", "build": "tests.end_to_end.own_graphs:relay"}],
            "store": {"url": f"sqlite:///{folder}/penstock.db"},
            "limits": {"exact": True},
        }
        async with serving(**tree) as gateway:
            yield gateway, upstream


async def spent(folder: Path, name: str = "key:app", later: float = 0.0) -> Amount:
    """What is taken of an account with a budget in total, as any worker sees it, perhaps some seconds later."""
    store = SQLiteStore(folder / "penstock.db", lambda: later)
    await store.start()
    hold = Hold(f"look {name}", (Account(name, Limits(), "total"),))
    decision = await store.reserve(hold, Amount(), 60)
    await store.adjust(hold, Amount(), final=True)
    await store.close()
    return decision.standings[0].used


async def spent_in_the_end(folder: Path, name: str = "key:app") -> Amount:
    """The same, once nothing is under way any more."""
    async with asyncio.timeout(10):
        while (taken := await spent(folder, name)).slots:
            pass
    return taken


async def test_requests_a_minute(tmp_path: Path) -> None:
    """The next one too many is a RateLimitError of OpenAI's SDK, and says when to try again."""
    async with limited(tmp_path, answer("a"), answer("b"), rpm=2) as (gateway, _), gateway.sdk(KEY) as client:
        ask = client.chat.completions.with_raw_response.create
        first = await ask(model="up", messages=MESSAGES)
        second = await ask(model="up", messages=MESSAGES)
        with pytest.raises(
            openai.RateLimitError, match=r"key 'app' on requests per min \(RPM\): Limit 2, Used 2"
        ) as no:
            await ask(model="up", messages=MESSAGES)
    assert [made.headers["x-ratelimit-remaining-requests"] for made in (first, second)] == ["1", "0"]
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert re.fullmatch(r"1m\d(\.\d+)?s", first.headers["x-ratelimit-reset-requests"])
    assert (no.value.code, no.value.type) == ("rate_limit_exceeded", "requests")
    assert 1 <= int(no.value.response.headers["retry-after"]) <= 65
    assert no.value.response.headers["x-ratelimit-remaining-requests"] == "0"


async def test_tokens_a_minute(tmp_path: Path) -> None:
    """The bound of prompt and answer is reserved, and given back to what was used; too much at once never fits."""
    async with limited(tmp_path, answer("a"), answer("b"), tpm=200) as (gateway, _), gateway.sdk(KEY) as client:
        ask = client.chat.completions.with_raw_response.create
        for _ in range(2):
            made = await ask(model="up", messages=MESSAGES, max_tokens=150)
        with pytest.raises(
            openai.RateLimitError, match=r"tokens per min \(TPM\): Limit 200, Used 20, Requested 1"
        ) as no:
            await ask(model="up", messages=MESSAGES, max_completion_tokens=180)
        with pytest.raises(openai.RateLimitError, match="Request too large") as never:
            await ask(model="up", messages=MESSAGES)
    assert made.headers["x-ratelimit-limit-tokens"] == "200"
    assert no.value.type == "tokens"
    assert "retry-after" in no.value.response.headers
    assert never.value.response.headers["x-should-retry"] == "false"


LONG = "word " * 200


@pytest.mark.parametrize(
    "more",
    [
        {"max_completion_tokens": 1, "max_tokens": 300},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"description": LONG}}}},
        {"functions": [{"name": "f", "description": LONG}]},
        {"prediction": {"type": "content", "content": LONG}},
        {"nobody_knows": LONG},
        {"messages": [{"role": "user", "content": "hi", "name": LONG}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "nobody_knows": LONG}]}]},
        {"messages": [{"role": "assistant", "content": "a", "reasoning_content": LONG}, *MESSAGES]},
    ],
)
async def test_whatever_a_model_may_read_is_reserved(more: Any, tmp_path: Path) -> None:
    """Wherever it stands, and the most that any member says of the answer: else many at once would pass the limit."""
    async with limited(tmp_path, tpm=200) as (gateway, upstream):
        status, _, _ = await gateway.post("/v1/chat/completions", {**CHAT, **more}, **BEARER)
    assert (status, len(upstream.received)) == (429, 0)


async def test_what_says_how_to_answer_is_not(tmp_path: Path) -> None:
    """No model reads it."""
    more = {"metadata": {"a": LONG[:500]}, "user": LONG, "stop": ["x" * 500], "temperature": 0.123456789}
    async with limited(tmp_path, answer("a"), tpm=200) as (gateway, _):
        status, _, _ = await gateway.post("/v1/chat/completions", {**CHAT, **more}, **BEARER)
    assert status == 200


async def test_a_budget(tmp_path: Path) -> None:
    """What may cost more than is left is refused as insufficient_quota, and what was answered cost what it says."""
    budget = (DEAR + 60 * 2000) / NANOS
    async with limited(tmp_path, answer("a"), budget_usd=budget) as (gateway, _):
        async with gateway.sdk(KEY) as client:
            await client.chat.completions.create(model="up", messages=MESSAGES, max_tokens=50)
            with pytest.raises(openai.RateLimitError, match=r"exceeded the budget of key 'app'") as no:
                await client.chat.completions.create(model="up", messages=MESSAGES, max_tokens=60)
        assert await spent(tmp_path) == WHOLE
    assert (no.value.code, no.value.type) == ("insufficient_quota", "insufficient_quota")
    assert no.value.response.headers["x-should-retry"] == "false"
    assert "retry-after" not in no.value.response.headers


@pytest.mark.parametrize("left", [0, 1], ids=["spent", "enough"])
@pytest.mark.parametrize("exact", [True, False], ids=["exact", "leased"])
@pytest.mark.parametrize("why", ["slow", "filtered"])
async def test_what_failed_on_the_way_is_within_the_budget(why: str, left: int, exact: bool, tmp_path: Path) -> None:
    """What a call that failed has cost is reserved beside the whole answer before another one is made; where that is
    too much, the caller hears how the first one ended, and the budget is kept."""
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    most = 9 * 1000 + 3 * 2000
    one, whole = answer("Ciao"), {**answer("Ciao").body, "usage": usage}
    filtered = Json({**whole, "choices": [{**whole["choices"][0], "finish_reason": "content_filter"}]})
    cost = 1000 if why == "slow" else most
    key = {"name": "app", "key": KEY, "period": "total", "budget_usd": (most + left * cost) / NANOS}
    async with ScriptedUpstream(Hang() if why == "slow" else filtered) as first, ScriptedUpstream() as other:
        other.script += [Json(whole, one.status)] * left
        tree = {
            "auth": {"keys": [key]},
            "providers": [
                {"name": "first", "kind": "openai", "base_url": first.base_url, "read_seconds": 0.2},
                {"name": "other", "kind": "openai", "base_url": other.base_url},
            ],
            "models": [
                {
                    "name": "up",
                    "provider": "first",
                    "price": PRICE,
                    "routing": {"retries": 0},
                    "fallbacks": {"timeout": ["other"], "content_filter": ["other"]},
                },
                {"name": "other", "provider": "other", "price": PRICE},
            ],
            "graphs": [],
            "store": {"url": f"sqlite:///{tmp_path}/penstock.db"},
            "limits": {"exact": exact},
        }
        async with serving(**tree) as gateway:
            status, _, body = await gateway.post("/v1/chat/completions", {**CHAT, "max_tokens": 3}, **BEARER)
    if left:
        assert (status, body["choices"][0]["finish_reason"]) == (200, "stop")
    elif why == "slow":
        assert (status, body["error"]["code"]) == (504, "upstream_timeout")
    else:
        assert (status, body["choices"][0]["finish_reason"]) == (200, "content_filter")
    taken = await spent(tmp_path)
    assert (taken.nanos, taken.slots, taken.requests) == (cost + most * left, 0, 1)


@pytest.mark.parametrize("left", [0, 330], ids=["too little", "enough"])
async def test_a_repair_turn_is_within_the_budget(left: int, tmp_path: Path) -> None:
    """A model whose JSON is checked may be asked twice, the second time with its wrong answer: both are reserved."""
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    wrong, right = (Json({**answer(text).body, "usage": usage}) for text in ("no", "{}"))
    budget = (2 * (9 * 1000 + 3 * 2000) + left * 1000) / NANOS
    async with ScriptedUpstream(*[wrong, right] * bool(left)) as upstream:
        tree = {
            "auth": {"keys": [{"name": "app", "key": KEY, "period": "total", "budget_usd": budget}]},
            "providers": [{"name": "scripted", "kind": "openai", "base_url": upstream.base_url}],
            "models": [{"name": "up", "provider": "scripted", "price": PRICE, "repair": True}],
            "graphs": [],
            "store": {"url": f"sqlite:///{tmp_path}/penstock.db"},
        }
        asked = {**CHAT, "max_tokens": 3, "response_format": {"type": "json_object"}}
        async with serving(**tree) as gateway:
            status, _, body = await gateway.post("/v1/chat/completions", asked, **BEARER)
    if left:
        assert (status, body["choices"][0]["message"]["content"]) == (200, "{}")
    else:
        assert (status, body["error"]["code"]) == (429, "insufficient_quota")
    assert (await spent(tmp_path)).nanos <= budget * NANOS


@pytest.mark.parametrize(("budget", "told"), [(1.0, 200), (1e-6, 429)])
async def test_a_budget_and_a_model_some_of_which_runs_here_for_nothing(budget: float, told: int) -> None:
    """A deployment that is free needs no price; what the other one costs is within the budget."""
    async with ScriptedUpstream(*[answer("hello")] * (told == 200)) as upstream:
        providers = [
            {"name": "scripted", "kind": "openai", "base_url": upstream.base_url},
            {"name": "mini", "kind": "embedded"},
        ]
        deployments = [{"provider": "scripted", "price": PRICE}, {"provider": "mini"}]
        auth = {"keys": [{"name": "app", "key": KEY, "budget_usd": budget}]}
        models = [{"name": "up", "deployments": deployments}]
        async with serving(providers=providers, models=models, graphs=[], auth=auth) as gateway:
            status, _, body = await gateway.post("/v1/chat/completions", CHAT, **BEARER)
    assert status == told, body


async def test_requests_at_once(tmp_path: Path) -> None:
    """While one is under way the next is refused; as soon as its last byte has come, another may be sent."""
    pause = Pause()
    slow = Stream([*Stream.words("a"), pause, *Stream.end({"prompt_tokens": 7, "completion_tokens": 3})])
    async with limited(tmp_path, slow, answer("b"), parallel=1) as (gateway, _), gateway.sdk(KEY) as client:
        stream = await client.chat.completions.create(model="up", messages=MESSAGES, stream=True)
        status, headers, body = await gateway.post("/v1/chat/completions", CHAT, **BEARER)
        pause.set()
        assert [chunk async for chunk in stream]
        again, _, _ = await gateway.post("/v1/chat/completions", CHAT, **BEARER)
    assert (status, body["error"]["type"], headers["retry-after"]) == (429, "rate_limit_error", "1")
    assert again == 200


async def test_a_team_shares_its_limits(tmp_path: Path) -> None:
    """The team's limit is over that of the key, and its models over the key's."""
    team = {"rpm": 1, "models": ["u*"]}
    async with limited(tmp_path, answer("a"), team=team, rpm=5) as (gateway, _):
        assert (await gateway.post("/v1/chat/completions", CHAT, **BEARER))[0] == 200
        status, headers, body = await gateway.post("/v1/chat/completions", CHAT, **BEARER)
        other, _, _ = await gateway.post("/v1/chat/completions", {**CHAT, "model": "relay"}, **BEARER)
        assert (await spent(tmp_path), await spent(tmp_path, "team:search")) == (WHOLE, WHOLE)
    assert (status, other) == (429, 404)
    assert "team 'search'" in body["error"]["message"]
    assert headers["x-ratelimit-limit-requests"] == "1"


async def test_a_key_calls_its_endpoints_only(tmp_path: Path) -> None:
    """Whatever path is not under one of its patterns is forbidden to it, and health is for anyone."""
    async with limited(tmp_path, endpoints=["/v1/models", "/v2/*"]) as (gateway, _):
        assert (await gateway.get("/v1/models", **BEARER))[0] == 200
        assert (await gateway.get("/v2/models/up", **BEARER))[0] == 200
        assert (await gateway.get("/v2/health/ready", **BEARER))[0] == 200
        status, _, body = await gateway.post("/v1/chat/completions", CHAT, **BEARER)
    assert (status, body["error"]["code"]) == (403, "forbidden")


async def test_others_are_told_nothing_of_limits(tmp_path: Path) -> None:
    """A key without limits is not looked at: no headers, and nothing in the store."""
    async with limited(tmp_path, answer("a"), rpm=1) as (gateway, _):
        status, headers, _ = await gateway.post("/v1/chat/completions", CHAT, Authorization="Bearer free-key-123")
        assert await spent(tmp_path, "key:free") == Amount()
    assert status == 200
    assert not [name for name in headers if name.lower().startswith("x-ratelimit")]


TENSOR = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["hi"]}
ASKED: dict[str, tuple[Any, Reply]] = {
    "/v1/chat/completions": (CHAT, answer("a")),
    "/v1/completions": ({"model": "up", "prompt": "hi"}, answer("a")),
    "/v1/messages": (CHAT, answer("a")),
    "/v1/responses": ({"model": "up", "input": "hi"}, answer("a")),
    "/v1/embeddings": ({"model": "up", "input": "hi"}, embeddings([1.0])),
    "/v2/models": ({"model": "up", "inputs": ["hi"]}, answer("a")),
    "/v2/models/": ({"model": "up", "inputs": ["hi"]}, answer("a")),
    "/v2/models/{model}": ({"inputs": ["hi"]}, answer("a")),
    "/v2/models/{model}/infer": ({"inputs": [TENSOR]}, answer("a")),
    "/v2/models/{model}/generate": ({"text_input": "hi"}, answer("a")),
    "/v2/models/{model}/generate_stream": ({"text_input": "hi"}, Stream.of_text("a")),
    "/v2/models/{model}/{operation}": ({"inputs": ["hi"]}, answer("a")),
    "/own": ({"question": "hi"}, answer("a")),
}
RUN_NOTHING = {
    "/v1/chat/completions/{id}",
    "/v1/messages/count_tokens",
    "/v1/responses/{id}/cancel",
    "/v2/repository/index",
    "/v2/repository/models/{model}/load",
    "/v2/repository/models/{model}/unload",
}
"""What is posted to and asks no model."""
OWN_ROW = {"path": "/own", "graph": "relay", "text": "question", "input": {"question": "$.question"}}


def paths_that_run() -> Iterator[str]:
    """Every path of the table of endpoints that users post to, of a model's versions those of the model itself."""
    table = create_app(Settings()).table
    for method, path in ((endpoint.method, endpoint.path) for endpoint in table.endpoints):
        if method == "POST" and "/versions/" not in path and not path.startswith("/admin/") and path not in RUN_NOTHING:
            yield path
    yield "/own"


@pytest.mark.parametrize("path", list(paths_that_run()))
async def test_no_endpoint_forgets_the_limits(path: str, tmp_path: Path) -> None:
    """Whatever asks a model counts, is settled at what the upstream says, and is refused when the limit is reached."""
    body, reply = ASKED[path]
    url = path.replace("{model}", "up").replace("{operation}", "predict")
    async with ScriptedUpstream(reply) as upstream:
        tree = {
            "auth": {"keys": [{"name": "app", "key": KEY, "rpm": 1}]},
            "providers": [{"name": "scripted", "kind": "openai", "base_url": upstream.base_url}],
            "models": [{"name": "up", "provider": "scripted", "model": "upstream-model", "price": PRICE}],
            "graphs": [{"name": "relay", "build": "tests.end_to_end.own_graphs:relay"}],
            "store": {"url": f"sqlite:///{tmp_path}/penstock.db"},
            "api": [OWN_ROW],
        }
        async with serving(**tree) as gateway:
            first = await status_of(gateway, url, body)
            taken = await spent_in_the_end(tmp_path)
            second = await status_of(gateway, url, body)
        assert (first, second) == (200, 429)
        assert taken.requests == 1
        assert 7 <= taken.tokens <= 10


async def status_of(gateway: Gateway, path: str, body: Any) -> int:
    async with gateway.http.post(gateway.address + path, json=body, headers=BEARER) as response:
        await response.read()
        return response.status


async def leave_before_anything_came(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    asking = asyncio.create_task(gateway.post("/v1/chat/completions", CHAT, **BEARER))
    while not upstream.received:
        await asyncio.sleep(0)
    asking.cancel()
    await upstream.left.wait()


async def leave_in_mid_stream(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    async with gateway.sdk(KEY) as client:
        stream = await client.chat.completions.create(model="up", messages=MESSAGES, stream=True, max_tokens=50)
        await anext(aiter(stream))
        await stream.close()
    await upstream.left.wait()


async def ask_whole(gateway: Gateway, _: ScriptedUpstream) -> None:
    await gateway.post("/v1/chat/completions", CHAT, **BEARER)


async def ask_streamed(gateway: Gateway, _: ScriptedUpstream) -> None:
    async with gateway.sdk(KEY) as client:
        with suppress(openai.APIError):
            stream = await client.chat.completions.create(model="up", messages=MESSAGES, stream=True, max_tokens=50)
            assert [chunk async for chunk in stream]


async def ask_in_background(gateway: Gateway, _: ScriptedUpstream) -> None:
    async with gateway.sdk(KEY) as client:
        made = await client.responses.create(model="up", input="hi", background=True, max_output_tokens=50)
        while made.status in ("queued", "in_progress"):
            made = await client.responses.retrieve(made.id)


BROKEN = Json({"error": {"message": "no", "type": "server_error", "param": None, "code": None}}, status=500)
WORDS = Stream.words("one ", "two ", "three ")
ENDS: list[tuple[str, Reply, Callable[[Gateway, ScriptedUpstream], Any], Callable[[int], bool]]] = [
    ("answered", answer("a"), ask_whole, lambda tokens: tokens == 10),
    ("streamed", Stream.of_text("a"), ask_streamed, lambda tokens: tokens == 8),
    ("refused by the upstream", BROKEN, ask_whole, lambda tokens: tokens == 0),
    ("left before anything came", Hang(), leave_before_anything_came, lambda tokens: tokens < 20),
    ("left in mid-stream", Stream([*WORDS, Hang()]), leave_in_mid_stream, lambda tokens: 0 < tokens < 20),
    ("broken off", Stream([*WORDS, Cut()]), ask_streamed, lambda tokens: 0 < tokens < 20),
    ("in the background", answer("a"), ask_in_background, lambda tokens: tokens == 10),
]


@pytest.mark.parametrize(("reply", "ask", "right"), [end[1:] for end in ENDS], ids=[end[0] for end in ENDS])
async def test_settled_on_every_way_out(
    reply: Reply,
    ask: Callable[[Gateway, ScriptedUpstream], Any],
    right: Callable[[int], bool],
    tmp_path: Path,
) -> None:
    """However a run ends, its place is free and what it took is what counts, never the bound."""
    async with limited(tmp_path, reply, answer("next"), parallel=1, tpm=100) as (gateway, upstream):
        await ask(gateway, upstream)
        taken = await spent_in_the_end(tmp_path)
        assert taken.requests == 1
        assert right(taken.tokens), taken
        assert (await gateway.post("/v1/chat/completions", {**CHAT, "max_tokens": 30}, **BEARER))[0] == 200


async def test_choices_are_one_request(tmp_path: Path) -> None:
    """Several runs answer it: one request, one place, and the tokens of all."""
    async with limited(tmp_path, *[answer("a")] * 3, rpm=1, parallel=1) as (gateway, _):
        status, _, body = await gateway.post("/v1/chat/completions", {**CHAT, "model": "relay", "n": 3}, **BEARER)
        assert (status, len(body["choices"])) == (200, 3)
        assert await spent_in_the_end(tmp_path) == Amount(1, 30, 3 * DEAR)


async def test_a_refusal_in_the_words_of_anthropic(tmp_path: Path) -> None:
    """Its SDK raises it as its own error."""
    async with (
        limited(tmp_path, answer("a"), rpm=1) as (gateway, _),
        anthropic.AsyncAnthropic(base_url=gateway.address, api_key=KEY, max_retries=0) as client,
    ):
        await client.messages.create(model="up", max_tokens=50, messages=MESSAGES)
        with pytest.raises(anthropic.RateLimitError, match="requests per min"):
            await client.messages.create(model="up", max_tokens=50, messages=MESSAGES)


async def test_a_stream_that_is_refused_is_a_status(tmp_path: Path) -> None:
    """Nothing has been sent yet, so the status can still say so."""
    async with limited(tmp_path, rpm=1, tpm=10) as (gateway, _), gateway.sdk(KEY) as client:
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(model="up", messages=MESSAGES, stream=True)


async def test_a_graph_is_reserved_for_several_calls(tmp_path: Path) -> None:
    """How many it will make nobody knows before, so four are reserved for."""
    async with limited(tmp_path, answer("a"), tpm=300) as (gateway, _):
        graph = {**CHAT, "model": "relay"}
        status, headers, _ = await gateway.post("/v1/chat/completions", {**graph, "max_tokens": 60}, **BEARER)
        refused, _, body = await gateway.post("/v1/chat/completions", {**graph, "max_tokens": 80}, **BEARER)
    assert (status, refused) == (200, 429)
    assert int(headers["x-ratelimit-remaining-tokens"]) < 300 - 4 * 60
    assert "Request too large" in body["error"]["message"]


async def test_without_keys_no_store_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start leaves nothing behind where nobody is counted."""
    monkeypatch.chdir(tmp_path)
    async with ScriptedUpstream(answer("a")) as upstream:
        providers = [{"name": "scripted", "kind": "openai", "base_url": upstream.base_url}]
        models = [{"name": "up", "provider": "scripted"}]
        store = {"url": "sqlite:///penstock.db"}
        async with serving(providers=providers, models=models, graphs=[], store=store) as gateway:
            assert (await gateway.post("/v1/chat/completions", CHAT))[0] == 200
    assert list(tmp_path.iterdir()) == []


async def test_a_worker_that_is_killed(tmp_path: Path) -> None:
    """Its place is free when its lease has ended, and what it had reserved counts as spent; the next worker knows."""
    async with ScriptedUpstream(Hang()) as upstream:
        config = tmp_path / "penstock.yaml"
        config.write_text(
            f"""
server: {{port: 0}}
auth: {{keys: [{{name: app, key: {KEY}, rpm: 2, parallel: 1, period: total}}]}}
providers: [{{name: scripted, kind: openai, base_url: "{upstream.base_url}"}}]
models: [{{name: up, provider: scripted, price: {{input: 1, output: 2}}}}]
graphs: []
store: {{url: "sqlite:///{tmp_path}/penstock.db"}}
limits: {{lease_seconds: 600}}
"""
        )
        async with process(config) as (address, worker), aiohttp.ClientSession() as http:
            asking = asyncio.create_task(http.post(f"{address}/v1/chat/completions", json=CHAT, headers=BEARER))
            while not upstream.received:
                await asyncio.sleep(0)
            worker.kill()
            await worker.wait()
            with pytest.raises(aiohttp.ClientError):
                await asking
        async with (
            process(config) as (address, _),
            aiohttp.ClientSession() as http,
            http.post(f"{address}/v1/chat/completions", json=CHAT, headers=BEARER) as refused,
        ):
            assert refused.status == 429
        now, later = await spent(tmp_path), await spent(tmp_path, later=601)
    assert (now.slots, later.slots) == (1, 0)
    assert now.nanos == later.nanos > 50 * 2000


@asynccontextmanager
async def process(config: Path) -> AsyncGenerator[tuple[str, asyncio.subprocess.Process], None]:
    """A gateway in a process of its own, and its address."""
    command = (sys.executable, "-m", "gateway", "serve", "--config", str(config))
    worker = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=config.parent)
    assert worker.stdout is not None
    line = (await worker.stdout.readline()).decode()
    found = re.search(r"http://[\d.:]+\d", line)
    assert found is not None, line
    try:
        yield found[0], worker
    finally:
        with suppress(ProcessLookupError):
            worker.terminate()
        await worker.communicate()
