"""/metrics over real sockets: what requests, runs and models leave there, and who may read it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from llm.testing import Cut, Json, ScriptedUpstream, Stream
from llm.testing.upstream import answer
from tests.gateway.serving.test_workers import gateway as workers
from tests.serving import Gateway, serving, serving_upstream

HI: Any = [{"role": "user", "content": "hi"}]
CHAT = "/v1/chat/completions"
ROW = {"method": "POST", "endpoint": CHAT}


class Samples:
    """What the gateway tells, as Prometheus' own parser understands it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._all = [each for family in text_string_to_metric_families(text) for each in family.samples]

    def of(self, name: str, **labels: str) -> list[tuple[dict[str, str], float]]:
        """The samples of a name that have these labels."""
        return [
            (each.labels, each.value)
            for each in self._all
            if each.name == f"penstock_{name}" and labels.items() <= each.labels.items()
        ]

    def sum(self, name: str, **labels: str) -> float:
        """Their sum."""
        return sum(value for _, value in self.of(name, **labels))


async def scraped(gateway: Gateway, **headers: str) -> Samples:
    async with gateway.http.get(f"{gateway.address}/metrics", headers=headers) as answered:
        assert answered.status == 200
        return Samples(await answered.text())


async def test_a_request_is_counted_with_its_parts() -> None:
    """Once, by its row and status; and its parts add up to the whole, to the nanosecond."""
    async with serving_upstream(answer("Hello"), Stream.of_text("a", "b", "c")) as (gateway, _):
        await gateway.post(CHAT, {"model": "up", "messages": HI})
        async with gateway.sdk() as sdk:
            async for _ in await sdk.chat.completions.create(model="up", messages=HI, stream=True):
                pass
        samples = await scraped(gateway)
    assert samples.of("requests_total", **ROW) == [({**ROW, "status": "200"}, 2)]
    parts = {labels["part"]: value for labels, value in samples.of("request_part_seconds_total", **ROW)}
    assert {"gate", "read", "parse", "graph", "upstream", "write"} <= {part for part, value in parts.items() if value}
    whole = samples.sum("request_seconds_sum", **ROW)
    assert sum(round(value * 10**9) for value in parts.values()) == round(whole * 10**9)
    own = sum(parts[part] for part in ("gate", "endpoint", "parse", "limits", "graph"))
    assert samples.sum("overhead_seconds_sum", **ROW) == pytest.approx(own, rel=1e-9)
    assert samples.sum("requests_in_flight") == 1


async def test_a_run_leaves_tokens_money_and_speed() -> None:
    """By the model's name in the settings; unstreamed answers have no first token."""
    async with serving_upstream(Stream.of_text("a", "b", "c"), answer("Hello")) as (gateway, upstream):
        async with gateway.sdk() as sdk:
            async for _ in await sdk.chat.completions.create(model="up", messages=HI, stream=True):
                pass
            await sdk.chat.completions.create(model="up", messages=HI)
        samples = await scraped(gateway)
        assert len(upstream.received) == 2
    assert samples.of("runs_total") == [({"model": "up", "outcome": "answered"}, 2)]
    assert samples.sum("tokens_total", model="up", kind="prompt", source="real") == 14
    assert samples.sum("tokens_total", model="up", kind="completion", source="real") == 6
    assert samples.sum("unpriced_calls_total", model="up") == 2
    assert samples.sum("time_to_first_token_seconds_count", model="up") == 1
    assert samples.sum("time_between_chunks_seconds_count", model="up") >= 1
    assert samples.sum("time_per_output_token_seconds_count", model="up") == 1


async def test_money_is_counted_where_it_is_known() -> None:
    """By the price in the settings, of the model that was called."""
    async with ScriptedUpstream(answer("Hello")) as upstream:
        provider = {"name": "scripted", "kind": "openai", "base_url": upstream.base_url}
        model = {"name": "priced", "provider": "scripted", "price": {"input": 1, "output": 2}}
        async with serving(providers=[provider], models=[model], graphs=[]) as gateway:
            await gateway.post(CHAT, {"model": "priced", "messages": HI})
            samples = await scraped(gateway)
    assert samples.of("cost_usd_total") == [({"model": "priced"}, 13e-6)]
    assert samples.sum("unpriced_calls_total") == 0


