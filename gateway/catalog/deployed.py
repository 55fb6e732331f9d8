"""Deployed: what stands under a model name, in one version or several, in service or not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from gateway.catalog.own_model import load_own_model
from gateway.config.faults import InvalidSettings
from gateway.config.models import ModelEntry
from gateway.errors import LoadFailed, ModelUnloaded, UnknownVersion
from gateway.guarding.guards import Guards, guarded
from graph import Event, Flow, FlowRun, Hooks, V2ModelServer
from graph.steps.routes import Routes
from guardrails import Policy
from llm import Model

Takes: TypeAlias = Literal["chat", "inputs"]


@dataclass(frozen=True, slots=True)
class Served:
    """A model name, the flow behind it, and what to tell about it."""

    name: str
    kind: Literal["model", "graph"]
    flow: Flow
    owned_by: str
    description: str
    created: int
    takes: Takes = "chat"
    """What the flow is given: a chat request, or the body of a V2 request, ``{"inputs": [...]}``."""
    version: str = ""
    model: Model | None = None
    """The model, where it is one that chats and not a graph."""
    models: tuple[Model, ...] = ()
    """The language models that it may call."""
    own: V2ModelServer | None = None
    """The model of one's own, where it is one."""
    passes: bool = False
    """Whether it is one upstream, whose answers may pass as the bytes that they are where no policy looks at them."""
    embeddings: Flow | None = None
    """The flow that makes embeddings, where there is one."""
    guards: Guards | None = None
    """Whose policies hold for its runs."""
    guardrails: tuple[str, ...] = ()
    """The policies that hold for whoever asks it."""

    def policy_of(self, caller: str) -> Policy | None:
        """What holds for a caller.

        Raises:
            PolicyMissing: when its key names a policy that is not there.
        """
        return None if self.guards is None else self.guards.of(caller, self.guardrails)

    def passes_to(self, caller: str) -> bool:
        """Whether an answer may go out to a caller as the bytes that it came in."""
        return self.passes and ((policy := self.policy_of(caller)) is None or policy.passes)

    def start(self, event: Event, hooks: Hooks | None = None) -> FlowRun:
        """A run of its flow, under the policies that hold for it and for the caller."""
        return self._guarded(self.flow, event, hooks, in_words=self.takes == "chat")

    def embed(self, event: Event, hooks: Hooks | None = None) -> FlowRun:
        """A run of the flow that makes embeddings, under the same policies; to be asked only where there is one."""
        assert self.embeddings is not None  # noqa: S101 - the caller looked
        return self._guarded(self.embeddings, event, hooks, in_words=False)

    def _guarded(self, flow: Flow, event: Event, hooks: Hooks | None, *, in_words: bool) -> FlowRun:
        policy = self.policy_of(event.caller)
        run = flow.start(event, hooks)
        if policy is not None:
            run.through = guarded(policy, in_words=in_words)
        return run


class OwnModel:
    """A model of one's own, which can be loaded again, under the same policies."""

    def __init__(self, entry: ModelEntry, created: int, guards: Guards) -> None:
        self.version = entry.version
        self._entry = entry
        self._created = created
        self._guards = guards

    def __call__(self) -> Served:
        """The model, loaded.

        Raises:
            InvalidSettings: when it cannot be.
        """
        entry = self._entry
        model, flow = load_own_model(entry)
        served = Served(entry.name, "model", flow, "penstock", entry.description, self._created)
        served = replace(served, takes="inputs", version=entry.version, own=model)
        return replace(served, guards=self._guards, guardrails=entry.guardrails)


class Deployed:
    """The versions under a model name, the last of which is asked by default."""

    def __init__(self, versions: dict[str, Served]) -> None:
        self.versions = versions
        self.in_service = True
        self._loaders: dict[str, Callable[[], Served]] = {}
        self._changing = asyncio.Lock()

    @classmethod
    def of(cls, served: Served) -> Deployed:
        """The one version of what is built with the gateway and stays built."""
        return cls({served.version: served})

    def add(self, load: OwnModel) -> None:
        """Loads a version and keeps how.

        Raises:
            InvalidSettings: when it cannot be loaded.
        """
        self.versions[load.version] = load()
        self._loaders[load.version] = load

    @property
    def latest(self) -> Served:
        """The version that is asked by default."""
        return next(reversed(self.versions.values()))

    def version(self, wanted: str = "") -> Served:
        """One of the versions; without a name the last.

        Raises:
            UnknownVersion: when there is no such version.
            ModelUnloaded: when it is out of service.
        """
        if wanted and wanted not in self.versions:
            known = ", ".join(filter(None, self.versions)) or "none"
            raise UnknownVersion(f"model '{self.latest.name}' has no version '{wanted}'; versions are: {known}")
        if not self.in_service:
            name = self.latest.name
            raise ModelUnloaded(f"model '{name}' is unloaded; POST /v2/repository/models/{name}/load loads it")
        return self.versions[wanted] if wanted else self.latest

    def guardrails(self, wanted: str = "") -> tuple[str, ...]:
        """The policies that hold for whoever asks a version, in service or not."""
        return self.versions.get(wanted, self.latest).guardrails

    async def load(self) -> None:
        """Loads all versions of a model of one's own anew; whatever it is, it is in service from then on.

        Raises:
            LoadFailed: when one cannot be loaded; then nothing has changed.
        """
        async with self._changing:
            try:
                made = {version: await asyncio.to_thread(load) for version, load in self._loaders.items()}
            except InvalidSettings as error:
                raise LoadFailed(str(error)) from error
            self.versions.update(made)
            self.in_service = True

    def unload(self) -> None:
        """Takes it out of service; requests that have begun go on."""
        self.in_service = False


def takes_inputs(flow: Flow) -> bool:
    """Whether a flow begins with a model or a router of the V2 protocol, and so is given the bodies of its requests."""
    first = next(iter(flow.steps.values())).target
    kinds = (V2ModelServer, Routes)
    return issubclass(first, kinds) if isinstance(first, type) else isinstance(first, kinds)
