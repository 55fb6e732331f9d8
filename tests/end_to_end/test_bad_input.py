"""Whatever is sent: the right 4xx in the words of the API, nothing reaches an upstream, and the gateway goes on."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from yarl import URL

from llm.testing import ScriptedUpstream
from llm.testing.upstream import answer
from tests.end_to_end.bad_input.bodies import bodies
from tests.end_to_end.bad_input.chats import chats
from tests.end_to_end.bad_input.kept import kept
from tests.end_to_end.bad_input.kind import CHAT, MAX_BODY, Bad
from tests.end_to_end.bad_input.others import apis, requests
from tests.end_to_end.bad_input.own import ROWS, own
from tests.end_to_end.bad_input.wire import WIRES
from tests.serving import Gateway, serving

KEY = {"Authorization": "Bearer key-of-the-admin"}
INSIDE = re.compile(
    r"Traceback|File \"|\.py\b|site-packages|orjson|msgspec|pydantic|starlette|uvicorn|httptools|0x[0-9a-f]{6}"
)
"""What would tell how the gateway is made."""


@asynccontextmanager
async def everything() -> AsyncGenerator[tuple[Gateway, ScriptedUpstream], None]:
    """A gateway with a model of each kind, and the upstream that must hear of one question only, at the end."""
    async with ScriptedUpstream(answer("still here")) as upstream:
        address = {"base_url": upstream.base_url, "api_key": "sk-gateways-own"}
        providers = [
            {"name": "openai", "kind": "openai", **address},
            {"name": "responses", "kind": "openai", "api": "responses", **address},
            {"name": "anthropic", "kind": "anthropic", **address},
            {"name": "mini", "kind": "embedded"},
        ]
        models = [
            {"name": "up", "provider": "openai"},
            {"name": "respond", "provider": "responses"},
            {"name": "claude", "provider": "anthropic"},
            {"name": "demo", "provider": "mini"},
            {"name": "echo", "class": "tests.end_to_end.own_models:Echoes"},
        ]
        server = {"port": 0, "drain_seconds": 1, "max_body_mb": MAX_BODY / 2**20}
        keys = {"keys": [{"name": "ops", "key": "key-of-the-admin", "role": "admin"}]}
        async with serving(
            providers=providers, models=models, graphs=[], server=server, auth=keys, api=ROWS
        ) as gateway:
            yield gateway, upstream
            chat = {"model": "up", "messages": [{"role": "user", "content": "hi"}]}
            assert (await gateway.post(CHAT, chat, **KEY))[0] == 200
        assert [received.body["messages"] for received in upstream.received] == [chat["messages"]]


async def faults(gateway: Gateway, bad: Bad) -> list[str]:
    """What is wrong with the answer to a request that is wrong."""
    headers = {key: value for key, value in {**KEY, **bad.headers}.items() if value}
    url = URL(gateway.address + bad.path, encoded=bad.path.isascii())
    async with gateway.http.request(bad.method, url, data=bad.data, headers=headers) as response:
        status, kind, text = response.status, response.headers["content-type"], await response.text()
        allowed, request_id = response.headers.get("allow"), response.headers.get("x-request-id", "")
    wrong = [] if status == bad.status else [f"the status is {status}"]
    if kind != "application/json" or not request_id.startswith("req_") or (status == 405) != (allowed is not None):
        wrong.append(f"the headers: {kind}, {request_id}, {allowed}")
    wrong += body_faults(bad.path, json.loads(text), bad.param, bad.code)
    if INSIDE.search(text) or "key-of" in text or "sk-" in text:
        wrong.append("it tells too much")
    if bad.says not in message_of(json.loads(text)):
        wrong.append(f"it does not say {bad.says}")
    return [f"{bad.kind}, {bad.method} {bad.path}: {'; '.join(wrong)}: {text[:300]}"] if wrong else []


def message_of(told: Any) -> str:
    """The words of an error, in whichever API."""
    error = told.get("error", "")
    return str(error["message"] if isinstance(error, dict) else error)


def body_faults(path: str, told: Any, param: str | None, code: str | None) -> list[str]:
    """What is wrong with the body of an error, in the language of the API that has the path."""
    error = told.get("error")
    if path.startswith("/v2"):
        good = told.keys() == {"error"} and isinstance(error, str) and error != ""
    elif path.startswith("/v1/messages"):
        good = told.keys() == {"type", "error", "request_id"} and error.keys() == {"type", "message"}
    else:
        good = told.keys() == {"error"} and error.keys() == {"message", "type", "param", "code"}
        good = good and isinstance(error["message"], str) and isinstance(error["type"], str)
        if good and (error["param"], error["code"]) != (param, code):
            return [f"param and code are {error['param']!r}, {error['code']!r}"]
    return [] if good else ["the body has another form"]


async def all_faults(kinds: Iterable[Bad]) -> list[str]:
    """What is wrong with the answers to all of these; after each the gateway is asked whether it is there."""
    wrong = []
    async with everything() as (gateway, _):
        for bad in kinds:
            wrong += await faults(gateway, bad)
            assert (await gateway.get("/v2/health/live"))[0] == 200
    return wrong


@pytest.mark.timeout(180)
async def test_what_is_no_body() -> None:
    """Broken JSON and UTF-8, numbers that are none, names that are there twice, depth, size, encodings: everywhere."""
    assert await all_faults(bodies()) == []


@pytest.mark.timeout(180)
async def test_what_is_no_chat() -> None:
    """Each member of a chat, and what only some providers can do, by its place and code."""
    assert await all_faults(chats()) == []


@pytest.mark.timeout(180)
async def test_what_is_no_request_of_the_other_apis() -> None:
    """Messages, responses, completions, embeddings, tensors and their framing."""
    assert await all_faults(apis()) == []


@pytest.mark.timeout(180)
async def test_what_is_no_request_for_what_is_kept() -> None:
    """Chats and responses that are stored: ids, pages, marks, and what a response is made of."""
    assert await all_faults(kept()) == []


@pytest.mark.timeout(180)
async def test_what_is_no_request_of_ones_own() -> None:
    """Rows of the settings: values that are missing, there twice, or of no chat."""
    assert await all_faults(own()) == []


@pytest.mark.timeout(180)
async def test_paths_methods_queries_and_keys() -> None:
    """What is not listed, not allowed, or not for this caller."""
    assert await all_faults(requests()) == []


def test_there_are_many_kinds() -> None:
    """Each is told apart by its name, whatever the endpoints that it is sent to."""
    kinds = {bad.kind for table in (bodies, chats, apis, kept, own, requests) for bad in table()}
    assert len(kinds) + len(WIRES) > 250


@pytest.mark.timeout(180)
async def test_what_is_no_http() -> None:
    """The server itself refuses it, in the words of the API as far as the path is known, and closes the connection."""
    wrong = []
    async with everything() as (gateway, _):
        for kind, (sent, status, says) in WIRES.items():
            got, body = await on_the_wire(gateway, sent)
            told = json.loads(body)
            if got != status or says not in message_of(told) or body_faults("/v1", told, None, told["error"]["code"]):
                wrong.append(f"{kind}: {got}: {body[:200]!r}")
            assert (await gateway.get("/v2/health/live"))[0] == 200
        assert json.loads((await on_the_wire(gateway, b"GET /v2/models HTTP/1.1\r\n\r\n"))[1])["error"].startswith(
            "A r"
        )
        anthropic = json.loads((await on_the_wire(gateway, b"POST /v1/messages HTTP/1.1\r\n\r\n"))[1])
    assert wrong == []
    assert (anthropic["type"], anthropic["error"]["type"]) == ("error", "invalid_request_error")


async def on_the_wire(gateway: Gateway, sent: bytes) -> tuple[int, bytes]:
    """Status and body of the first answer to these bytes."""
    host, port = gateway.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    body = await reader.readexactly(int(length[1])) if length else b""
    writer.close()
    return int(head.split(b" ", 2)[1]), body


async def test_heads_have_no_bodies() -> None:
    """HEAD is answered as any other method that is not there: by its status and the methods that are, without words."""
    async with everything() as (gateway, _):
        for path in ("/v1/models", CHAT, "/v2/health/live"):
            async with gateway.http.head(gateway.address + path, headers=KEY) as response:
                assert (response.status, await response.read()) == (405, b"")
                assert "HEAD" not in response.headers["allow"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/octet-stream", "x", ""]
)
async def test_the_type_of_a_body_does_not_matter(kind: str) -> None:
    """JSON is read whatever it is called, plain or compressed: some clients do not say, and others say it wrongly."""
    async with everything() as (gateway, _):
        body = json.dumps({"model": "up", "messages": [{"role": "user", "content": 5}]}).encode()
        for encoding, sent in (("identity", body), ("gzip", gzip.compress(body))):
            headers = {**KEY, "Content-Type": kind, "Content-Encoding": encoding}
            status, _, told = await gateway.post(CHAT, sent, **headers)
            assert (status, told["error"]["param"]) == (400, "messages[0].content")
