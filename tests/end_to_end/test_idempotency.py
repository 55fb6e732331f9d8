"""Idempotency-Key over real sockets: one answer for one key, from any worker, and the rest of a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import openai
import orjson
import pytest

from llm.testing import ScriptedUpstream
from llm.testing.upstream import Cut, Json, Pause, Reply, Stream, answer, embeddings
from tests.gateway.store.servers import RedisServer
from tests.serving import Gateway, serving, serving_upstream

CHAT = "/v1/chat/completions"
QUESTION: dict[str, Any] = {"model": "up", "messages": [{"role": "user", "content": "hi"}]}
KEYS = [{"name": "app", "key": "sk-app-key", "rpm": 3}, {"name": "other", "key": "sk-other-key"}]
AS_APP = {"Authorization": "Bearer sk-app-key"}
FAILURE = Json({"error": {"message": "down"}}, status=500)


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path, free_tcp_port: int) -> Iterator[str]:
    """The URL of a store of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/shared.db"
    else:
        with RedisServer(tmp_path, port=free_tcp_port):
            yield f"redis://127.0.0.1:{free_tcp_port}"


@asynccontextmanager
async def two_workers(store: str, *replies: Reply) -> AsyncGenerator[tuple[Gateway, Gateway], None]:
    """Two gateways over one store and one upstream."""
    async with ScriptedUpstream(*replies) as upstream:
        provider = {"name": "scripted", "kind": "openai", "base_url": upstream.base_url, "api_key": "sk-gateways-own"}
        tree: dict[str, Any] = {
            "providers": [provider],
            "models": [{"name": "up", "provider": "scripted", "model": "upstream-model"}],
            "graphs": [],
            "auth": {"keys": KEYS},
            "store": {"url": store, "timeout_seconds": 10},
        }
        async with serving(**tree) as one, serving(**tree) as other:
            yield one, other


async def read(gateway: Gateway, least: int = 0, after: str = "") -> tuple[aiohttp.ClientResponse, bytes]:
    """A streamed answer, to its end or until there are so many events."""
    sent = {"Idempotency-Key": "k", **AS_APP, **({"Last-Event-ID": after} if after else {})}
    response = await gateway.http.post(gateway.address + CHAT, json={**QUESTION, "stream": True}, headers=sent)
    text = b""
    async for piece in response.content.iter_any():
        text += piece
        if least and text.count(b"\n\n") >= least:
            break
    return response, text


async def test_the_second_request_is_given_the_answer_of_the_first() -> None:
    """Byte for byte, and says so; the upstream is asked once. The official SDK sends the key as a header."""
    async with serving_upstream(answer("hello")) as (gateway, upstream):
        asked = {**QUESTION, "extra_headers": {"Idempotency-Key": "k"}}
        async with gateway.sdk() as client:
            answers = [await client.chat.completions.with_raw_response.create(**asked) for _ in range(2)]
    assert [each.parse().choices[0].message.content for each in answers] == ["hello"] * 2
    assert answers[0].content == answers[1].content
    assert [each.headers.get("idempotent-replayed") for each in answers] == [None, "true"]
    assert answers[0].headers["x-request-id"] != answers[1].headers["x-request-id"]
    assert len(upstream.received) == 1


async def test_a_stream_is_replayed_as_a_stream_to_the_official_sdk() -> None:
    """Ids of events do not disturb it."""
    async with serving_upstream(Stream.of_text("Hel", "lo")) as (gateway, _):
        asked = {**QUESTION, "stream": True, "extra_headers": {"Idempotency-Key": "k"}}
        async with gateway.sdk() as client:
            streams = [await client.chat.completions.create(**asked) for _ in range(2)]
            texts = [[chunk.choices[0].delta.content async for chunk in each if chunk.choices] for each in streams]
    assert texts[0] == texts[1]
    assert "".join(filter(None, texts[0])) == "Hello"


