"""Presets: upstreams that are known by name. What is known of each stands in ``presets.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Preset:
    """An upstream by name."""

    kind: str
    """Who speaks to it: ``openai`` or ``anthropic``."""
    base_url: str
    key: str = ""
    """The environment variable that its key is looked for in; empty when it needs none."""
    rename: Mapping[str, str] = field(default_factory=dict)
    """Parameters that it calls otherwise, or with "" refuses."""
    completions: bool = False
    """Whether it has OpenAI's legacy completions."""
    anthropic_members: bool = False
    """Whether it takes what only Anthropic's API has."""


@cache
def presets() -> Mapping[str, Preset]:
    """All presets, by name."""
    text = files("llm.providers").joinpath("presets.toml").read_text(encoding="utf-8")
    return {name: Preset(**row) for name, row in tomllib.loads(text).items()}
