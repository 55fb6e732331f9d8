"""Schemathesis asks everything that our own OpenAPI document offers, rightly and wrongly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import schemathesis
from schemathesis import engine
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events

from graph import Flow
from tests.end_to_end.bad_input.kind import CHAT, RESPONSES
from tests.serving import Gateway, serving

KEY = {"Authorization": "Bearer key-of-the-admin"}
EXAMPLES = 6
"""How many requests are made of each operation."""
LARGE = r"^/v1/(chat/completions|completions|embeddings|messages|responses)(/count_tokens)?$|^/v2/models"
"""The operations that are not also asked for every bound of their schemas, as these are too many."""
ENDLESS = "/admin/runs/events"
"""The operation whose answer goes on for as long as it is read."""
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)
ROWS = (
    {"path": "/own/{city}", "graph": "says", "text": "{city} {days}", "input": {"days": "$.stay.days"}},
    {"path": "/said", "graph": "says", "stream": True, "input": {"q": {}}},
    {"path": "/seen", "method": "GET", "graph": "says", "input": {"q": {}}},
)


def says() -> Flow:
    """Answers every chat in the same words."""
    flow = Flow("says")
    flow.to(lambda _: "Just that.", name="say").respond()
    return flow


@asynccontextmanager
async def offering() -> AsyncGenerator[tuple[Gateway, Mapping[str, str]], None]:
    """A gateway with a model of each kind, a graph, rows, and an answer of each kind that is kept; by these names."""
    tree = {
        "providers": [{"name": "mini", "kind": "embedded"}],
        "models": [
            {"name": "demo", "provider": "mini"},
            {"name": "echo", "class": "tests.end_to_end.own_models:Echoes"},
        ],
        "graphs": [{"name": "says", "build": f"{__name__}:says"}],
    }
    keys = {"keys": [{"name": "ops", "key": "key-of-the-admin", "role": "admin"}]}
    async with serving(**tree, api=ROWS, auth=keys) as gateway:
        chat = {"model": "says", "messages": [{"role": "user", "content": "hi"}], "store": True}
        _, _, completion = await gateway.post(CHAT, chat, **KEY)
        _, _, response = await gateway.post(RESPONSES, {"model": "says", "input": "hi"}, **KEY)
        yield gateway, {CHAT: completion["id"], RESPONSES: response["id"], "/v1/models": "says"}


def pointed(document: Any, kept: Mapping[str, str]) -> Any:
    """The document with the names that there are wherever one stands, so that more than a 404 is asked for."""
    models, nothing = {"enum": ["says", "echo", "demo"]}, {"enum": ["nope"]}
    for schema in document["components"]["schemas"].values():
        if "model" in schema.get("properties", {}) and "messages" in schema["properties"] | {"messages": 1}:
            schema["properties"]["model"] = models
    for path, operations in document["paths"].items():
        known = next((name for root, name in kept.items() if path.startswith(f"{root}/{{id}}")), None)
        for method, operation in operations.items():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] == "model" and parameter["in"] == "path":
                    parameter["schema"] = nothing if path.endswith("/unload") else models
                elif parameter["name"] == "id" and known:
                    parameter["schema"] = nothing if method == "delete" else {"enum": [known, "nope"]}
    return document


def failures(document: Any, address: str) -> Iterator[str]:
    """What Schemathesis finds wrong; the same requests every time."""
    config = SchemathesisConfig.from_dict(
        {
            "base-url": address,
            "headers": KEY,
            "seed": 1,
            "generation": {
                "max-examples": EXAMPLES,
                "deterministic": True,
                "no-shrink": True,
                "database": "none",
            },
            "phases": {"stateful": {"enabled": False}},
            "operations": [{"include-path-regex": LARGE, "phases": {"coverage": {"enabled": False}}}],
            "checks": {"enabled": False, **{name: {"enabled": True} for name in CHECKS}},
        }
    )
    asked = 0
    schema = schemathesis.openapi.from_dict(document, config=config).exclude(path=ENDLESS)
    for event in engine.from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            for checks in event.recorder.checks.values():
                asked += 1
                for check in checks:
                    if check.failure_info is not None:
                        failure, sample = check.failure_info.failure, check.failure_info.code_sample
                        yield f"{event.recorder.label}: {failure.title}: {failure.message}: {sample}"
        elif isinstance(event, events.NonFatalError | events.FatalError):
            yield f"it could not ask: {event}"
    if asked < 500:
        yield f"it asked only {asked} times"


@pytest.mark.timeout(180)
async def test_schemathesis_finds_nothing() -> None:
    """No 5xx, no status, type or body that is not in the document, and nothing taken that the document forbids."""
    async with offering() as (gateway, kept):
        _, _, document = await gateway.get("/openapi.json", **KEY)
        found = await asyncio.to_thread(lambda: list(failures(pointed(document, kept), gateway.address)))
    assert found == []
