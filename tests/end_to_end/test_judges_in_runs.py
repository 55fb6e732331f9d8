"""Judges as a part of the run that they judge: what they cost, and how those that only record end."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from llm.testing import ScriptedUpstream
from llm.testing.upstream import Hang, Pause, Stream, answer, embeddings
from tests.end_to_end.own_graphs import DOZED, DOZES
from tests.serving import serving, serving_upstream

CHAT: dict[str, Any] = {"model": "up", "messages": [{"role": "user", "content": "Who knows?"}]}
REFUSED = {"allowed": False, "reason": "It is about birds."}


def policy(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"name": "judged", "everywhere": True, "rules": rules}


@pytest.mark.parametrize("graph", ["thrifty", "priced"])
@pytest.mark.parametrize(("fail", "flags"), [("open", []), ("closed", ["judge"])])
async def test_a_cap_that_such_a_judge_passes_ends_no_answer(graph: str, fail: str, flags: list[str]) -> None:
    """Its call passes one on tokens, and one on money forbids it, as it has no price; the answer is whole by then."""
    judged = [answer("It is not JSON.")] if graph == "thrifty" else []
    async with ScriptedUpstream(answer("Nobody.")) as up, ScriptedUpstream(*judged) as judge:
        graphs = [{"name": graph, "build": f"tests.end_to_end.own_graphs:{graph}"}]
        rule = {
            "rule": "judge",
            "model": "judge",
            "rubric": "No birds.",
            "mode": "shadow",
            "places": ["output"],
            "fail": fail,
        }
        async with serving(**_two(up, judge), graphs=graphs, guardrails=[policy(rule)]) as gateway:
            status, _, body = await gateway.post("/v1/chat/completions", {**CHAT, "model": graph})
            (run,) = await gateway.runs()
    cost = 20 if graph == "thrifty" else 10
    assert (status, body["choices"][0]["message"]["content"]) == (200, "Nobody.")
    assert (run["outcome"], run["guardrails"]["flags"]) == ("answered", flags)
    assert body["usage"]["total_tokens"] == run["usage"]["total_tokens"] == cost


async def test_what_such_a_judge_said_is_recorded_where_the_request_is_refused() -> None:
    """By another judge, after it: the run has failed, and its record says both."""
    first, second = Pause(), Pause()
    async with (
        ScriptedUpstream(Stream([first, orjson.dumps(REFUSED)])) as recording,
        ScriptedUpstream(Stream([second, orjson.dumps(REFUSED)])) as enforcing,
    ):
        rules = [
            {"rule": "http", "name": "records", "url": f"{recording.base_url}/guard", "mode": "shadow"},
            {"rule": "http", "name": "enforces", "url": f"{enforcing.base_url}/guard"},
        ]
        async with serving_upstream(Hang(), guardrails=[policy(*rules)]) as (gateway, upstream):
            asking = asyncio.create_task(gateway.post("/v1/chat/completions", CHAT))
            await upstream.came.wait()
            first.set()
            while not await _counted(gateway, 'rule="records"'):
                pass
            second.set()
            status, _, _ = await asking
            (run,) = await gateway.runs()
    assert (status, run["guardrails"]["rule"], run["guardrails"]["flags"]) == (400, "enforces", ["records"])


async def _counted(gateway: Any, label: str) -> bool:
    async with gateway.http.get(f"{gateway.address}/metrics") as answered:
        return label in await answered.text()


async def test_a_side_branch_asks_none_any_more_once_the_answer_has_ended() -> None:
    """Nobody would wait for it, and what it costs would be no part of the run."""
    DOZES.clear()
    DOZED.clear()
    answers = Pause()
    async with ScriptedUpstream(Stream([answers, orjson.dumps(REFUSED)])) as server:
        judge = {
            "rule": "http",
            "url": f"{server.base_url}/guard",
            "mode": "shadow",
            "places": ["input", "tool_results"],
        }
        rules = policy({"rule": "terms", "terms": ["bird"], "places": ["output"]}, judge)
        graphs = [{"name": "dozing", "build": "tests.end_to_end.own_graphs:dozing"}]
        async with serving_upstream(graphs=graphs, guardrails=[rules]) as (gateway, _):
            body = {"model": "dozing", "messages": CHAT["messages"]}
            asking = asyncio.create_task(gateway.post("/v1/chat/completions", body))
            await server.came.wait()
            DOZES.set()
            await DOZED.wait()
            answers.set()
            _, _, told = await asking
    assert told["choices"][0]["finish_reason"] == "content_filter"
    assert [each.body["place"] for each in server.received] == ["input"]


async def test_what_a_judge_cost_is_part_of_what_embeddings_cost() -> None:
    """The client is told what the record says, as of a chat."""
    async with ScriptedUpstream(embeddings([1.0])) as up, ScriptedUpstream(answer('{"allowed": true}')) as judge:
        rule = {"rule": "judge", "model": "judge", "rubric": "No birds.", "mode": "shadow"}
        async with serving(**_two(up, judge), graphs=[], guardrails=[policy(rule)]) as gateway:
            _, _, body = await gateway.post("/v1/embeddings", {"model": "up", "input": "A bird."})
            (run,) = await gateway.runs()
    assert body["usage"]["total_tokens"] == run["usage"]["total_tokens"] == 7 + 10


async def test_a_deployment_that_judged_has_not_answered() -> None:
    """The header names those that gave the answer."""
    async with ScriptedUpstream(answer("Nobody.")) as up, ScriptedUpstream(answer('{"allowed": true}')) as judge:
        settings = _two(up, judge)
        models = [{"name": name, "deployments": [{"provider": name, "model": "m"}]} for name in ("up", "judge")]
        rule = {"rule": "judge", "model": "judge", "rubric": "No birds."}
        async with serving(**{**settings, "models": models}, graphs=[], guardrails=[policy(rule)]) as gateway:
            _, headers, _ = await gateway.post("/v1/chat/completions", CHAT)
    assert headers["x-penstock-deployment"] == "up/m"


def _two(up: ScriptedUpstream, judge: ScriptedUpstream) -> dict[str, Any]:
    """Settings of two models, each behind an upstream of its own."""
    named = {"up": up, "judge": judge}
    providers = [
        {"name": name, "kind": "openai", "base_url": each.base_url, "api_key": "sk-of-nobody"}
        for name, each in named.items()
    ]
    free = {"input": 0, "output": 0}
    models = [{"name": "up", "provider": "up", "price": free}, {"name": "judge", "provider": "judge"}]
    return {"providers": providers, "models": models}
