"""Recordings of the gateway: off by default, and replayed byte for byte."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.catalog.catalog import Catalog
from gateway.cli.main import app
from gateway.config import Settings
from gateway.telemetry.recordings import replay
from graph import Flow, ReplayDiffers
from llm.testing import Cut, Hang, Json, Stream
from llm.testing.upstream import answer
from tests.serving import Gateway, serving_upstream

MESSAGES: Any = [{"role": "user", "content": "hi, my key is sk-gateways-own"}]
RELAY = [{"name": "relay", "build": "tests.end_to_end.own_graphs:relay"}]


def settings(folder: Path, **tree: Any) -> dict[str, Any]:
    """The same graphs as were recorded, over an upstream that is not there."""
    provider = {"name": "scripted", "kind": "openai", "base_url": "http://127.0.0.1:1/v1"}
    model = {"name": "up", "provider": "scripted", "model": "upstream-model"}
    return {"providers": [provider], "models": [model], "graphs": RELAY, **tree}


async def ask(gateway: Gateway, **parameters: Any) -> bytes:
    body = {"model": "relay", "messages": MESSAGES, **parameters}
    async with gateway.http.post(f"{gateway.address}/v1/chat/completions", json=body) as response:
        return await response.read()


def only(folder: Path) -> Path:
    (path,) = folder.glob("*.json")
    return path


@pytest.mark.parametrize("stream", [True, False])
async def test_a_recorded_run_is_replayed_byte_for_byte(tmp_path: Path, stream: bool) -> None:
    """The wire is the same, ids and times too, with the upstream gone; the recording holds no key."""
    reply = Stream.of_text("Hel", "lo") if stream else answer("Hello")
    options = {"stream_options": {"include_usage": True}} if stream else {}
    async with serving_upstream(reply, graphs=RELAY, record={"path": tmp_path}) as (gateway, _):
        sent = await ask(gateway, stream=stream, temperature=0, **options)
    again = await replay(only(tmp_path), Catalog.of(Settings.model_validate(settings(tmp_path))))
    assert again == sent
    text = only(tmp_path).read_text()
    assert "sk-gateways-own" not in text
    assert "hi, my key is [secret]" in text


async def test_nothing_is_recorded_unless_it_is_asked_for(tmp_path: Path) -> None:
    """Recordings are off by default."""
    async with serving_upstream(answer("Hello"), graphs=RELAY) as (gateway, _):
        await ask(gateway)
    assert list(tmp_path.iterdir()) == []
    assert Settings().record.path is None


async def test_contents_may_be_left_out(tmp_path: Path) -> None:
    """Then the file says what happened, and nothing of what was said; it cannot be replayed."""
    record = {"path": tmp_path / "new" / "folder", "contents": False}
    async with serving_upstream(answer("Hello"), graphs=RELAY, record=record) as (gateway, _):
        await ask(gateway)
    path = only(tmp_path / "new" / "folder")
    text = path.read_text()
    assert "Hello" not in text
    assert "hi, my" not in text
    assert json.loads(text)["steps"].keys() == {"speaker#1"}
    with pytest.raises(Exception, match="recorded without contents"):
        await replay(path, Catalog.of(Settings.model_validate(settings(tmp_path))))


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Json({"error": {}}, 429), "UpstreamRateLimited"),
        (Stream([*Stream.words("Hel"), Cut()]), "UpstreamBrokeOff"),
    ],
)
async def test_a_run_that_failed_fails_again(tmp_path: Path, reply: Any, error: str) -> None:
    """Before the first chunk and after it: the same error, and the same bytes before it."""
    async with serving_upstream(reply, graphs=RELAY, record={"path": tmp_path}) as (gateway, _):
        sent = await ask(gateway, stream=True)
    assert json.loads(only(tmp_path).read_text())["error"] == error
    again = await replay(only(tmp_path), Catalog.of(Settings.model_validate(settings(tmp_path))))
    assert again == (b"" if error == "UpstreamRateLimited" else sent)


async def test_a_run_that_its_client_left_is_recorded_as_far_as_it_came(tmp_path: Path) -> None:
    """The file is written all the same."""
    pieces = [*Stream.words("Hel"), Hang()]
    async with serving_upstream(Stream(pieces), graphs=RELAY, record={"path": tmp_path}) as (gateway, upstream):
        body = {"model": "relay", "messages": MESSAGES, "stream": True}
        async with gateway.http.post(f"{gateway.address}/v1/chat/completions", json=body) as response:
            await response.content.readany()
        await asyncio.wait_for(upstream.left.wait(), 5)
        await gateway.get("/v2/health/live")
    assert json.loads(only(tmp_path).read_text())["error"] == "CancelledError"


async def test_a_changed_graph_is_told_from_the_recorded_one(tmp_path: Path) -> None:
    """The first difference is named."""
    async with serving_upstream(answer("Hello"), graphs=RELAY, record={"path": tmp_path}) as (gateway, _):
        await ask(gateway)
    changed = [{"name": "relay", "build": "tests.end_to_end.own_graphs:spelling"}]
    catalog = Catalog.of(Settings.model_validate(settings(tmp_path, graphs=changed)))
    with pytest.raises(ReplayDiffers, match="visit 1 of step 'spell' is not in the recording"):
        await replay(only(tmp_path), catalog)


async def test_a_run_that_ends_otherwise_says_why(tmp_path: Path) -> None:
    """With the words of the error."""
    async with serving_upstream(answer("Hello"), graphs=RELAY, record={"path": tmp_path}) as (gateway, _):
        await ask(gateway)
    changed = [{"name": "relay", "build": f"{__name__}:broken"}]
    catalog = Catalog.of(Settings.model_validate(settings(tmp_path, graphs=changed)))
    with pytest.raises(ReplayDiffers, match=r"ended with None, this one ends with ValueError \(no such day\)"):
        await replay(only(tmp_path), catalog)


def broken() -> Flow:
    """A graph that always fails."""

    def fail(body: Any) -> Any:
        raise ValueError("no such day")

    flow = Flow("relay")
    flow.to(fail, name="speaker").respond()
    return flow


def test_the_command(tmp_path: Path) -> None:
    """penstock replay prints the wire, or says what differs; files that are no recordings are told."""

    async def record() -> bytes:
        async with serving_upstream(answer("Hello"), graphs=RELAY, record={"path": tmp_path}) as (gateway, _):
            return await ask(gateway)

    sent = asyncio.run(record())
    path, config = only(tmp_path), tmp_path / "penstock.yaml"
    config.write_text(json.dumps(settings(tmp_path)))
    same = CliRunner().invoke(app, ["replay", str(path), "--config", str(config)])
    assert (same.exit_code, same.stdout.encode()) == (0, sent)
    path.write_text(path.read_text().replace("Hello", "Hullo", 1))
    differs = CliRunner().invoke(app, ["replay", str(path), "--config", str(config)])
    assert differs.exit_code == 1
    assert "penstock: " in differs.stderr
    for content, message in (("{}", "no recording of format 2"), ("nope", "JSON"), (None, "No such file")):
        other = tmp_path / "other"
        other.unlink(missing_ok=True)
        if content is not None:
            other.write_text(content)
        refused = CliRunner().invoke(app, ["replay", str(other), "--config", str(config)])
        assert (refused.exit_code, message in refused.stderr) == (2, True)
