"""The providers that the settings ask for."""

from __future__ import annotations

from gateway.config.providers import Provider
from gateway.telemetry.outgoing import WatchedTransport
from llm import ModelProvider
from llm.http1.transport import HttpTransport
from llm.providers.anthropic import AnthropicProvider
from llm.providers.openai import OpenAIProvider
from llm.transport import Timeouts


def provider_of(entry: Provider) -> ModelProvider:
    """The provider of a row of the settings; what it needs is imported with it."""
    if entry.kind == "embedded":
        from llm.providers.embedded import EmbeddedProvider  # noqa: PLC0415 - NumPy is only for who decodes here

        return EmbeddedProvider()
    if entry.kind == "huggingface":
        from llm.providers.huggingface import HuggingFaceProvider  # noqa: PLC0415

        options = {name: getattr(entry, name) for name in ("device", "dtype", "max_batch", "max_tokens")}
        return HuggingFaceProvider(entry.path, **options)
    timeouts = Timeouts(entry.connect_seconds, entry.read_seconds, entry.total_seconds)
    transport = WatchedTransport(HttpTransport(timeouts))
    key = entry.api_key.get_secret_value()
    if entry.kind == "anthropic":
        return AnthropicProvider(entry.base_url, key, transport, max_tokens=entry.max_tokens)
    return OpenAIProvider(
        entry.base_url,
        key,
        transport,
        organization=entry.organization,
        project=entry.project,
        api_version=entry.api_version,
        rename=entry.rename,
        api=entry.api,
        completions=entry.completions,
        anthropic_members=entry.anthropic_members,
    )