async def test_events_have_ids_only_under_a_key() -> None:
    """Others are sent as they always were."""
    async with serving_upstream(Stream.of_text("a"), Stream.of_text("a")) as (gateway, _):
        _, numbered = await read(gateway)
        async with gateway.http.post(gateway.address + CHAT, json={**QUESTION, "stream": True}) as plain:
            text = await plain.read()
    lines = numbered.split(b"\n\n")[:-1]
    assert [line.split(b"\n")[0] for line in lines] == [b"id: %d" % number for number in range(1, len(lines) + 1)]
    assert b"id:" not in text.replace(b'"id":', b"")


async def test_another_request_under_the_same_key_is_refused() -> None:
    """Whether its body or its path differs; in the words of the API that is asked."""
    async with serving_upstream(answer("hello")) as (gateway, _):
        await gateway.post(CHAT, QUESTION, **{"Idempotency-Key": "k"})
        other = {**QUESTION, "max_tokens": 7}
        status, _, body = await gateway.post(CHAT, other, **{"Idempotency-Key": "k"})
        path, _, v2 = await gateway.post("/v2/models/up/infer", QUESTION, **{"Idempotency-Key": "k"})
        async with gateway.sdk() as client:
            with pytest.raises(openai.UnprocessableEntityError, match="another request"):
                await client.chat.completions.create(**other, extra_headers={"Idempotency-Key": "k"})
    assert (status, body["error"]["code"]) == (422, "idempotency_key_reused")
    assert (path, type(v2["error"])) == (422, str)


async def test_keys_are_those_of_a_caller(store: str) -> None:
    """The same key of somebody else is another one."""
    async with two_workers(store, answer("for app"), answer("for other")) as (gateway, _):
        said = []
        for key in ("sk-app-key", "sk-other-key"):
            headers = {"Idempotency-Key": "k", "Authorization": f"Bearer {key}"}
            _, _, body = await gateway.post(CHAT, QUESTION, **headers)
            said.append(body["choices"][0]["message"]["content"])
    assert said == ["for app", "for other"]


async def test_all_who_ask_while_it_is_made_are_given_one_answer(store: str) -> None:
    """From both workers, while the first is under way; requests and tokens are counted once."""
    pause = Pause()
    events = Stream.of_text("Hel", "lo").pieces
    async with two_workers(store, Stream([*events[:2], pause, *events[2:]])) as (one, other):
        first = asyncio.create_task(read(one))
        response, begun = await read(other, 2)
        response.close()
        assert begun.startswith(b"id: 1\n")
        others = [asyncio.create_task(read(gateway)) for gateway in (one, other, one, other)]
        pause.set()
        texts = [(await task)[1] for task in (first, *others)]
    assert len(set(texts)) == 1
    assert texts[0].endswith(b"data: [DONE]\n\n")


async def test_nothing_is_counted_twice(store: str) -> None:
    """A replay takes no request of a minute, of which the key has three, and asks nobody."""
    async with two_workers(store, answer("hello")) as (one, other):
        for gateway in (one, other, one, other, one):
            status, _, _ = await gateway.post(CHAT, QUESTION, **AS_APP, **{"Idempotency-Key": "k"})
            assert status == 200


@pytest.mark.parametrize("worker", [0, 1])
async def test_a_client_that_comes_back_gets_the_rest(store: str, worker: int) -> None:
    """Its run went on meanwhile, and whichever worker it comes to, it misses nothing and gets nothing twice."""
    pause = Pause()
    events = Stream.of_text("a", "b", "c").pieces
    async with two_workers(store, Stream([*events[:2], pause, *events[2:]])) as workers:
        response, begun = await read(workers[0], 2)
        response.close()
        coming = asyncio.create_task(read(workers[worker], after="2"))
        pause.set()
        _, rest = await coming
        _, whole = await read(workers[worker])
    assert rest.startswith(b"id: 3\n")
    assert begun + rest == whole


async def test_a_run_that_nobody_comes_back_for_ends() -> None:
    """After ``linger_seconds`` it is cancelled, and what was begun is not kept."""
    events = Stream.of_text("a").pieces
    tree = {"idempotency": {"linger_seconds": 0}}
    async with serving_upstream(Stream([*events[:2], Pause()]), answer("anew"), **tree) as (gateway, upstream):
        response, _ = await read(gateway, 2)
        response.close()
        await asyncio.wait_for(upstream.left.wait(), 10)
        async with asyncio.timeout(10):
            while (response := (await read(gateway, after="2"))[0]).status != 410:
                pass
        anew, _, _ = await gateway.post(CHAT, QUESTION, **{"Idempotency-Key": "k"})
    assert anew == 200


