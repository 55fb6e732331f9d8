"""GET /v1/models: what each is, where it answers, and what is known of it."""

from __future__ import annotations

from typing import Any

from openai.types import Model

from tests.serving import serving

CHAT = ["chat.completions", "completions", "responses", "messages"]
PRICED = {"name": "priced", "provider": "mini", "price": {"input": 1, "output": 2}, "description": "A model."}
TREE: dict[str, Any] = {
    "models": [PRICED, {"name": "echo", "class": "tests.end_to_end.own_models:Echo"}],
    "graphs": [
        {"name": "spelling", "build": "tests.end_to_end.own_graphs:spelling"},
        {"name": "vectors", "build": "tests.end_to_end.test_embeddings:doubled", "embeddings": True},
    ],
}


async def test_models_say_what_they_are_and_can() -> None:
    """Models, graphs, graphs that embed, and models of one's own; all in the SDK's type."""
    async with serving(**TREE) as gateway, gateway.sdk() as client:
        listed = {model.id: model async for model in client.models.list()}
        one = await client.models.retrieve("priced")
    told = {
        name: tuple(map(model.model_dump().get, ("kind", "endpoints", "streaming"))) for name, model in listed.items()
    }
    assert told == {
        "priced": ("model", [*CHAT, "embeddings", "v2"], "live"),
        "echo": ("own_model", ["v2"], "whole"),
        "spelling": ("graph", [*CHAT, "v2"], "live"),
        "vectors": ("graph", ["embeddings"], "whole"),
    }
    assert one == listed["priced"]
    for model in listed.values():
        Model.model_validate(model.model_dump(), strict=True)


async def test_what_is_known_of_a_model_is_told() -> None:
    """Its context and its price; null where nobody knows."""
    async with serving(**TREE) as gateway:
        _, _, known = await gateway.get("/v1/models/priced")
        _, _, graph = await gateway.get("/v1/models/spelling")
    assert known["context_length"] > 1000
    assert known["price"] == {"input": 1, "output": 2, "cached": None, "cache_write": None}
    assert known["description"] == "A model."
    assert (graph["context_length"], graph["price"]) == (None, None)
