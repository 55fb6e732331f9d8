"""Catalog: everything that is served under a model name. One upstream model is a graph of one step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from gateway.catalog.deployed import Deployed, OwnModel, Served, Takes, takes_inputs
from gateway.catalog.flows import flow_of
from gateway.catalog.own_code import told
from gateway.catalog.providers import provider_of
from gateway.catalog.roles import Roles
from gateway.catalog.toolsets import toolset_of
from gateway.config import Settings
from gateway.config.faults import InvalidSettings
from gateway.config.fields import Section
from gateway.config.models import GraphEntry, ModelEntry
from gateway.edge.keys import Principal
from gateway.errors import NotAChatModel
from gateway.guarding.building import guards_of
from gateway.guarding.guards import Guards
from gateway.routing.building import models_of
from gateway.routing.routed import RoutedProvider
from gateway.telemetry.logs import logger
from graph import Flow
from graph.parts import Parts
from graph.steps.embedding import EmbeddingStep
from graph.steps.responder import ResponderStep
from graph.toolset import Toolset
from llm import Model, ModelProvider, UnknownModel
from prompts import InvalidPrompt, PromptStore
from prompts.names import LIKELY, nearest

COMPARED: Final = 50
"""With how many names one is compared that nothing has."""
LONG: Final = 40
"""Names of more characters are compared with none: with the same letters in another order, that takes long."""


class Catalog:
    """What is served, by name, the providers and tools behind it, and the prompts in it."""

    def __init__(
        self,
        served: Mapping[str, Deployed],
        providers: Mapping[str, ModelProvider],
        prompts: PromptStore | None = None,
        toolsets: Mapping[str, Toolset] | None = None,
        *,
        routed: Sequence[RoutedProvider] = (),
        guards: Guards | None = None,
    ) -> None:
        self._deployed = served
        self.providers = providers
        self.prompts = prompts or PromptStore()
        self.toolsets = toolsets or {}
        self.routed = routed
        self.guards = guards or Guards({}, (), {})
        self._started = False
        self._rows: Mapping[tuple[str, str], Section] = {}
        self._borrowed: set[int] = set()
        """The ids of what another catalog owns, and starts and closes."""

    @classmethod
    def of(cls, settings: Settings, before: Catalog | None = None) -> Catalog:
        """Everything that the settings ask for, built and validated. Providers and tools whose rows are those of the
        catalog ``before`` are the same ones, which that goes on to own until they are taken over.

        Raises:
            InvalidSettings: when a provider, prompt or graph cannot be built; the message names it and says why.
        """
        prompts = _built(settings.where("prompts"), "", _prompts, settings)
        entries: dict[tuple[str, str], Section] = {("provider", entry.name): entry for entry in settings.providers}
        entries |= {("tools", entry.name): entry for entry in settings.tools}
        same = before.made_of(entries) if before is not None else {}
        providers = {
            entry.name: same.get(("provider", entry.name))
            or _built(settings.where("providers", at), f"provider '{entry.name}'", provider_of, entry)
            for at, entry in enumerate(settings.providers)
        }
        rows = [entry for entry in settings.models if entry.class_name is None]
        models, routed = models_of(rows, providers)
        toolsets = {
            entry.name: same.get(("tools", entry.name))
            or _built(settings.where("tools", at), f"tools '{entry.name}'", toolset_of, entry)
            for at, entry in enumerate(settings.tools)
        }
        created = int(time.time())
        guards = guards_of(settings, models)
        served: dict[str, Deployed] = {}
        for at, entry in enumerate(settings.models):
            if entry.class_name is None:
                row = _served_model(entry, models[entry.name], created)
                served[entry.name] = Deployed.of(_under(guards, row, entry.guardrails))
            else:
                versions = served.setdefault(entry.name, Deployed({}))
                own = OwnModel(entry, created, guards)
                _built(settings.where("models", at, "class"), f"model '{entry.name}'", versions.add, own)
        for at, graph in enumerate(settings.graphs):
            roles = Roles({role: models[name] for role, name in graph.models.items()})
            parts = Parts(models[settings.main_model], roles, prompts, toolsets)
            where = settings.where("graphs", at, "file" if graph.build is None else "build")
            row = _built(where, f"graph '{graph.name}'", _served_graph, graph, parts, roles, created)
            served[graph.name] = Deployed.of(_under(guards, row, graph.guardrails))
        catalog = cls(served, providers, prompts, toolsets, routed=routed, guards=guards)
        catalog._rows, catalog._borrowed = entries, set(map(id, same.values()))
        return catalog

    def made_of(self, rows: Mapping[tuple[str, str], Section]) -> dict[tuple[str, str], Any]:
        """Its providers and tools that were made of these very rows, by kind and name."""
        parts: dict[str, Mapping[str, Any]] = {"provider": self.providers, "tools": self.toolsets}
        return {key: parts[key[0]][key[1]] for key, row in rows.items() if self._rows.get(key) == row}

    def take_over(self, before: Catalog) -> None:
        """Owns from now on what it shares with the catalog before it: that will not close it."""
        before._borrowed |= self._borrowed
        self._borrowed = set()

    def _owned(self, parts: Mapping[str, Any]) -> list[Any]:
        return [part for part in parts.values() if id(part) not in self._borrowed]

    async def start(self) -> None:
        """Makes providers and tools ready, once.

        Raises:
            ModelError: when the files of a model cannot be used.
            ToolsetUnavailable: when the tools of a server cannot be used.
        """
        if self._started:
            return
        for part in (*self._owned(self.providers), *self.routed, *self._owned(self.toolsets)):
            await part.start()
        self._started = True

    async def close(self) -> None:
        """Gives back what flows and providers hold; what cannot be closed keeps nothing else from it."""
        async with AsyncExitStack() as held:
            for part in (*self._owned(self.providers), *self.routed, *self._owned(self.toolsets)):
                held.push_async_callback(part.close)
            held.push_async_callback(self.guards.close)
            for served in self:
                held.push_async_callback(served.flow.aclose)
                if served.embeddings is not None and served.embeddings is not served.flow:
                    held.push_async_callback(served.embeddings.aclose)

    def get(self, name: str, principal: Principal) -> Served:
        """The model or graph under a name that chats.

        Raises:
            UnknownModel: when nothing is there, or not to this caller; NotAChatModel when it takes inputs of V2 only.
            ModelUnloaded: when an admin has taken it out of service.
        """
        served = self.find(name, principal)
        if served.takes != "chat":
            raise NotAChatModel(name)
        return served

    def find(self, name: str, principal: Principal, version: str = "") -> Served:
        """What is served under a name, whatever it takes; of several versions the one, or the last.

        Raises:
            UnknownModel: when nothing is, or not to this caller.
            UnknownVersion: when it is, and not in this version.
            ModelUnloaded: when an admin has taken it out of service.
        """
        return self.deployed_as(name, principal).version(version)

    def deployed(self, principal: Principal) -> list[Deployed]:
        """All that a caller may use, in service or not."""
        return [deployed for name, deployed in self._deployed.items() if principal.may_use(name)]

    def deployed_as(self, name: str, principal: Principal) -> Deployed:
        """What stands under a name, in service or not.

        Raises:
            UnknownModel: when nothing does, or not to this caller; it hears of nothing that it may not use.
        """
        if name not in self._deployed or not principal.may_use(name):
            usable = islice(filter(principal.may_use, self._deployed), COMPARED)
            raise UnknownModel(name, nearest(name, usable, LIKELY) if len(name) <= LONG else None)
        return self._deployed[name]

    def __iter__(self) -> Iterator[Served]:
        return (served for deployed in self._deployed.values() for served in deployed.versions.values())


def _built(where: str, what: str, build: Callable[..., Any], *arguments: Any) -> Any:
    """What a place in the settings asks for; ``what`` names it, unless the place does."""
    try:
        return build(*arguments)
    except InvalidSettings as error:
        raise InvalidSettings(f"{where}: {error}") from error
    except Exception as error:
        said = told(error)
        if said is None:
            raise
        raise InvalidSettings(": ".join(filter(None, (where, what, said)))) from error


def _under(guards: Guards, served: Served, names: tuple[str, ...]) -> Served:
    """What is served under policies."""
    return replace(served, guards=guards, guardrails=names)


def _prompts(settings: Settings) -> PromptStore:
    """The prompts, which say in the log when others come into force, and when they are refused."""
    log = logger(settings.secrets)

    def report(fault: InvalidPrompt | None) -> None:
        if fault is None:
            log.info("prompts_reloaded")
        else:
            log.warning("prompts_refused", because=str(fault), in_force="those before")

    return PromptStore(settings.prompts.path, report=report)


def _served_model(entry: ModelEntry, model: Model, created: int) -> Served:
    flow = Flow(entry.name)
    flow.to(ResponderStep(model), name="responder").respond()
    description = entry.description or getattr(model.provider, "description", "")
    owners = {row.provider for row in entry.behind}
    owner = owners.pop() if len(owners) == 1 else "penstock"
    served = Served(entry.name, "model", flow.validate(), owner, description, created)
    passes = getattr(model.provider, "passes", False) and not model.checks
    return replace(served, model=model, models=(model,), embeddings=_embedding_flow(model), passes=passes)


def _served_graph(entry: GraphEntry, parts: Parts, roles: Roles, created: int) -> Served:
    flow = flow_of(entry, parts)
    roles.check(entry.name, flow)
    takes: Takes = "inputs" if takes_inputs(flow) else "chat"
    served = Served(entry.name, "graph", flow, "penstock", entry.description, created, takes)
    return replace(served, embeddings=flow if entry.embeddings else None, models=roles.given)


def _embedding_flow(model: Model) -> Flow | None:
    if not model.embeds:
        return None
    flow = Flow(model.name)
    flow.to(EmbeddingStep(model), name="embedding").respond()
    return flow.validate()
