"""The log: whoever must act finds what failed, and no key stands in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm.testing import Json, Stream
from llm.testing.upstream import Reply, frame
from tests.serving import serving_upstream

SHORT, LONG, QUOTED, UPSTREAM = "app-key-123", "app-key-123-and-more", 'ops"key-123', "sk-gateways-own"
SENT = f"{SHORT} {LONG} {QUOTED} {UPSTREAM}"
SECRETS = (SHORT, "and-more", QUOTED, 'ops\\"key-123', UPSTREAM)
"""What may stand nowhere: also what is left of a key when another, which is its beginning, is taken out."""
KEYS = {
    "keys": [
        {"name": "short", "key": SHORT},
        {"name": "long", "key": LONG},
        {"name": "ops", "key": QUOTED, "role": "admin"},
    ]
}
LEAKING = [{"name": "leaking", "build": "tests.end_to_end.own_graphs:leaking"}]


def lines(printed: str) -> list[dict[str, Any]]:
    """The lines of a log, each an object."""
    return [json.loads(line) for line in printed.splitlines()]


async def test_a_failed_request_is_found_by_its_id(capfd: pytest.CaptureFixture[str]) -> None:
    """One line: which request, which path, what the client was told, and why; of what is the caller's fault, none."""
    async with serving_upstream(Json({}, 500), graphs=LEAKING) as (gateway, _):
        body = {"model": "up", "messages": [{"role": "user", "content": "hi"}]}
        names = {"X-Client-Request-Id": "mine-1", "X-Request-Id": "req_chosen"}
        _, headers, _ = await gateway.post("/v1/chat/completions", body, **names)
        await gateway.post("/v1/chat/completions", {**body, "model": "nope"})
        await gateway.get("/v1/nope")
    (line,) = lines(capfd.readouterr().err)
    assert (line["event"], line["level"], line["request_id"]) == ("request failed", "error", headers["x-request-id"])
    assert line["client_request_id"] == "mine-1"
    assert headers["x-request-id"] != "req_chosen"
    assert (line["path"], line["status"], line["code"]) == ("/v1/chat/completions", 503, "upstream_unavailable")
    assert "status 500" in line["cause"]


async def test_no_key_is_ever_logged(capfd: pytest.CaptureFixture[str]) -> None:
    """Not where callers and upstreams repeat keys, in errors of steps, with their tracebacks, and in paths."""
    echoed = f"Incorrect API key provided: {UPSTREAM}, {SHORT}"
    replies: list[Reply] = [
        Json({"error": {"message": echoed}}, 401),
        Json({"error": {"message": echoed}}, 500),
        Json(echoed.encode()),
        Stream([*Stream.words("Hi"), frame({"error": {"message": echoed}})]),
    ]
    async with serving_upstream(*replies, auth=KEYS, graphs=LEAKING) as (gateway, _):
        for key in (SHORT, LONG, QUOTED, "wrong-key"):
            said = {"messages": [{"role": "user", "content": SENT}]}
            await gateway.post("/v1/chat/completions", {"model": "leaking", **said}, Authorization=f"Bearer {key}")
        await gateway.post(f"/v2/models/leaking/infer?key={LONG}", {"inputs": [LONG]}, Authorization=f"Bearer {LONG}")
        for stream in (False, False, False, True):
            url, body = f"{gateway.address}/v1/chat/completions", {"model": "up", "stream": stream, **said}
            async with gateway.http.post(url, json=body, headers={"Authorization": f"Bearer {SHORT}"}) as response:
                await response.read()
        await gateway.get(f"/v1/models/{SHORT}", Authorization=f"Bearer {LONG}")
    captured = capfd.readouterr()
    logged = lines(captured.err)
    assert len(logged) == 8
    assert sum("RuntimeError: this was sent" in line.get("exception", "") for line in logged) == 4
    assert [secret for secret in SECRETS if secret in captured.out + captured.err] == []