def quiet(*terms: str, name: str = "quiet") -> dict[str, Any]:
    """A policy that takes words out of answers."""
    return {"name": name, "rules": [{"rule": "terms", "terms": list(terms), "action": "redact", "places": ["output"]}]}


@asynccontextmanager
async def under_policies(
    upstream: ScriptedUpstream, url: str, *policies: Any, api: Any = (), **members: Any
) -> AsyncGenerator[Gateway, None]:
    """A gateway whose models ``up`` and ``other`` are one upstream, with keys that can be changed."""
    provider = {"name": "scripted", "kind": "openai", "base_url": upstream.base_url, "api_key": "sk-gateways-own"}
    models = [{"name": name, "provider": "scripted", "model": "m"} for name in ("up", "other")]
    models = [{**model, **members.get(str(model["name"]), {})} for model in models]
    admin = {"name": "ops", "key": "sk-ops-key", "role": "admin"}
    auth = {"keys": [*KEYS, admin], "secret": "s" * 32}
    tree = {"providers": [provider], "models": models, "graphs": [], "auth": auth, "guardrails": policies, "api": api}
    async with serving(**tree, store={"url": url, "timeout_seconds": 10}) as gateway:
        yield gateway


async def test_an_answer_under_other_policies_is_not_replayed(store: str) -> None:
    """Nor is it made once more; once the key is under the first ones again, it is given."""
    as_ops = {"Authorization": "Bearer sk-ops-key"}
    async with (
        ScriptedUpstream(answer("hello"), answer("hello")) as upstream,
        under_policies(upstream, store, quiet("hello")) as gateway,
    ):
        _, _, made = await gateway.post("/admin/keys", {"name": "stored"}, **as_ops)
        stored = {"Authorization": f"Bearer {made['key']}"}

        async def asked(key: str, **headers: str) -> tuple[int, Any]:
            status, _, body = await gateway.post(CHAT, QUESTION, **stored, **headers, **{"Idempotency-Key": key})
            return status, body["choices"][0]["message"]["content"] if status == 200 else body["error"]["code"]

        async def put_under(*names: str) -> None:
            change: dict[str, Any] = {"json": {"guardrails": names}, "headers": as_ops}
            async with gateway.http.patch(f"{gateway.address}/admin/keys/stored", **change) as changed:
                assert changed.status == 200

        told = [await asked("k"), await asked("k")]
        await put_under("quiet")
        told += [await asked("k"), await asked("k", **{"Last-Event-ID": "1"}), await asked("another")]
        await put_under()
        told += [await asked("k"), await asked("another")]
    whole, changed = (200, "hello"), (409, "policies_changed")
    assert told == [whole, whole, changed, changed, (200, "[TERMS]"), whole, changed]


@pytest.mark.parametrize(
    ("path", "policies", "members", "status"),
    [
        (CHAT, [quiet("hi")], {}, 200),
        (CHAT, [quiet("hi")], {"other": {"guardrails": ["quiet"]}}, 200),
        (CHAT, [quiet("hi")], {"up": {"guardrails": ["quiet"]}}, 409),
        (CHAT, [{**quiet("hi"), "everywhere": True}], {}, 409),
        ("/v2/models/up/generate", [quiet("hi")], {"up": {"guardrails": ["quiet"]}}, 409),
        ("/v1/messages", [quiet("hi")], {"up": {"guardrails": ["quiet"]}}, 409),
    ],
)
async def test_policies_that_change_in_the_settings_count_where_they_hold(
    path: str, policies: list[Any], members: Any, status: int, tmp_path: Path
) -> None:
    """Those of another model do not; and what one says counts, not just its name."""
    url = f"sqlite:///{tmp_path}/shared.db"
    body = {**QUESTION, "max_tokens": 5, "text_input": "hi"}
    statuses = []
    async with AsyncExitStack() as life:
        upstream = await life.enter_async_context(ScriptedUpstream(answer("x")))
        for given in ((), policies):
            serves = under_policies(upstream, url, *given, **(members if given else {}))
            gateway = await life.enter_async_context(serves)
            statuses.append((await gateway.post(path, body, **AS_APP, **{"Idempotency-Key": "k"}))[0])
    assert statuses == [200, status]


