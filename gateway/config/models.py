"""The rows of models and graphs, and the graphs that ship."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from gateway.config.exchanges import CacheEntry
from gateway.config.fields import Name, Section, written
from gateway.config.routing import DeploymentEntry, Fallbacks, PriceEntry, Routing, Tokenizer


class ModelEntry(Section):
    """A model name, and who answers to it: a provider, or a class of one's own, which is served under /v2 only."""

    name: Name
    provider: str = ""
    """The name of a row under ``providers``, or a preset."""
    class_name: Annotated[str, written(r"[\w.]+:\w+", "module:Class")] | None = Field(default=None, alias="class")
    """``module:Class`` of a model of one's own, with ``load`` and ``predict``."""
    path: Path | None = None
    """Where that finds what it loads."""
    version: Annotated[str, written(r"[\w.-]{0,64}", "up to 64 letters, digits, dots and hyphens")] = ""
    """Its version; rows of one name are its versions, and the last row is the one that is asked by default."""
    parameters: Mapping[str, Any] = Field(default_factory=dict)
    """Further arguments of its class."""
    model: str = ""
    """What the provider calls it; by default the same name."""
    repair: bool = False
    """Whether JSON that was asked for is checked, and asked for once more where it is wrong."""
    price: PriceEntry | None = None
    """What it costs; without, what runs cost in money is not known."""
    guardrails: tuple[str, ...] = ()
    """The policies that hold for whoever asks it."""
    tokenizer: Tokenizer = ""
    """Who counts tokens where the provider reports none; by default the provider, or tiktoken by the model's name."""
    deployments: tuple[DeploymentEntry, ...] = ()
    """Instead of ``provider``: several of them."""
    routing: Routing | None = None
    fallbacks: Fallbacks = Fallbacks()
    """The models that are asked when none of them answers."""
    cache: CacheEntry | None = None
    """Whether who asks the same again may be given the same answer. Without, nobody is."""
    description: str = ""

    @property
    def is_routed(self) -> bool:
        """Whether something is to be decided before a provider is asked."""
        return bool(self.deployments or self.routing or self.fallbacks.chains)

    @property
    def behind(self) -> tuple[DeploymentEntry, ...]:
        """The deployments, of which a model of one provider has one; a class of one's own has none."""
        if self.deployments or self.class_name is not None:
            return self.deployments
        return (DeploymentEntry(provider=self.provider, model=self.model),)


class GraphEntry(Section):
    """A graph under a model name."""

    name: Name
    build: Annotated[str, written(r"[\w.]+:\w+", "module:function")] | None = None
    """``module:function``; the function is given the parts (models and prompts) and returns a Flow."""
    file: Path | None = None
    """A YAML file with the graph itself."""
    models: Mapping[str, str] = Field(default_factory=dict)
    """The model of each role; a role that is not named gets the default model."""
    guardrails: tuple[str, ...] = ()
    """The policies that hold for whoever asks it."""
    embeddings: bool = False
    """Whether it answers ``/v1/embeddings``: then it is given an ``EmbeddingRequest`` and gives ``Embeddings``."""
    cache: CacheEntry | None = None
    description: str = ""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.build is None) == (self.file is None):
            raise ValueError(f"graph '{self.name}' needs either build or file")
        return self


DEMO_MODEL = "penstock-demo"
SHIPPED = (
    GraphEntry(
        name="trip-planner",
        build="graph.agents.trip_planner:build",
        description="Plans a trip with the typical weather: router ⇄ tools → judge → responder.",
    ),
    GraphEntry(
        name="reviewed-answer",
        build="graph.agents.reviewed_answer:build",
        description="Drafts an answer until a judge accepts it: writer → judge → again.",
    ),
)
