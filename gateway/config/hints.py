"""Hints: what can be used as it is written, and may not be what was meant."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from gateway.api_handler import Listed
from gateway.config.fields import EVERYTHING, covers
from gateway.config.settings import Settings
from prompts.names import LIKELY, did_you_mean

USUAL = "penstock.yaml"
"""What most settings files are called."""
HEALTH = "/v2/health/"
"""What stands before the endpoints that probes ask."""


def names_of(settings: Settings) -> list[str]:
    """All that is served by these settings: models and graphs."""
    return [model.name for model in settings.models] + [graph.name for graph in settings.graphs]


def unserved(models: Iterable[str], served: Collection[str]) -> list[str]:
    """A sentence for each of the names or patterns of a key or team that nothing is served under, or not yet."""
    return [
        f"models: nothing is served under '{pattern}'{did_you_mean(pattern, served, LIKELY)}"
        for pattern in models
        if (pattern,) != EVERYTHING and not any(covers((pattern,), name) for name in served)
    ]


def hints(settings: Settings, table: Sequence[Listed]) -> Iterator[str]:
    """What whoever wrote the settings should look at, with its place in them; ``table`` is what they make."""
    served = names_of(settings)
    if not settings.files and Path(USUAL).is_file():
        yield f"{USUAL} lies here and was not looked at: name it, or let PENSTOCK_CONFIG name it"
    for section, rows in (("keys", settings.auth.keys), ("teams", settings.auth.teams)):
        for at, row in enumerate(rows):
            yield from (f"{settings.where('auth', section, at)}: {said}" for said in unserved(row.models, served))
    for at, provider in enumerate(settings.providers):
        if provider.kind == "openai" and provider.base_url and not urlsplit(provider.base_url).path.strip("/"):
            yield (
                f"{settings.where('providers', at, 'base_url')}: chats are asked of {provider.base_url.rstrip('/')}"
                "/chat/completions; most servers have them under /v1, which belongs to the address"
            )
    probed = [row.endpoint.path for row in table if row.endpoint.path.startswith(HEALTH) and row.action == "FORBID"]
    if probed:
        yield (
            f"{settings.where('api')}: {' and '.join(probed)} are forbidden too, so probes take this gateway for dead; "
            f'a row {{path: "{HEALTH}*", role: anyone}} lets them ask'
        )