async def test_errors_are_counted_by_class() -> None:
    """Those before an answer, those in the middle of one, and those of callers."""
    broken = Stream([*Stream.words("Hi"), Cut()])
    async with serving_upstream(Json({}, 500), broken) as (gateway, _):
        await gateway.post(CHAT, {"model": "up", "messages": HI})
        async with gateway.sdk() as sdk:
            with pytest.raises(openai.APIError):
                async for _ in await sdk.chat.completions.create(model="up", messages=HI, stream=True):
                    pass
        await gateway.post(CHAT, {"model": "nope", "messages": HI})
        await gateway.get("/no/such/path")
        samples = await scraped(gateway)
    errors = {labels["error"]: value for labels, value in samples.of("errors_total", **ROW)}
    assert errors == {"UpstreamUnavailable": 1, "UpstreamBrokeOff": 1, "UnknownModel": 1}
    assert samples.sum("errors_total", endpoint="none", error="NoSuchEndpoint") == 1
    assert samples.sum("step_errors_total", model="up", step="responder") == 2
    assert samples.sum("runs_total", outcome="failed") == 2


async def test_a_caller_makes_no_series() -> None:
    """Names of models, paths and methods that nobody serves stand nowhere."""
    async with serving_upstream() as (gateway, _):
        before = await scraped(gateway)
        for number in range(3):
            await gateway.post(CHAT, {"model": f"stranger{number}", "messages": HI})
            await gateway.get(f"/v1/models/stranger{number}")
            await gateway.get(f"/stranger{number}")
        after = await scraped(gateway)
        for number in range(3, 6):
            await gateway.post(CHAT, {"model": f"stranger{number}", "messages": HI})
            await gateway.get(f"/v1/models/stranger{number}")
            await gateway.get(f"/stranger{number}")
        last = await scraped(gateway)
    assert "stranger" not in before.text + after.text + last.text
    names = [set(re.findall(r"^(\w+(?:\{.*?\})?) ", each.text, re.MULTILINE)) for each in (after, last)]
    assert names[0] == names[1]


async def test_metrics_take_the_role_that_the_table_says() -> None:
    """By default admin; a rule may let others read them, and others may be kept out."""
    keys = {
        "keys": [{"name": "app", "key": "app-key-123"}, {"name": "ops", "key": "ops-key-123", "role": "admin"}],
    }
    async with serving_upstream(auth=keys) as (gateway, _):
        for key, status in (("", 401), ("app-key-123", 403), ("ops-key-123", 200)):
            url, headers = f"{gateway.address}/metrics", {"Authorization": f"Bearer {key}"} if key else {}
            async with gateway.http.get(url, headers=headers) as answered:
                assert answered.status == status
    rule = {"path": "/metrics", "method": "GET", "action": "ALLOW", "role": "user"}
    async with serving_upstream(auth=keys, api=[rule]) as (gateway, _):
        assert "penstock_workers 1.0" in (await scraped(gateway, Authorization="Bearer app-key-123")).text


async def test_workers_that_were_killed_have_counted(tmp_path: Path) -> None:
    """Whichever worker is asked, after the death of one or the other, tells of every request that was answered."""
    async with (
        ScriptedUpstream(*[answer("Hello")] * 12) as upstream,
        workers(tmp_path, upstream.base_url) as it,
    ):
        await it.listen()
        for _ in range(12):
            async with aiohttp.ClientSession() as http:
                body = {"model": "up", "messages": HI}
                async with http.post(it.address + CHAT, json=body) as answered:
                    assert answered.status == 200
        async with asyncio.timeout(60):  # a client has its answer a moment before that is counted
            while (samples := await of_two(it.address)) is None or samples.sum("request_seconds_count", **ROW) < 12:
                pass
        for pid in await it.workers():
            os.kill(pid, signal.SIGKILL)
            assert "is started again" in await it.says()
            await it.workers()
            async with asyncio.timeout(60):
                while (samples := await of_two(it.address)) is None:
                    pass
            assert samples.sum("runs_total", model="up", outcome="answered") == 12
            assert samples.sum("request_seconds_count", **ROW) == 12


async def of_two(address: str) -> Samples | None:
    """What is told once there are two workers again; None before."""
    try:
        async with aiohttp.ClientSession() as http, http.get(f"{address}/metrics") as answered:
            samples = Samples(await answered.text())
    except aiohttp.ClientError:
        return None
    return samples if samples.sum("workers") == 2 else None
