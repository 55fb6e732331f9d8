"""What only Anthropic's API has, of a request by /v1/messages, at upstreams of either kind."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from llm.testing import ANTHROPIC, OPENAI, RESPONSES, Json, ScriptedUpstream
from llm.testing.dialect import Dialect
from tests.serving import Gateway, serving

CACHED = {"cache_control": {"type": "ephemeral"}}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "signed"}
BODY: dict[str, Any] = {
    "model": "up",
    "max_tokens": 9,
    "temperature": 0.5,
    "top_k": 5,
    "thinking": {"type": "adaptive"},
    "system": [{"type": "text", "text": "Be brief.", **CACHED}],
    "tools": [{"name": "f", "input_schema": {"type": "object"}, "defer_loading": True, **CACHED}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "hi", **CACHED}]},
        {
            "role": "assistant",
            "content": [THOUGHT, {"type": "tool_use", "id": "c", "name": "f", "input": {}, **CACHED}],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "c", "content": "no", "is_error": True, **CACHED}],
        },
    ],
}
ONLY_ANTHROPICS = ("cache_control", "thinking", "top_k", "is_error", "defer_loading")
OPENAIS: dict[str, Any] = {
    "model": "m",
    "max_completion_tokens": 9,
    "temperature": 0.5,
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "no"},
    ],
}
"""The same, with nothing in it that OpenAI's API does not have."""


@asynccontextmanager
async def asking(
    dialect: Dialect = OPENAI, graphs: Any = (), **options: Any
) -> AsyncGenerator[tuple[Gateway, ScriptedUpstream], None]:
    """A gateway with one model, ``up``, whose provider's row has these options."""
    async with ScriptedUpstream(dialect.answer("Hello")) as upstream:
        row = {"name": "scripted", "kind": "openai", "base_url": upstream.base_url, "api_key": "k", **options}
        models = [{"name": "up", "provider": "scripted", "model": "m"}]
        async with serving(providers=[row], models=models, graphs=graphs) as gateway:
            yield gateway, upstream


async def test_an_openai_upstream_gets_what_openai_has() -> None:
    """Real OpenAI refuses what it does not know, wherever in the request it stands."""
    async with asking() as (gateway, upstream):
        status, _, _ = await gateway.post("/v1/messages", BODY)
    assert status == 200
    assert upstream.received[0].body == OPENAIS


@pytest.mark.parametrize("kind", ["anthropic", "openai", "vllm"])
async def test_who_takes_them_gets_them(kind: str) -> None:
    """Anthropic; an upstream of which the operator says so; a preset that says so itself."""
    options = {"anthropic_members": True} if kind == "openai" else {}
    async with asking(ANTHROPIC if kind == "anthropic" else OPENAI, kind=kind, **options) as (gateway, upstream):
        status, _, _ = await gateway.post("/v1/messages", BODY)
    assert status == 200
    sent = upstream.received[0].body
    assert (sent["top_k"], sent["thinking"]["type"]) == (5, "adaptive")
    assert all(member in str(sent) for member in ONLY_ANTHROPICS)
    assert str(sent).count("cache_control") == 5


async def test_also_behind_a_graph_and_the_responses_api() -> None:
    """Whatever request a step makes of the caller's, and in whichever of OpenAI's words."""
    agent = {"name": "agent", "build": "tests.end_to_end.own_graphs:prompted"}
    async with asking(graphs=[agent]) as (gateway, upstream):
        assert (await gateway.post("/v1/messages", {**BODY, "model": "agent"}))[0] == 200
    assert not any(member in str(upstream.received[0].body) for member in ONLY_ANTHROPICS)
    async with asking(RESPONSES, api="responses") as (gateway, upstream):
        assert (await gateway.post("/v1/messages", BODY))[0] == 200
    assert not any(member in str(upstream.received[0].body) for member in ONLY_ANTHROPICS)


async def test_an_openai_client_sends_what_it_likes() -> None:
    """Members that nobody here knows go on from there, as there may be upstreams that do."""
    body = {
        "model": "up",
        "top_k": 5,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi", **CACHED}]}],
    }
    async with asking() as (gateway, upstream):
        assert (await gateway.post("/v1/chat/completions", body))[0] == 200
    assert upstream.received[0].body == {**body, "model": "m"}


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_a_tool_that_only_anthropic_has_is_the_upstreams_to_refuse(api: str) -> None:
    """It is not left out, as the answer would be to another request; what the upstream says of it is what is said."""
    refusal = Json({"error": {"message": "no such tool", "type": "invalid_request_error", "param": "tools"}}, 400)
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
    async with ScriptedUpstream(refusal) as upstream:
        row = {"name": "scripted", "kind": "openai", "base_url": upstream.base_url, "api_key": "k", "api": api}
        models = [{"name": "up", "provider": "scripted", "model": "m"}]
        async with serving(providers=[row], models=models, graphs=()) as gateway:
            status, _, answer = await gateway.post("/v1/messages", {**BODY, "tools": [search]})
    assert (status, answer["error"]["message"]) == (400, "no such tool")
    assert upstream.received[0].body["tools"] == [search]
