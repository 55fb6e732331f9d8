"""Catalog: everything that is served under a model name. One upstream model is a graph of one step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import yaml

from gateway.config import GraphEntry, ModelEntry, Settings
from gateway.config_faults import InvalidSettings
from gateway.config_fields import Section
from gateway.config_providers import Provider
from gateway.deployed import Deployed, OwnModel, Served, Takes, takes_inputs
from gateway.edge.keys import Principal
from gateway.errors import NotAChatModel
from gateway.guarding import Guards
from gateway.policies import guards_of
from gateway.routing.building import models_of
from gateway.routing.routed import RoutedProvider
from gateway.telemetry.logs import logger
from gateway.telemetry.outgoing import WatchedTransport
from gateway.toolsets import toolset_of
from graph import Flow, GraphError
from graph.parts import Parts
from graph.steps.embedding import EmbeddingStep
from graph.steps.responder import ResponderStep
from graph.sub_flow import SubFlow
from graph.toolset import Toolset
from llm import LLModel, Model, ModelProvider, UnknownModel
from llm.http1.transport import HttpTransport
from llm.providers.anthropic import AnthropicProvider
from llm.providers.openai import OpenAIProvider
from llm.transport import Timeouts
from prompts import InvalidPrompt, PromptError, PromptStore


class Roles(dict[str, Model]):
    """The models of a graph's roles, and which roles the graph asked for while it was built."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        super().__init__(models)
        self._asked: list[str] = []
        self._given: list[Model] = []

    def get(self, role: str, default: Any = None) -> Any:
        """The model of a role."""
        self._asked.append(role)
        model = super().get(role, default)
        self._given.append(model)
        return model

    @property
    def given(self) -> tuple[Model, ...]:
        """The models that the graph was given, each once."""
        return tuple({id(model): model for model in self._given}.values())

    def check(self, graph: str, flow: Flow) -> None:
        """Looks whether the graph has asked for every role that was given a model, and can hold its cap on money.

        Raises:
            InvalidSettings: when it has not, the message names the roles that it has; or when it cannot, as one of its
                models has no price.
        """
        for role in self:
            if role not in self._asked:
                known = ", ".join(dict.fromkeys(self._asked)) or "none"
                raise InvalidSettings(f"graph '{graph}': models: it has no role '{role}'; it has: {known}")
        unpriced = next((model.name for model in self._given if model.price is None), None)
        if unpriced is not None and (cap := _cap_on_money(flow)) is not None:
            raise InvalidSettings(
                f"graph '{graph}': a run may cost ${cap}, and what model '{unpriced}' costs is not known; give it a "
                "price under models, such as {input: 0.15, output: 0.6}, or {input: 0, output: 0} if it is free"
            )


