"""The rows under ``providers``: who runs models, and which options are for whom."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias, get_args

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from gateway.config.fields import Name, Secret, Section, check_kind
from gateway.config.presets import with_preset
from gateway.config.told import unknown
from llm.providers.presets import presets

Kind: TypeAlias = Literal["embedded", "openai", "azure", "anthropic", "huggingface"]
OVER_HTTP = frozenset({"openai", "azure", "anthropic"})
OPTIONS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("base_url", "api_key", "connect_seconds", "read_seconds", "total_seconds"), OVER_HTTP),
    **dict.fromkeys(("organization", "project", "api", "anthropic_members"), frozenset({"openai"})),
    **dict.fromkeys(("rename", "completions"), frozenset({"openai", "azure"})),
    "api_version": frozenset({"azure"}),
    "max_tokens": frozenset({"anthropic", "huggingface"}),
    **dict.fromkeys(("path", "device", "dtype", "max_batch"), frozenset({"huggingface"})),
}
"""The kinds of provider that each option is for."""


NEEDED: Mapping[str, Mapping[str, str]] = {
    "azure": {
        "base_url": "such as https://my-resource.openai.azure.com",
        "api_version": "such as 2024-10-21",
        "api_key": 'such as "${oc.env:AZURE_OPENAI_API_KEY}"',
    },
    "huggingface": {"path": "the folder of a model, or its id on the hub"},
}
"""What a kind cannot do without, and how to write it."""


def _known_kind(value: Any) -> Any:
    if isinstance(value, str) and value not in (known := [*get_args(Kind), *presets()]):
        raise ValueError(unknown("kind", value, known))
    return value


class Provider(Section):
    """Whoever runs models. ``kind`` may be a preset (``groq``, ``ollama``, …): its address, and its key from the
    environment, stand in for those that the row does not give."""

    name: Name
    kind: Annotated[Kind, BeforeValidator(_known_kind)]
    base_url: str = ""
    api_key: Secret = SecretStr("")
    organization: str = ""
    project: str = ""
    api_version: str = ""
    """Of Azure's API, such as ``2024-10-21``."""
    rename: Mapping[str, str] = Field(default_factory=dict)
    """Parameters that the upstream calls otherwise, or with an empty text refuses."""
    api: Literal["chat", "responses"] = "chat"
    """Which of OpenAI's APIs chats are asked of."""
    completions: bool = False
    """Whether raw prompts go to the upstream's legacy ``/completions``; where not, a chat answers them."""
    anthropic_members: bool = False
    """Whether the upstream takes what only Anthropic's API has, of requests that came by it."""
    max_tokens: Annotated[int, Field(ge=1)] = 4096
    """How many tokens an answer may have where the request does not say."""
    path: str = ""
    """The folder of a model, or its id on the hub."""
    device: str = "cpu"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    max_batch: Annotated[int, Field(ge=1, le=256)] = 8
    """How many requests are answered side by side."""
    connect_seconds: Annotated[float, Field(gt=0)] = 10
    read_seconds: Annotated[float, Field(gt=0)] = 300
    """How long the provider may be silent."""
    total_seconds: Annotated[float, Field(gt=0)] = 3600
    """How long one call may take, also of a provider that never falls silent."""

    @model_validator(mode="before")
    @classmethod
    def _of_preset(cls, row: Any) -> Any:
        return with_preset(row, os.environ) if isinstance(row, dict) else row

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        check_kind(self, self.kind, OPTIONS, NEEDED)
        return self