@pytest.mark.parametrize("members", [{}, {"version": ""}])
async def test_policies_count_where_the_model_is_not_told_in_json_alone(
    members: dict[str, Any], tmp_path: Path
) -> None:
    """A body with raw bytes behind its JSON, or with a version in it, is not replayed past what its model is under."""
    url, word = f"sqlite:///{tmp_path}/shared.db", b"hi"
    raw = len(word).to_bytes(4, "little") + word
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
    head = orjson.dumps({"model": "up", **members, "inputs": [tensor]})
    headers = {**AS_APP, "Idempotency-Key": "k", "Inference-Header-Content-Length": str(len(head))}
    statuses = []
    async with AsyncExitStack() as life:
        upstream = await life.enter_async_context(ScriptedUpstream(answer("x")))
        for policies, under in (((), {}), ([quiet("x")], {"up": {"guardrails": ["quiet"]}})):
            gateway = await life.enter_async_context(under_policies(upstream, url, *policies, **under))
            statuses.append((await gateway.post("/v2/models", head + raw, **headers))[0])
    assert statuses == [200, 409]


async def test_policies_of_a_row_are_those_of_its_target_whatever_its_path_calls_model(tmp_path: Path) -> None:
    """A placeholder ``{model}`` is a value like any other, and names nothing that is served."""
    url, rows = f"sqlite:///{tmp_path}/shared.db", [{"path": "/cars/{model}", "model": "up", "text": "A {model}?"}]
    statuses = []
    async with AsyncExitStack() as life:
        upstream = await life.enter_async_context(ScriptedUpstream(answer("x")))
        for policies, under in (((), {}), ([quiet("x")], {"up": {"guardrails": ["quiet"]}})):
            serves = under_policies(upstream, url, *policies, api=rows, **under)
            gateway = await life.enter_async_context(serves)
            statuses.append((await gateway.post("/cars/beetle", {}, **AS_APP, **{"Idempotency-Key": "k"}))[0])
    assert statuses == [200, 409]


async def test_a_policy_that_says_something_else_is_another(tmp_path: Path) -> None:
    """Also where it says so in a file of terms."""
    listed, url = tmp_path / "terms.txt", f"sqlite:///{tmp_path}/shared.db"
    rule = {"rule": "terms", "file": str(listed), "action": "redact", "places": ["output"]}
    policy = {"name": "quiet", "rules": [rule], "everywhere": True}
    statuses = []
    async with AsyncExitStack() as life:
        upstream = await life.enter_async_context(ScriptedUpstream(answer("x")))
        for terms in ("one", "one", "one\ntwo"):
            listed.write_text(terms)
            gateway = await life.enter_async_context(under_policies(upstream, url, policy))
            statuses.append((await gateway.post(CHAT, QUESTION, **AS_APP, **{"Idempotency-Key": "k"}))[0])
    assert statuses == [200, 200, 409]


async def test_what_failed_is_not_kept() -> None:
    """Neither of the upstream nor of the request: the next try with the same key is a new one."""
    async with serving_upstream(FAILURE, answer("hello")) as (gateway, _):
        wrong = await gateway.post(CHAT, {"model": "up"}, **{"Idempotency-Key": "k"})
        failed = await gateway.post(CHAT, QUESTION, **{"Idempotency-Key": "k"})
        status, headers, _ = await gateway.post(CHAT, QUESTION, **{"Idempotency-Key": "k"})
    assert (wrong[0], failed[0] >= 500, status) == (400, True, 200)
    assert "idempotent-replayed" not in headers


