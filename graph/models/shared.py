"""SharedModels: the models of a flow that several endpoints use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from graph.compiled.node import Node
from graph.errors import DuplicateStep, UnknownStep
from graph.models.entry import ModelEntry

if TYPE_CHECKING:
    from graph.flow import Flow


class SharedModels:
    """The shared models of a flow. Each is made once, when the first step that has a proxy of it is built.

    All proxies of the flow must be known by then, as the artifacts that they bring go where the model runs.
    """

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._entries: dict[str, ModelEntry] = {}
        self._nodes: dict[str, Node] = {}

    def add(self, entry: ModelEntry, *, override: bool) -> None:
        """Adds a model.

        Raises:
            DuplicateStep: when there is one of that name, unless it shall be replaced.
        """
        if entry.name in self._entries and not override:
            raise DuplicateStep(
                f"flow '{self._flow.name}' has a shared model '{entry.name}' already; write override=True"
            )
        self._entries[entry.name] = entry

    def definitions(self) -> dict[str, Any]:
        """What was said of each when it was added."""
        return {name: entry.definition() for name, entry in self._entries.items()}

    def entry_of(self, proxy: ModelEntry, step: str) -> ModelEntry:
        """The shared model that a proxy stands for: the one that it names, or the only one.

        Raises:
            UnknownStep: when there is none such.
        """
        name = proxy.shared_model_name
        if not name and len(self._entries) == 1:
            return next(iter(self._entries.values()))
        if name not in self._entries:
            known = ", ".join(self._entries) or "none; add one with graph.add_shared_model"
            wanted = f"the shared model '{name}'" if name else "a shared model, by shared_model_name="
            raise UnknownStep(f"endpoint '{proxy.name}' of step '{step}' needs {wanted}; the graph has {known}")
        return self._entries[name]

    def node_of(self, entry: ModelEntry) -> Node:
        """The shared model as the engine calls it."""
        if entry.name not in self._nodes:
            label = f"shared/{entry.name}"
            self._nodes[entry.name] = entry.node(self._flow, label, dict(self._artifacts(entry)))
        return self._nodes[entry.name]

    def _artifacts(self, entry: ModelEntry) -> Iterator[tuple[str, Any]]:
        """What the proxies bring, by ``step/endpoint``."""
        for step in self._flow.steps.values():
            entries: Mapping[str, ModelEntry] = getattr(step.target, "model_entries", None) or {}
            for proxy in entries.values():
                if proxy.model_class is None and self.entry_of(proxy, step.name) is entry:
                    yield f"{step.name}/{proxy.name}", proxy.model_artifact
