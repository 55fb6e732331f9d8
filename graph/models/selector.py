"""ModelRunnerSelector: which models of a ModelRunnerStep an event is for, and where it goes after them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from graph.event import Event


@dataclass(frozen=True, slots=True)
class ModelEndpoint:
    """A model as selectors and monitors see it; the model itself may be in a process.

    Attributes:
        name: the endpoint.
        step: the ModelRunnerStep, or the router, that it is in.
        model_class: the class of the model; of a proxy that of the shared model; None of a route that is any step.
        execution_mechanism: where it runs; ``shared_executor`` of a proxy.
        streams: whether its results are streams.
        shared_model: the shared model that it is a proxy of.
        labels: what its author said of it.
        inputs, outputs: the names of its inputs and outputs, where the author said them.
        creation_strategy: what a monitor shall do with an endpoint that it knows already.
    """

    name: str
    step: str = ""
    model_class: type | None = None
    execution_mechanism: str = "naive"
    streams: bool = False
    shared_model: str | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    creation_strategy: str = "inplace"


Selected: TypeAlias = Sequence[str | ModelEndpoint] | str | ModelEndpoint | None


class ModelRunnerSelector:
    """Override what should be chosen. The constructor is given ``models``, the names of the endpoints, if it asks for
    them."""

    def select_models(self, event: Event, available_models: list[ModelEndpoint]) -> Selected:
        """The models to run, by name or as they are in ``available_models``; None is all of them, ``[]`` none."""
        return None

    def select_outlets(self, event: Event) -> Sequence[str] | str | None:
        """The followers to go to, once the models have run; None is all of them."""
        return None


class ModelSelector(ModelRunnerSelector):
    """The older selector, which selects models only: override :meth:`select`."""

    def select(self, event: Event, available_models: list[ModelEndpoint]) -> Selected:
        """The models to run; see :meth:`ModelRunnerSelector.select_models`."""
        return None

    def select_models(self, event: Event, available_models: list[ModelEndpoint]) -> Selected:
        return self.select(event, available_models)
