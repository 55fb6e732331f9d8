"""Settings that change while the gateway serves: at once and whole, or not at all; and nobody's answer is harmed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.config import load
from llm.testing import Pause, ScriptedUpstream, Stream
from llm.testing.upstream import answer, choice, frame
from tests.gateway.serving.test_workers import gateway as workers
from tests.serving import Gateway, running, serving_upstream

HI: Any = [{"role": "user", "content": "hi"}]
CHAT = "/v1/chat/completions"
ADMIN = {"Authorization": "Bearer ops-key-123"}


def written(path: Path, upstream: str, *models: str, more: str = "") -> Path:
    """A settings file with these models over an upstream, and whatever stands besides."""
    rows = "".join(f"  - {{name: {name}, provider: scripted, model: upstream-model}}\n" for name in models)
    path.write_text(
        "server: {port: 0, drain_seconds: 20}\n"
        f'providers: [{{name: scripted, kind: openai, base_url: "{upstream}"}}]\n'
        f"models:\n{rows}graphs: []\n{more}",
        encoding="utf-8",
    )
    return path


@asynccontextmanager
async def reloadable(
    folder: Path, *replies: Any, more: str = ""
) -> AsyncGenerator[tuple[Gateway, Path, ScriptedUpstream], None]:
    """A gateway that serves ``one`` by a file."""
    async with ScriptedUpstream(*replies) as upstream:
        path = written(folder / "penstock.yaml", upstream.base_url, "one", more=more)
        async with running(load(path)) as gateway:
            yield gateway, path, upstream


async def until(true: Callable[[Mapping[str, Any]], bool], gateway: Gateway) -> Mapping[str, Any]:
    """What the gateway tells of its settings, once that is so."""
    async with asyncio.timeout(30):
        while not true(told := (await gateway.get("/admin/reload"))[2]):
            pass
    state: Mapping[str, Any] = told
    return state


async def names(gateway: Gateway, **headers: str) -> list[str]:
    """The models that it lists."""
    _, _, body = await gateway.get("/v1/models", **headers)
    return [row["id"] for row in body["data"]]


async def test_a_file_that_is_written_anew_comes_into_force(tmp_path: Path) -> None:
    """Without anybody asking."""
    async with reloadable(tmp_path, answer("Hello")) as (gateway, path, upstream):
        written(path, upstream.base_url, "two")
        told = await until(lambda state: state["changes"] == 1, gateway)
        assert (told["refused"], told["takes_restart"]) == (None, [])
        assert await names(gateway) == ["two"]
        status, _, _ = await gateway.post(CHAT, {"model": "two", "messages": HI})
        assert status == 200


@pytest.mark.parametrize("faulty", ["models: [", "modles: []\n", "graphs: [{name: x, build: 'no.such:module'}]\n"])
async def test_what_cannot_be_used_changes_nothing(
    faulty: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whether it is no YAML, says what nobody knows, or cannot be built; the reason is told, logged and counted, until
    the file is mended."""
    async with reloadable(tmp_path, answer("Hello"), more="# well\n") as (gateway, path, upstream):
        path.write_text(faulty)
        told = await until(lambda state: bool(state["refused"]), gateway)
        assert "penstock.yaml" in told["refused"] or "graph 'x'" in told["refused"]
        assert (await gateway.post(CHAT, {"model": "one", "messages": HI}))[0] == 200
        async with gateway.http.get(f"{gateway.address}/metrics") as metrics:
            assert "penstock_settings_refused 1.0" in await metrics.text()
        status, _, body = await gateway.post("/admin/reload", b"")
        assert (status, body["error"]["code"]) == (500, "settings_refused")
        written(path, upstream.base_url, "two")
        assert (await until(lambda state: state["changes"] == 1, gateway))["refused"] is None
    assert '"event":"settings_refused"' in capfd.readouterr().err


async def test_who_is_being_answered_hears_it_all(tmp_path: Path) -> None:
    """A stream of a model that is there no more goes on to its end, over the connection that it began with."""
    pause = Pause()
    pieces = [*Stream.words("first"), pause, frame(choice({"content": "second"})), *Stream.end({})]
    async with reloadable(tmp_path, Stream(pieces)) as (gateway, path, _):
        body = {"model": "one", "messages": HI, "stream": True}
        async with gateway.http.post(gateway.address + CHAT, json=body) as stream:
            await stream.content.readuntil(b"first")
            written(path, "http://127.0.0.1:9/v1", "two")
            assert (await gateway.post("/admin/reload", b""))[0] == 200
            assert await names(gateway) == ["two"]
            pause.set()
            rest = await stream.read()
    assert b"second" in rest
    assert rest.endswith(b"data: [DONE]\n\n")


async def test_what_has_not_changed_is_kept(tmp_path: Path) -> None:
    """Connections to upstreams stay open, and what was recorded is there; the new catalog owns and closes them."""
    async with reloadable(tmp_path, answer("a"), answer("b")) as (gateway, path, upstream):
        await gateway.post(CHAT, {"model": "one", "messages": HI})
        before = gateway.server._app.catalog
        written(path, upstream.base_url, "one", "two")
        assert (await gateway.post("/admin/reload", b""))[2]["changes"] == 1
        now = gateway.server._app.catalog
        assert now is not before
        assert now.providers["scripted"] is before.providers["scripted"]
        assert (await gateway.post(CHAT, {"model": "two", "messages": HI}))[0] == 200
        assert len(await gateway.runs(2)) == 2
        await gateway.get("/admin/reload")
        written(path, "http://127.0.0.1:9/v1", "one")
        await gateway.post("/admin/reload", b"")
        assert gateway.server._app.catalog.providers["scripted"] is not now.providers["scripted"]