async def test_a_stream_that_breaks_is_not_kept() -> None:
    """Its client is told by an event, and the next request makes the answer anew."""
    events = Stream.of_text("a").pieces
    async with serving_upstream(Stream([*events[:2], Cut()]), Stream.of_text("b")) as (gateway, _):
        _, broken = await read(gateway)
        _, whole = await read(gateway)
    assert b'"error"' in broken
    assert whole.endswith(b"data: [DONE]\n\n")


async def test_an_answer_that_is_too_long_is_sent_and_not_kept() -> None:
    """Its own client gets all of it, however much that is; who asks once more is told, and nothing is paid twice."""
    words = ["x" * 1000] * 50
    tree = {"idempotency": {"max_mb": 0.005}}
    async with serving_upstream(Stream.of_text(*words), **tree) as (gateway, _):
        _, text = await read(gateway)
        status, _, body = await gateway.post(CHAT, {**QUESTION, "stream": True}, **{"Idempotency-Key": "k"})
    assert text.count(b"x" * 1000) == 50
    assert text.endswith(b"data: [DONE]\n\n")
    assert (status, body["error"]["code"]) == (410, "answer_gone")


@pytest.mark.parametrize("headers", [{"Idempotency-Key": "k" * 256}, {"Idempotency-Key": "k", "Last-Event-ID": "x"}])
async def test_headers_that_are_none_are_refused(headers: dict[str, str]) -> None:
    """Before anything runs."""
    async with serving_upstream() as (gateway, _):
        status, _, body = await gateway.post(CHAT, QUESTION, **headers)
    assert (status, body["error"]["type"]) == (400, "invalid_request_error")


async def test_every_endpoint_that_runs_something_heeds_it() -> None:
    """Embeddings, completions, responses, messages, V2 and rows of one's own."""
    messages = {**QUESTION, "max_tokens": 5}
    own = {"api": [{"path": "/ask", "method": "POST", "model": "up", "input": {"messages": "$.messages"}}]}
    requests: list[tuple[str, dict[str, Any]]] = [
        ("/v1/completions", {"model": "up", "prompt": "hi"}),
        ("/v1/responses", {"model": "up", "input": "hi"}),
        ("/v1/messages", messages),
        ("/v2/models/up/infer", {"inputs": ["hi"]}),
        ("/v2/models/up/generate", {"text_input": "hi"}),
        ("/ask", {"messages": QUESTION["messages"]}),
        ("/v1/embeddings", {"model": "up", "input": "hi"}),
    ]
    replies = [answer("x") for _ in requests[:-1]]
    async with serving_upstream(*replies, embeddings([0.5]), **own) as (gateway, _):
        for path, body in requests:
            answers = [await gateway.post(path, body, **{"Idempotency-Key": path}) for _ in range(2)]
            assert [each[0] for each in answers] == [200, 200], answers
            assert orjson.dumps(answers[0][2]) == orjson.dumps(answers[1][2]), path
            assert answers[1][1]["idempotent-replayed"] == "true", path


async def test_without_its_store_nothing_runs_under_a_key(free_tcp_port: int) -> None:
    """A key that cannot be held is refused; a request without one is answered."""
    store = {"url": f"redis://127.0.0.1:{free_tcp_port}"}
    async with serving_upstream(answer("hello"), auth={"keys": KEYS}, store=store) as (gateway, _):
        status, _, body = await gateway.post(CHAT, QUESTION, **AS_APP, **{"Idempotency-Key": "k"})
        plain, _, _ = await gateway.post(CHAT, QUESTION, **AS_APP)
    assert (status, body["error"]["code"], plain) == (503, "store_unavailable", 200)


async def test_an_answer_that_is_no_stream_is_told_from_its_beginning(store: str) -> None:
    """Its parts have no numbers, so a client that says where it was is given all of it, by both workers."""
    async with two_workers(store, answer("hello")) as workers:
        for worker, after in (
            (workers[0], {}),
            (workers[0], {"Last-Event-ID": "1"}),
            (workers[1], {"Last-Event-ID": "7"}),
        ):
            status, _, body = await worker.post(CHAT, QUESTION, **AS_APP, **{"Idempotency-Key": "k"}, **after)
            assert (status, body["choices"][0]["message"]["content"]) == (200, "hello")
