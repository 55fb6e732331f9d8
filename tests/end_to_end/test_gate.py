"""The gate: who may call what, and in which form a refusal comes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from yarl import URL

from llm.testing import ScriptedUpstream
from llm.testing.upstream import answer
from tests.serving import Gateway, serving, serving_upstream

KEYS = {
    "keys": [
        {"name": "app", "key": "app-key-123", "models": ["up", "x*"]},
        {"name": "narrow", "key": "narrow-key-123", "models": ["other"]},
        {"name": "ops", "key": "ops-key-123", "role": "admin"},
    ]
}
APP = {"Authorization": "Bearer app-key-123"}
NARROW = {"Authorization": "Bearer narrow-key-123"}
OPS = {"Authorization": "Bearer ops-key-123"}
CHAT: Any = {"model": "up", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("GET", "/v1/models", {}, 401, None),
        ("GET", "/v1/models", {"Authorization": "Bearer wrong-key-1"}, 401, "invalid_api_key"),
        ("GET", "/v1/models", {"Authorization": "Basic app-key-123"}, 401, None),
        ("GET", "/v1/models", APP, 200, None),
        ("GET", "/admin/runs", {}, 401, None),
        ("GET", "/admin/runs", APP, 403, "forbidden"),
        ("GET", "/admin/runs", OPS, 200, None),
        ("GET", "/admin/graphs", APP, 403, "forbidden"),
        ("GET", "/admin/graphs/up", APP, 403, "forbidden"),
        ("GET", "/admin/runs/x", APP, 403, "forbidden"),
        ("GET", "/v1/nope", APP, 404, None),
        ("GET", "/", APP, 404, None),
        ("GET", "/docs", APP, 404, None),
        ("DELETE", "/v1/models", APP, 405, "method_not_supported"),
        ("PUT", "/v1/chat/completions", APP, 405, "method_not_supported"),
        ("OPTIONS", "/v1/models", {}, 405, "method_not_supported"),
        ("GET", "/admin/graphs/up", OPS, 403, "forbidden"),
        ("GET", "/v1/models/nope", APP, 404, "model_not_found"),
    ],
)
async def test_who_may_call_what(
    method: str, path: str, headers: dict[str, str], status: int, code: str | None
) -> None:
    """401 without a key, 403 with too small a role or by a rule, 404 unlisted, 405 another method: in OpenAI's body."""
    rules = [{"path": "/admin/graphs/up", "action": "FORBID"}]
    async with (
        serving_upstream(auth=KEYS, api=rules) as (gateway, _),
        gateway.http.request(method, gateway.address + path, headers=headers) as response,
    ):
        body = await response.json()
    assert response.status == status
    assert response.headers["x-request-id"].startswith("req_")
    assert response.headers["x-content-type-options"] == "nosniff"
    if status >= 400:
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert body["error"]["code"] == code
        assert "key-123" not in str(body)
    if status == 405:
        assert response.headers["allow"] == {"/v1/models": "GET", "/v1/chat/completions": "GET, POST"}[path]


@pytest.mark.parametrize(
    "path",
    [
        *("/admin/../admin/runs", "//admin/runs", "/admin//runs", "/admin/./runs", "/%61dmin/runs", "/admin%2Fruns"),
        *("/Admin/runs", "/admin/runs/", "/admin/runs;a", "/v1/models/..%2F..%2Fadmin%2Fruns", "/v1/../admin/runs"),
        *("/v1/models/%2E%2E/%2E%2E/admin/runs", "/admin/runs%00", "/v1/models/x%2F..%2F..%2F..%2Fadmin%2Fgraphs"),
    ],
)
async def test_no_spelling_of_an_admin_path_gets_past_the_gate(path: str) -> None:
    """What is not written exactly as it is listed is another path, with a user's key and with none."""
    async with serving_upstream(auth=KEYS) as (gateway, _):
        for headers in ("", "authorization: Bearer app-key-123\r\n"):
            status, body = await raw(gateway, f"GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}")
            assert status in (401, 403, 404)
            assert b'"runs"' not in body
            assert b'"graphs"' not in body


@pytest.mark.parametrize(
    "header", ["x-original-url", "x-rewrite-url", "x-forwarded-prefix", "x-http-method-override", "x-forwarded-host"]
)
async def test_no_header_shifts_the_path(header: str) -> None:
    """Headers with which proxies rewrite paths change nothing here."""
    async with serving_upstream(auth=KEYS) as (gateway, _):
        status, _, body = await gateway.get("/v1/models", **APP, **{header: "/admin/runs"})
    assert status == 200
    assert body["object"] == "list"


async def raw(gateway: Gateway, head: str, body: bytes = b"") -> tuple[int, bytes]:
    """Status and body of a request written by hand."""
    host, port = gateway.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"{head}connection: close\r\n\r\n".encode() + body)
    answered = await reader.read()
    writer.close()
    return int(answered.split(b" ", 2)[1]), answered.partition(b"\r\n\r\n")[2]


