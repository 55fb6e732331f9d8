"""The keys of a model behind which several deployments stand: which they are, who is chosen, what follows a failure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from gateway.config.fields import Name, Seconds, Section, Usd

Tokenizer: TypeAlias = Literal["", "o200k_base", "cl100k_base", "characters"]
ANY_FAULT = ("rate_limit", "server", "timeout")
"""The classes that a plain list of fallbacks is for."""


class PriceEntry(Section):
    """What a model costs, in US dollars per million tokens; what is free costs 0."""

    input: Usd
    output: Usd
    cached: Usd | None = None
    """Of prompt tokens that the provider had in its cache; by default as ``input``."""
    cache_write: Usd | None = None
    """Of prompt tokens that it wrote into its cache; by default as ``input``."""


class DeploymentEntry(Section):
    """One of the models behind a name."""

    provider: str
    """The name of a row under ``providers``, or a preset."""
    model: str = ""
    """What the provider calls it; by default the name of the model that it is for."""
    name: Name | None = None
    """What it is called in headers, records and the admin API; by default ``provider/model``."""
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1
    """Its share of the requests; with ``lowest_latency`` there are none, but of those that stick."""
    price: PriceEntry | None = None
    """What it costs; by default what the model costs."""
    tokenizer: Tokenizer | None = None
    """Who counts its tokens; by default as the model says."""

    def upstream_of(self, model: str) -> str:
        """What its provider calls it, behind a model of this name."""
        return self.model or model

    def name_of(self, model: str) -> str:
        """What it is called, behind a model of this name."""
        return self.name or f"{self.provider}/{self.upstream_of(model)}"


class Cooldown(Section):
    """When a deployment that fails is left alone."""

    failures: Annotated[int, Field(ge=1, le=1000)] = 3
    """How many failures in a row it takes."""
    seconds: Seconds = 10
    """How long the first time; twice as long each time that the probe fails."""
    max_seconds: Seconds = 300

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.seconds > self.max_seconds:
            raise ValueError(f"seconds is more than max_seconds, which is {self.max_seconds:g}; write that too")
        return self


class Routing(Section):
    """How one of the deployments is chosen, and how often and how long it is asked."""

    balance: Literal["weighted", "least_busy", "lowest_latency", "cheapest"] = "weighted"
    sticky: Literal["", "key", "user", "conversation"] = ""
    """Whose requests go to one deployment as long as it is in service: those of a key, of an end user of it (as the
    request says in ``safety_identifier`` or ``user``), or of a conversation; where it says none, those of the key."""
    retries: Annotated[int, Field(ge=0, le=20)] = 2
    """How many more calls there may be after the first."""
    backoff_seconds: Seconds = 0.5
    """The first wait before the same deployments are asked again; the next ones double."""
    max_wait_seconds: Seconds = 10
    """The longest such wait: an upstream that wants more in ``Retry-After`` is not waited for."""
    first_token_seconds: Seconds | None = None
    """How long a stream may take to begin until another deployment is asked."""
    idle_seconds: Seconds | None = None
    """How long it may then be silent."""
    total_seconds: Seconds | None = None
    """How long an answer may take, with everything that was tried for it."""
    hedge: bool = False
    """Whether a second deployment is asked when the first has not begun after its own 95th percentile."""
    cooldown: Cooldown = Cooldown()
    health_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    """How often providers that can list their models are asked for that, to see whether they are there; 0 for never."""


class Fallbacks(Section):
    """The models that are asked when no deployment answers, by the class of the failure; of a list alone those for rate
    limits, servers that fail, and timeouts."""

    rate_limit: tuple[str, ...] = ()
    """Too many requests, or an account that is used up."""
    context_length: tuple[str, ...] = ()
    content_filter: tuple[str, ...] = ()
    server: tuple[str, ...] = ()
    """It cannot be reached, fails, refuses the gateway's key, does not know the model, or answers no answer."""
    timeout: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _of_list(cls, given: Any) -> Any:
        return dict.fromkeys(ANY_FAULT, given) if isinstance(given, (list, tuple)) else given

    @property
    def chains(self) -> Mapping[str, tuple[str, ...]]:
        """The chains that are not empty, by class."""
        return {failure: chain for failure in type(self).model_fields if (chain := getattr(self, failure))}

    @property
    def names(self) -> set[str]:
        """All models in them."""
        return {name for chain in self.chains.values() for name in chain}