async def test_keys_and_rules_change_too(tmp_path: Path) -> None:
    """A key that is taken out is nobody's from then on, and a rule holds for the next request."""
    keys = "auth: {keys: [{name: app, key: %s}, {name: ops, key: ops-key-123, role: admin}]}\n"
    async with reloadable(tmp_path, more=keys % "app-key-123") as (gateway, path, upstream):
        mine = {"Authorization": "Bearer app-key-123"}
        assert (await gateway.get("/v1/models", **mine))[0] == 200
        rule = "api: [{path: /v1/models, method: GET, action: FORBID}]\n"
        written(path, upstream.base_url, "one", more=keys % "new-key-456" + rule)
        assert (await gateway.post("/admin/reload", b"", **mine))[0] == 403
        assert (await gateway.post("/admin/reload", b"", **ADMIN))[0] == 200
        assert (await gateway.get("/v1/models/one", **mine))[0] == 401
        assert (await gateway.get("/v1/models/one", Authorization="Bearer new-key-456"))[0] == 200
        assert (await gateway.get("/v1/models", **ADMIN))[0] == 403


async def test_a_store_that_is_named_anew_is_there(tmp_path: Path, free_tcp_port: int) -> None:
    """Settings with the wrong address are mended while the gateway serves: nothing says any more that it is gone."""
    keys = "auth: {keys: [{name: ops, key: ops-key-123, role: admin, rpm: 1000}]}\nstore: {url: '%s'}\n"
    wrong, right = f"redis://127.0.0.1:{free_tcp_port}", f"sqlite:///{tmp_path}/penstock.db"
    async with reloadable(tmp_path, answer("Hello"), more=keys % wrong) as (gateway, path, upstream):
        assert (await gateway.get("/v2/health/ready"))[2] == {"ready": True, "store": "unreachable"}
        written(path, upstream.base_url, "one", more=keys % right)
        assert (await gateway.post("/admin/reload", b"", **ADMIN))[0] == 200
        assert (await gateway.post(CHAT, {"model": "one", "messages": HI}, **ADMIN))[0] == 200
        async with asyncio.timeout(30):
            while (await gateway.get("/v2/health/ready"))[2] != {"ready": True}:
                pass
        async with gateway.http.get(f"{gateway.address}/metrics", headers=ADMIN) as metrics:
            assert 'penstock_breaker_open{breaker="store"} 0.0' in await metrics.text()


async def test_settings_made_in_python_stay_what_they_are() -> None:
    """There is nothing to read again: what they close does not open because somebody asks for a reload."""
    auth = {"keys": [{"name": "ops", "key": "ops-key-123", "role": "admin"}]}
    async with serving_upstream(auth=auth) as (gateway, _):
        assert (await gateway.post("/admin/reload", {}, **ADMIN))[0] == 200
        assert await names(gateway, **ADMIN) == ["up"]
        assert (await gateway.get("/v1/models"))[0] == 401


async def test_what_only_a_restart_changes_is_said(tmp_path: Path) -> None:
    """All else of the same file comes into force."""
    async with reloadable(tmp_path) as (gateway, path, upstream):
        written(path, upstream.base_url, "two")
        path.write_text(path.read_text().replace("drain_seconds: 20", "drain_seconds: 30, workers: 2"))
        _, _, told = await gateway.post("/admin/reload", b"")
        assert told["takes_restart"] == ["server.workers", "server.drain_seconds"]
        assert await names(gateway) == ["two"]


@pytest.mark.parametrize("asked", ["file", "signal", "admin"])
async def test_all_workers_follow(asked: str, tmp_path: Path) -> None:
    """Whoever asks, and whichever worker that reaches; and a worker that is started later has the same."""
    async with ScriptedUpstream() as upstream, workers(tmp_path, upstream.base_url) as it:
        await it.listen()
        one, _ = await it.workers()
        path = tmp_path / "penstock.yaml"
        text = path.read_text()
        if asked != "file":
            text = text.replace("server: {", "server: {reload_on_change: false, ")
            path.write_text(text)
        path.write_text(text.replace("name: up", "name: other"))
        if asked == "signal":
            it.process.send_signal(signal.SIGHUP)
        elif asked == "admin":
            async with aiohttp.ClientSession() as http, http.post(f"{it.address}/admin/reload") as answered:
                assert answered.status == 200
        await settled(it.address, "other")
        os.kill(one, signal.SIGKILL)
        async with asyncio.timeout(30):
            while "started again" not in await it.says():
                pass
        await it.workers()
        await settled(it.address, "other")


async def settled(address: str, model: str) -> None:
    """Waits until whichever worker is asked lists this model and no other: eight connections in a row find it so."""
    found = 0
    async with asyncio.timeout(60):
        while found < 8:
            try:
                async with aiohttp.ClientSession() as http, http.get(f"{address}/v1/models") as answered:
                    listed = [row["id"] for row in (await answered.json())["data"]]
            except aiohttp.ClientError:
                continue
            found = found + 1 if listed == [model] else 0