async def test_a_key_sees_and_uses_only_its_models() -> None:
    """A model that a key does not cover does not exist for it."""
    async with serving_upstream(answer("Hello"), auth=KEYS) as (gateway, _):
        _, _, seen = await gateway.get("/v1/models", **APP)
        _, _, none = await gateway.get("/v1/models", **NARROW)
        status, _, refused = await gateway.post("/v1/chat/completions", CHAT, **NARROW)
        good, _, _ = await gateway.post("/v1/chat/completions", CHAT, **APP)
        v2, _, body = await gateway.post(
            "/v2/models/up/infer", {"inputs": ["x"]}, Authorization="Bearer narrow-key-123"
        )
    assert [model["id"] for model in seen["data"]] == ["up"]
    assert none["data"] == []
    assert (status, refused["error"]["code"], good) == (404, "model_not_found", 200)
    assert refused["error"]["message"] == "The model `up` does not exist or you do not have access to it."
    assert (v2, body) == (404, {"error": refused["error"]["message"]})


NEAR = [{"name": name, "provider": "far"} for name in ("fast-one", "fast-two")]
FAR = {"name": "far", "kind": "openai", "base_url": "http://127.0.0.1:1/v1"}
MISTYPED = [
    ("/v1/chat/completions", CHAT),
    ("/v1/completions", {"prompt": "x"}),
    ("/v1/embeddings", {"input": "x"}),
    ("/v1/responses", {"input": "x"}),
    ("/v1/messages", {"max_tokens": 5, "messages": CHAT["messages"]}),
    ("/v1/messages/count_tokens", {"messages": CHAT["messages"]}),
    ("/v2/models", {"inputs": ["x"]}),
]


@pytest.mark.parametrize(("path", "body"), MISTYPED, ids=[path for path, _ in MISTYPED])
async def test_a_mistyped_model_is_told_with_the_nearest_that_its_caller_may_use(path: str, body: Any) -> None:
    """In every API; of what others may use it learns nothing, be it nearer or asked for by its very name."""
    keys = [{"name": "two", "key": "two-key-123", "models": ["fast-two"]}, {"name": "all", "key": "all-key-123"}]
    async with serving(models=NEAR, providers=[FAR], graphs=[], auth={"keys": keys}) as gateway:

        async def told(model: str, key: str) -> tuple[str, Any]:
            headers = {"Authorization": f"Bearer {key}-key-123"}
            status, _, answered = await gateway.post(path, {**body, "model": model}, **headers)
            error = answered["error"]
            assert status == 404
            return (error, None) if isinstance(error, str) else (error["message"], error.get("code"))

        words = "The model `{}` does not exist or you do not have access to it.{}"
        message, code = await told("fast-oen", "all")
        assert message == words.format("fast-oen", " Did you mean `fast-one`?")
        assert code == (None if path.startswith(("/v1/messages", "/v2")) else "model_not_found")
        for mistyped in ("fast-oen", "fast-one"):
            assert (await told(mistyped, "two"))[0] == words.format(mistyped, " Did you mean `fast-two`?")
        assert (await told("nothing-like-it", "all"))[0] == words.format("nothing-like-it", "")


async def test_a_rule_may_open_an_endpoint_to_anyone() -> None:
    """That one, for callers without a key and with a wrong one; a known key goes on seeing only its own models."""
    async with serving_upstream(auth=KEYS, api=[{"path": "/v1/models", "role": "anyone"}]) as (gateway, _):
        for headers in ({}, {"Authorization": "Bearer wrong-key-1"}, APP):
            status, _, seen = await gateway.get("/v1/models", **headers)
            assert (status, [model["id"] for model in seen["data"]]) == (200, ["up"])
        _, _, none = await gateway.get("/v1/models", **NARROW)
        others = [(await gateway.get(path))[0] for path in ("/v1/models/up", "/v2/models", "/admin/runs")]
        chat, _, _ = await gateway.post("/v1/chat/completions", CHAT)
    assert none["data"] == []
    assert [*others, chat] == [401, 401, 401, 401]


@pytest.mark.parametrize(("name", "spelled"), [("a/b", "a%2Fb"), ("ü:1", "%C3%BC%3A1"), ("100%25", "100%2525")])
async def test_a_value_in_a_path_reaches_its_endpoint_decoded(name: str, spelled: str) -> None:
    """Once, for the endpoints of the control plane and for hot ones; what is named reads like the model's name."""
    async with ScriptedUpstream(answer("Hello")) as upstream:
        provider = {"name": "scripted", "kind": "openai", "base_url": upstream.base_url}
        models = [{"name": name, "provider": "scripted"}]
        async with serving(providers=[provider], models=models, graphs=[]) as gateway:
            paths = (f"/v1/models/{spelled}", f"/v2/models/{spelled}", f"/v2/models/{spelled}/ready")
            shown = [await get_as_written(gateway, path) for path in (*paths, f"/admin/graphs/{spelled}")]
            url = URL(f"{gateway.address}/v2/models/{spelled}/infer", encoded=True)
            async with gateway.http.post(url, json={"inputs": ["hi"]}) as response:
                inferred = await response.json()
    assert [body.get("id") or body.get("name") for body in shown] == [name] * 4
    assert (inferred["model_name"], inferred["outputs"]) == (name, ["Hello"])
    assert upstream.received[0].body["model"] == name


