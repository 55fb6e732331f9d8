"""The usage ledger over HTTP and on the command line: who used what, and how it is exported."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from gateway.cli.main import app
from llm.testing import Cut, ScriptedUpstream, Stream
from llm.testing.upstream import Reply, answer
from tests.serving import Gateway, serving

CHAT: Any = {"model": "up", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 50}
KEYS = {
    "teams": [{"name": "search", "tpm": 1000}],
    "keys": [
        {"name": "app", "key": "app-key-123", "team": "search", "rpm": 3},
        {"name": "ops", "key": "ops-key-123", "role": "admin"},
    ],
}
APP = {"Authorization": "Bearer app-key-123"}
OPS = {"Authorization": "Bearer ops-key-123"}


@asynccontextmanager
async def counted(folder: Path, *replies: Reply) -> AsyncGenerator[Gateway, None]:
    """A gateway over a scripted upstream, with two keys."""
    async with ScriptedUpstream(*replies) as upstream:
        tree = {
            "auth": KEYS,
            "providers": [{"name": "scripted", "kind": "openai", "base_url": upstream.base_url}],
            "models": [{"name": "up", "provider": "scripted", "model": "gpt-x", "price": {"input": 1, "output": 2}}],
            "graphs": [{"name": "relay", "build": "tests.end_to_end.own_graphs:relay"}],
            "store": {"url": f"sqlite:///{folder}/penstock.db"},
        }
        async with serving(**tree) as gateway:
            yield gateway


async def usage(gateway: Gateway, least: int, query: str = "") -> list[Any]:
    """The rows of the answer, once so many requests are in them."""
    while True:
        _, _, body = await gateway.get(f"/admin/usage{query}", **OPS)
        if sum(row["requests"] for row in body["usage"]) >= least:
            rows: list[Any] = body["usage"]
            return rows


async def use(gateway: Gateway) -> None:
    """An answer, one of a graph with choices, one that is cut off, and one that is refused."""
    await gateway.post("/v1/chat/completions", CHAT, **APP)
    await gateway.post("/v1/chat/completions", {**CHAT, "model": "relay", "n": 2}, **APP)
    async with gateway.http.post(
        f"{gateway.address}/v1/chat/completions", json={**CHAT, "stream": True}, headers=APP
    ) as cut:
        await cut.read()
    assert (await gateway.post("/v1/chat/completions", CHAT, **APP))[0] == 429
    assert (await gateway.post("/v1/chat/completions", CHAT, **OPS))[0] == 200


REPLIES = (
    answer("a"),
    answer("a"),
    answer("b"),
    Stream([*Stream.words("one ", "two ", "three "), Cut()]),
    answer("c"),
)


async def test_usage_by_key_team_model_and_day(tmp_path: Path) -> None:
    """What was answered, what failed, and which tokens were counted by us."""
    async with counted(tmp_path, *REPLIES) as gateway:
        await use(gateway)
        app, ops = await usage(gateway, 5)
        today = datetime.now(UTC).date().isoformat()
        by_model = await usage(gateway, 5, f"?by=model&by=day&since={today}&until={today}")
        (team,) = await usage(gateway, 4, "?by=team&team=search&by=team")
        outcomes = await usage(gateway, 4, "?by=outcome&key=app")
        status, _, refused = await gateway.get("/admin/usage?by=secret", **OPS)
        forbidden, _, _ = await gateway.get("/admin/usage", **APP)
        last, _, _ = await gateway.get("/admin/usage?until=9999-12-31", **OPS)
        odd = [(await gateway.get(f"/admin/usage?until={day}", **OPS))[0] for day in ("0", "2026-02-30", "20260101")]
    assert (app["key"], app["requests"], app["failed"], ops["requests"]) == ("app", 4, 2, 1)
    assert app["total_tokens"] - app["estimated_tokens"] == 30
    assert 0 < app["estimated_tokens"] < 30
    assert (ops["prompt_tokens"], ops["completion_tokens"], ops["usd"]) == (7, 3, 13e-6)
    assert [(row["model"], row["day"]) for row in by_model] == [("relay", today), ("up", today)]
    assert (team["team"], team["requests"]) == ("search", 4)
    assert {row["outcome"]: row["requests"] for row in outcomes} == {"answered": 2, "failed": 1, "refused": 1}
    assert (status, forbidden, last) == (400, 403, 200)
    assert odd == [400, 400, 400]
    assert refused["error"]["message"].startswith("Invalid request: by: Input should be 'key',")
    assert "'outcome' or 'day'" in refused["error"]["message"]


async def exported(folder: Path, *options: str) -> bytes:
    config = folder / "penstock.yaml"
    config.write_text(f"{{graphs: [], store: {{url: 'sqlite:///{folder}/penstock.db'}}}}")
    arguments = ["usage", "export", "--config", str(config), *options]
    made = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert made.exit_code == 0, made.output
    return made.stdout_bytes


async def test_it_is_exported(tmp_path: Path) -> None:
    """All rows of a gateway that has stopped, in three formats that say the same."""
    async with counted(tmp_path, *REPLIES) as gateway:
        await use(gateway)
    lines = [json.loads(line) for line in (await exported(tmp_path, "--format", "jsonl")).splitlines()]
    cells = list(csv.DictReader(io.StringIO((await exported(tmp_path)).decode())))
    await exported(tmp_path, "--format", "parquet", "-o", str(tmp_path / "usage.parquet"))
    table = parquet.read_table(tmp_path / "usage.parquet").to_pylist()
    assert [line["run"] for line in lines] == [cell["run"] for cell in cells] == [row["run"] for row in table]
    assert sorted(line["requests"] for line in lines[1:3]) == [0, 1]
    assert [(line["model"], line["outcome"]) for line in lines] == [
        ("up", "answered"),
        ("relay", "answered"),
        ("relay", "answered"),
        ("up", "failed"),
        ("up", "refused"),
        ("up", "answered"),
    ]
    first = lines[0]
    assert (first["key"], first["team"], first["deployment"]) == ("app", "search", "scripted/gpt-x")
    assert (first["usd"], float(cells[0]["usd"]), table[0]["usd"]) == (13e-6, 13e-6, 13e-6)
    assert first["steps"] == json.loads(cells[0]["steps"]) == json.loads(table[0]["steps"])
    assert first["steps"][0] == {
        "step": "responder",
        "model": "up",
        "calls": 1,
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "source": "real",
        "usd": 13e-6,
    }
    assert table[0]["at"].tzinfo is not None
    assert (lines[3]["error"], lines[4]["error"]) == ("UpstreamBrokeOff", "RequestsReached")


async def test_its_sums_are_read_at_80_columns(tmp_path: Path) -> None:
    """Each figure is whole under its name; programs are given all of them."""
    async with counted(tmp_path, answer("a")) as gateway:
        await gateway.post("/v1/chat/completions", CHAT, **APP)
    config = tmp_path / "penstock.yaml"
    config.write_text(f"{{graphs: [], store: {{url: 'sqlite:///{tmp_path}/penstock.db'}}}}")
    arguments = ["usage", "show", "--config", str(config), "--by", "key", "--by", "model"]
    shown, told = [
        await asyncio.to_thread(CliRunner().invoke, app, [*arguments, *option], env={"COLUMNS": "80"})
        for option in ([], ["--json"])
    ]
    assert shown.exit_code == 0, shown.output
    assert max(map(len, shown.stdout.splitlines())) == 80
    assert all(word in shown.stdout for word in ("requests", "failed", "prompt", "completion", "usd", "unpriced"))
    assert re.search(r"│ app │ up +│ +1 │ +0 │ +7 │ +3 │ 0\.000013 │", shown.stdout)
    (sums,) = json.loads(told.stdout)
    assert (sums["key"], sums["model"], sums["usd"], sums["estimated_tokens"]) == ("app", "up", 13e-6, 0)


def test_a_ledger_that_is_not_there(tmp_path: Path) -> None:
    """The command says so, and makes none."""
    config = tmp_path / "penstock.yaml"
    config.write_text(f"{{graphs: [], store: {{url: 'sqlite:///{tmp_path}/penstock.db'}}}}")
    made = CliRunner().invoke(app, ["usage", "show", "--config", str(config)])
    assert made.exit_code == 2
    assert "cannot be read" in made.output
    assert not (tmp_path / "penstock.db").exists()


@pytest.mark.parametrize("name", ["=1+1", "@sum", "-2"])
async def test_no_name_is_a_formula(name: str, tmp_path: Path) -> None:
    """What a spreadsheet would calculate is a text in the CSV."""
    async with ScriptedUpstream(answer("a")) as upstream:
        tree = {
            "auth": {"keys": [{"name": name, "key": "app-key-123"}]},
            "providers": [{"name": "scripted", "kind": "openai", "base_url": upstream.base_url}],
            "models": [{"name": "up", "provider": "scripted"}],
            "graphs": [],
            "store": {"url": f"sqlite:///{tmp_path}/penstock.db"},
        }
        async with serving(**tree) as gateway:
            await gateway.post("/v1/chat/completions", CHAT, **APP)
    (row,) = csv.DictReader(io.StringIO((await exported(tmp_path)).decode()))
    assert row["key"] == f"'{name}"
    assert row["usd"] == ""
