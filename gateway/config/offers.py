"""What the machine offers beside the embedded model when there is no settings file: a key for OpenAI, an Ollama."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from llm import ModelError
from llm.http1.transport import HttpTransport
from llm.providers.openai import OpenAIProvider
from llm.providers.presets import presets
from llm.transport import Timeouts

OPENAI_MODEL = "gpt-4o-mini"
PATIENCE = Timeouts(connect=1.0, read=3.0)
"""How long the start may wait for an answer, in seconds. A port that nobody listens on answers at once."""
EMBEDDED: Mapping[str, Any] = {"name": "mini", "kind": "embedded"}


def with_offers(environ: Mapping[str, str]) -> dict[str, Any]:
    """The settings of a start without a file: the embedded model, and whatever real provider is at hand.

    The shipped agents use the first real model there is: ``OPENAI_API_KEY`` (with ``OPENAI_BASE_URL`` and
    ``OPENAI_MODEL``), else an Ollama on its usual port, else the embedded one.
    """
    providers = [dict(EMBEDDED)]
    models = [{"name": "penstock-demo", "provider": "mini"}]
    if key := environ.get("OPENAI_API_KEY", ""):
        base_url = environ.get("OPENAI_BASE_URL") or presets()["openai"].base_url
        providers.append({"name": "openai", "kind": "openai", "base_url": base_url, "api_key": key})
        name = environ.get("OPENAI_MODEL") or _preferred(_models(base_url, key))
        models.append({"name": name, "provider": "openai"})
    taken = {provider.get("base_url", "").rstrip("/") for provider in providers} | {model["name"] for model in models}
    ollama = presets()["ollama"].base_url
    if ollama not in taken and (names := _models(ollama, "")):
        providers.append({"name": "ollama", "kind": "ollama"})
        models += [{"name": name, "provider": "ollama"} for name in names if name not in taken]
    main = models[1]["name"] if len(models) > 1 else models[0]["name"]
    return {"providers": providers, "models": models, "default_model": main}


def _preferred(names: list[str]) -> str:
    return OPENAI_MODEL if OPENAI_MODEL in names or not names else names[0]


def _models(base_url: str, api_key: str) -> list[str]:
    """The models that an upstream lists; none when it does not answer."""

    async def listed() -> list[str]:
        provider = OpenAIProvider(base_url, api_key, HttpTransport(PATIENCE))
        try:
            return await provider.models()
        except ModelError:
            return []
        finally:
            await provider.close()

    return asyncio.run(listed())