async def get_as_written(gateway: Gateway, path: str) -> Any:
    """The body for a path that no client rewrites."""
    async with gateway.http.get(URL(gateway.address + path, encoded=True)) as response:
        return await response.json()


async def test_health_needs_no_key() -> None:
    """Probes of an orchestrator have none."""
    async with serving_upstream(auth=KEYS) as (gateway, _):
        assert (await gateway.get("/v2/health/live"))[2] == {"live": True}
        assert (await gateway.get("/v2/health/ready"))[2] == {"ready": True}
        assert (await gateway.get("/v2"))[2]["name"] == "penstock"


async def test_errors_on_v2_are_strings() -> None:
    """Clients of the Open Inference Protocol read ``error`` as text, on every status."""
    async with serving_upstream(auth=KEYS) as (gateway, _):
        for path, headers in (("/v2/models", {}), ("/v2/models/nope", OPS), ("/v2/nope", OPS)):
            _, _, body = await gateway.get(path, **headers)
            assert set(body) == {"error"}
            assert isinstance(body["error"], str)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:8080"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:8080"}, 403),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Origin": "http://[::1]"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
async def test_without_keys_web_pages_do_not_get_through(headers: dict[str, str], status: int) -> None:
    """An open gateway answers this machine's programs, not pages in its browser that point at it."""
    async with serving_upstream() as (gateway, _):
        assert (await gateway.get("/admin/runs", **headers))[0] == status


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 400, "could not parse the JSON body"),
        (b"{", 400, "could not parse"),
        (b'{"model": NaN}', 400, "could not parse"),
        (b'{"model": "\xff"}', 400, "could not parse"),
        (b'"\\ud800"', 400, "could not parse"),
        (b"[" * 5000 + b"]" * 5000, 400, "could not parse"),
        (b"\xef\xbb\xbf{}", 400, "could not parse"),
        (b"[]", 400, "JSON object"),
        (b"{}", 400, "you must provide a model parameter"),
        (b'{"model": "up"}', 400, "'messages'"),
        (b'{"model": "nope", "messages": [{"role": "user", "content": "x"}]}', 404, "does not exist"),
        (b'{"model": "up", "x": "' + b"y" * 600_000 + b'"}', 413, "longer than 524288 bytes"),
        (b'{"model": "up", "seed": ' + b"9" * 5000 + b', "messages": []}', 400, ""),
    ],
)
async def test_bad_input_is_never_a_500(body: bytes, status: int, message: str) -> None:
    """Whatever the body is, the answer is the right 4xx in OpenAI's form."""
    async with serving_upstream(server={"port": 0, "max_body_mb": 0.5, "drain_seconds": 1}) as (gateway, _):
        answered, _, parsed = await gateway.post("/v1/chat/completions", body)
    assert (answered, message in parsed["error"]["message"]) == (status, True)
    assert parsed["error"]["type"] == "invalid_request_error"


async def test_a_body_that_never_ends_is_given_up() -> None:
    """The client is told with 408, and nothing was asked of any model."""
    server = {"port": 0, "body_seconds": 0.05, "drain_seconds": 1}
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n"
    async with serving_upstream(server=server) as (gateway, upstream):
        status, body = await raw(gateway, head, b'{"model": "up"')
    assert (status, json.loads(body)["error"]["code"]) == (408, "body_timeout")
    assert upstream.received == []


async def test_a_body_of_too_many_values_is_refused() -> None:
    """Within the limit on its length, it would take a hundred times that in memory."""
    many = b'{"model": "up", "x": [' + b",".join([b"[]"] * 200_000) + b"]}"
    async with serving_upstream() as (gateway, _):
        status, _, body = await gateway.post("/v1/chat/completions", many)
        v2, _, told = await gateway.post("/v2/models/up/infer", many)
    assert (status, v2) == (400, 400)
    assert body["error"]["message"] == told["error"]
    assert "more than 200000 arrays and objects" in told["error"]


async def test_a_client_that_leaves_in_the_middle_of_its_request_is_no_error() -> None:
    """Nobody is there to be told, and the next request is served."""
    async with serving_upstream() as (gateway, _):
        host, port = gateway.address.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()
        assert (await gateway.get("/v2/health/live"))[0] == 200
