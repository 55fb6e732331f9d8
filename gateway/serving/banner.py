"""What the start says: what is served, how to ask it, and how to connect a real model."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

from gateway.catalog.catalog import Catalog
from gateway.config import Settings
from gateway.config.models import DEMO_MODEL

REQUEST = (
    '{"model": "%s", "stream": true, "messages": [{"role": "user", "content": "Plan a trip to Lisbon on 14 May"}]}'
)
CONNECT = """\
providers:
  - {name: cloud, kind: openai, base_url: "https://api.openai.com/v1", api_key: "${oc.env:OPENAI_API_KEY}"}
models:
  - {name: fast, provider: cloud, model: gpt-4o-mini}"""


def banner(settings: Settings, catalog: Catalog, address: str) -> str:
    """The text for an operator who has just started the gateway at ``address``."""
    return "\n".join(_lines(settings, catalog, address))


def _lines(settings: Settings, catalog: Catalog, address: str) -> Iterator[str]:
    who = "no key needed, this machine only" if settings.is_open else f"keys: {len(settings.auth.keys)} in the settings"
    if settings.auth.secret.get_secret_value():
        who += ", others in the store"
    yield f"Penstock {version('penstock')} listens on {address} ({who})."
    yield ""
    width = max((len(served.name) for served in catalog), default=0)
    for served in catalog:
        streams = {"live": "streams live", "accepted": "streams once accepted"}.get(served.flow.streaming.kind, "whole")
        yield f"  {served.name:<{width}}  {served.kind}, {streams}. {served.description}".rstrip()
    names = [served.name for served in catalog if served.takes == "chat"]
    yield from _curl(settings, address, names)
    if settings.main_model == DEMO_MODEL:
        yield ""
        yield f"{DEMO_MODEL} is a demonstration model. To connect a real one, set OPENAI_API_KEY (and OPENAI_BASE_URL)"
        yield "and start again, or write a settings file and start with --config penstock.yaml:"
        yield ""
        yield from (f"  {line}" for line in CONNECT.splitlines())


def _curl(settings: Settings, address: str, names: list[str]) -> Iterator[str]:
    if not names:
        return
    model = "trip-planner" if "trip-planner" in names else names[0]
    key = "" if settings.is_open else ' -H "authorization: Bearer $KEY"'
    yield ""
    yield "Try it:"
    yield ""
    yield f"  curl -N {address}/v1/chat/completions -H 'content-type: application/json'{key} \\"
    yield f"    -d '{REQUEST % model}'"