def _cap_on_money(flow: Flow) -> float | None:
    """The cap on money of a flow, or of one inside it."""
    inside = (_cap_on_money(step.target.flow) for step in flow.steps.values() if isinstance(step.target, SubFlow))
    return flow.max_usd if flow.max_usd is not None else next((cap for cap in inside if cap is not None), None)


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
        prompts = _built("prompts", _prompts, settings)
        entries: dict[tuple[str, str], Section] = {("provider", entry.name): entry for entry in settings.providers}
        entries |= {("tools", entry.name): entry for entry in settings.tools}
        same = before.made_of(entries) if before is not None else {}
        providers = {
            entry.name: same.get(("provider", entry.name)) or _built(f"provider '{entry.name}'", _provider, entry)
            for entry in settings.providers
        }
        rows = [entry for entry in settings.models if entry.class_name is None]
        models, routed = models_of(rows, providers)
        toolsets = {
            entry.name: same.get(("tools", entry.name)) or _built(f"tools '{entry.name}'", toolset_of, entry)
            for entry in settings.tools
        }
        created = int(time.time())
        guards = guards_of(settings, models)
        served: dict[str, Deployed] = {}
        for entry in settings.models:
            if entry.class_name is None:
                row = _served_model(entry, models[entry.name], created)
                served[entry.name] = Deployed.of(_under(guards, row, entry.guardrails))
            else:
                served.setdefault(entry.name, Deployed({})).add(OwnModel(entry, created))
        for graph in settings.graphs:
            roles = Roles({role: models[name] for role, name in graph.models.items()})
            parts = Parts(models[settings.main_model], roles, prompts, toolsets)
            flow = _built(f"graph '{graph.name}'", _flow, graph, parts)
            roles.check(graph.name, flow)
            takes: Takes = "inputs" if takes_inputs(flow) else "chat"
            row = Served(graph.name, "graph", flow, "penstock", graph.description, created, takes)
            row = replace(row, embeddings=flow if graph.embeddings else None, models=roles.given)
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
            UnknownModel: when nothing does, or not to this caller.
        """
        if name not in self._deployed or not principal.may_use(name):
            raise UnknownModel(name)
        return self._deployed[name]

    def __iter__(self) -> Iterator[Served]:
        return (served for deployed in self._deployed.values() for served in deployed.versions.values())


def _built(what: str, build: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return build(*arguments)
    except (GraphError, PromptError, ValueError, TypeError, ImportError, AttributeError) as error:
        raise InvalidSettings(f"{what}: {error}") from error


def _under(guards: Guards, served: Served, names: tuple[str, ...]) -> Served:
    """What is served under policies: nothing passes as bytes where one of them looks at answers."""
    passes = served.passes and guards.passes(names)
    return replace(served, guards=guards, guardrails=names, passes=passes)


def _prompts(settings: Settings) -> PromptStore:
    """The prompts, which say in the log when others come into force, and when they are refused."""
    log = logger(settings.secrets)

    def report(fault: InvalidPrompt | None) -> None:
        if fault is None:
            log.info("prompts_reloaded")
        else:
            log.warning("prompts_refused", because=str(fault), in_force="those before")

    return PromptStore(settings.prompts.path, report=report)


def _provider(entry: Provider) -> ModelProvider:
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


def _served_model(entry: ModelEntry, model: Model, created: int) -> Served:
    flow = Flow(entry.name)
    flow.to(ResponderStep(model), name="responder").respond()
    description = entry.description or getattr(model.provider, "description", "")
    owners = {row.provider for row in entry.behind}
    owner = owners.pop() if len(owners) == 1 else "penstock"
    served = Served(entry.name, "model", flow.validate(), owner, description, created)
    passes = getattr(model.provider, "passes", False) and not model.checks
    return replace(served, model=model, models=(model,), embeddings=_embedding_flow(model), passes=passes)


def _embedding_flow(model: Model) -> Flow | None:
    if not model.embeds:
        return None
    flow = Flow(model.name)
    flow.to(EmbeddingStep(model), name="embedding").respond()
    return flow.validate()


def _flow(entry: GraphEntry, parts: Parts) -> Flow:
    """The flow that an operator's ``module:function`` builds, or that a file describes."""
    if entry.file is not None:
        return _flow_of_file(entry.file, parts)
    module, _, name = str(entry.build).partition(":")
    build = getattr(import_module(module), name)
    flow = build(parts) if signature(build).parameters else build()
    if not isinstance(flow, Flow):
        raise TypeError(f"{entry.build} returned a {type(flow).__name__}, not a Flow")
    return flow.validate()


def _flow_of_file(path: Path, parts: Parts) -> Flow:
    """The flow in a YAML file; ``{$llm: role}``, ``{$model: role}`` and ``{$tools: name}`` stand for parts."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise TypeError(f"{path}: the file holds no graph; it starts with 'name:' and 'steps:'")
    resolvers = {"$llm": _llm_of(parts), "$model": parts.model, "$tools": parts.tools}
    return Flow.from_dict({"name": path.stem, **document}, resolvers).validate()


def _llm_of(parts: Parts) -> Callable[[Any], LLModel]:
    """``{$llm: role}``, or ``{$llm: {role: …, prompt: …}}``."""
    return lambda named: parts.llm(**named) if isinstance(named, dict) else parts.llm(named)
