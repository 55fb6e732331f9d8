"""ModelEntry: what was said of a model when it was added."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from graph.compiled.node import Node
from graph.compiled.results import is_generator_function
from graph.errors import InvalidStep, UnknownStep
from graph.models.hosted import HostedModel
from graph.models.llmodel import LLModel, StreamingLLModel
from graph.models.methods import SHARED_EXECUTOR, method_of
from graph.models.model import Model
from graph.models.selector import ModelEndpoint
from graph.step import Step, StepOptions
from graph.written.lookup import find, namespace_of_caller
from prompts.names import nearest

if TYPE_CHECKING:
    from graph.flow import Flow

OPTIONS = (
    *("model_class", "execution_mechanism", "model_artifact", "labels", "inputs", "outputs", "input_path"),
    *("result_path", "model_endpoint_creation_strategy", "shared_model_name", "override"),
)
"""What add_model takes besides the arguments of the class."""
OURS: Mapping[str, type[Model]] = {"LLModel": LLModel, "StreamingLLModel": StreamingLLModel}


class ModelEndpointCreationStrategy(StrEnum):
    """What a monitor shall do with an endpoint that it knows already."""

    INPLACE = "inplace"
    ARCHIVE = "archive"
    OVERWRITE = "overwrite"


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model, or with ``shared_model_name`` a proxy of a shared one, as it was added.

    Attributes:
        name: the endpoint, or the name of the shared model.
        model_class: the class, or a model; None for a proxy.
        execution_mechanism: where it runs.
        model_artifact: what it is made from; of a proxy what it brings to each call.
        shared_model_name: of which shared model it is a proxy; empty for the only one there is.
        input_path: a dotted path into the body: what the model is given.
        result_path: a dotted path: where its result goes in a copy of the body, which then is its result.
        parameters: further arguments of the class.
    """

    name: str
    model_class: type[Model] | Model | None = None
    execution_mechanism: str = "naive"
    model_artifact: Any = None
    shared_model_name: str | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    input_path: tuple[str, ...] = ()
    result_path: tuple[str, ...] = ()
    creation_strategy: str = ModelEndpointCreationStrategy.INPLACE
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Looks at what is told to monitors.

        Raises:
            InvalidStep: when it is nothing that could be told.
        """
        known = [str(strategy) for strategy in ModelEndpointCreationStrategy]
        if self.creation_strategy not in known:
            said = f"model_endpoint_creation_strategy={self.creation_strategy!r} is not known"
            raise InvalidStep(f"model '{self.name}': {said}; write one of {', '.join(known)}")
        if not isinstance(self.labels, Mapping):
            raise InvalidStep(f"model '{self.name}': labels={self.labels!r}; write an object such as {{'team': 'a'}}")
        object.__setattr__(self, "labels", dict(self.labels))

    @property
    def kind(self) -> type[Model]:
        """The class of the model."""
        assert self.model_class is not None  # noqa: S101 - not asked of proxies
        return self.model_class if isinstance(self.model_class, type) else type(self.model_class)

    def node(self, flow: Flow, label: str, artifacts: Mapping[str, Any]) -> Node:
        """The model as the engine calls it; ``label`` is what errors and processes call it.

        Raises:
            InvalidStep: when it cannot be made, or cannot be where it should.
        """
        assert self.model_class is not None  # noqa: S101 - not asked of proxies
        method = method_of(f"model '{label}'", self.model_class, self.execution_mechanism)
        if self.result_path and is_generator_function(method.call):
            raise streams_into(label)
        arguments = {
            "kind": self.model_class,
            "model_name": self.name,
            "mechanism": self.execution_mechanism,
            "model_artifact": self.model_artifact,
            "parameters": dict(self.parameters),
            "artifacts": dict(artifacts),
        }
        options = StepOptions(execution_mechanism=method.mechanism)
        return Node(0, Step(flow, label, HostedModel, arguments, options=options), flow.max_iterations)

    def endpoint(self, step: str, node: Node, shared: ModelEntry | None) -> ModelEndpoint:
        """What selectors and monitors see of it."""
        source = shared or self
        return ModelEndpoint(
            self.name,
            step,
            source.kind,
            "shared_executor" if shared is not None else self.execution_mechanism,
            node.streams,
            shared.name if shared is not None else None,
            self.labels,
            self.inputs or source.inputs,
            self.outputs or source.outputs,
            self.creation_strategy,
        )

    def definition(self) -> dict[str, Any]:
        """The arguments that it was added with, beside its name; those that say nothing are left out."""
        said = {
            "model_class": self.model_class,
            "execution_mechanism": self.execution_mechanism if self.model_class is not None else SHARED_EXECUTOR,
            "shared_model_name": self.shared_model_name,
            "model_artifact": self.model_artifact,
            "labels": dict(self.labels),
            "model_endpoint_creation_strategy": str(self.creation_strategy),
            "inputs": self.inputs,
            "outputs": self.outputs,
            "input_path": ".".join(self.input_path),
            "result_path": ".".join(self.result_path),
        }
        default = {"execution_mechanism": "naive", "model_endpoint_creation_strategy": "inplace"}
        return {name: value for name, value in said.items() if value and value != default.get(name)} | dict(
            self.parameters
        )

    def as_proxy_of(self, shared: ModelEntry) -> ModelEntry:
        """The proxy with the paths of the shared model, where it has none of its own."""
        return replace(
            self, input_path=self.input_path or shared.input_path, result_path=self.result_path or shared.result_path
        )


def streams_into(label: str) -> InvalidStep:
    """What is to be said of a model that streams and has a ``result_path``."""
    return InvalidStep(
        f"model '{label}' streams, so there is no body that its result could go into; put a Collector after "
        "the step, with result_path= there"
    )


def proxy_entry(
    name: str,
    model_artifact: Any,
    shared_model_name: str | None,
    *,
    labels: Mapping[str, Any] | None = None,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    input_path: str | None = None,
    result_path: str | None = None,
    creation_strategy: str = ModelEndpointCreationStrategy.INPLACE,
) -> ModelEntry:
    """The entry of a proxy; what it does not say of paths, inputs and outputs is as the shared model has it."""
    return ModelEntry(
        name,
        model_artifact=model_artifact,
        shared_model_name=shared_model_name or "",
        labels=labels or {},
        inputs=tuple(inputs or ()),
        outputs=tuple(outputs or ()),
        input_path=_path(input_path),
        result_path=_path(result_path),
        creation_strategy=creation_strategy,
    )


def entry(
    name: str,
    model_class: Any,
    execution_mechanism: str,
    model_artifact: Any,
    *,
    parameters: Mapping[str, Any],
    **told: Any,
) -> ModelEntry:
    """The entry of a model that was added; a class may be given by name. What is ``told`` is as of :func:`proxy_entry`.

    Raises:
        InvalidStep, UnknownStep: when there is no such class, or it is no class of models, or an option is mistyped.
    """
    found = _model_class(name, model_class)
    if isinstance(found, Model) and (model_artifact is not None or parameters):
        option = "model_artifact" if model_artifact is not None else next(iter(parameters))
        raise InvalidStep(f"model '{name}' is made already, so {option}= says nothing to it; give its class")
    _check_parameters(name, found, parameters)
    return replace(
        proxy_entry(name, model_artifact, None, **told),
        model_class=found,
        execution_mechanism=execution_mechanism,
        shared_model_name=None,
        parameters=parameters,
    )


def check_mechanism(
    name: str, execution_mechanism: str, shared_model_name: str | None, parameters: Mapping[str, Any]
) -> None:
    """Looks whether an endpoint is a proxy of a shared model, or is none, in all that is said of it.

    Raises:
        InvalidStep: when it is in some of that only.
    """
    if execution_mechanism != SHARED_EXECUTOR:
        if shared_model_name:
            raise InvalidStep(
                f"endpoint '{name}' is no proxy of '{shared_model_name}'; write "
                f"execution_mechanism='{SHARED_EXECUTOR}', or leave shared_model_name= out"
            )
        return
    if not shared_model_name:
        raise InvalidStep(f"endpoint '{name}' shall run where a shared model does; say which by shared_model_name=")
    if parameters:
        option = next(iter(parameters))
        raise InvalidStep(
            f"endpoint '{name}' is a proxy, and {option}= is for the shared model: say it in add_shared_model"
        )


def _model_class(name: str, given: Any) -> type[Model] | Model:
    found = _found(given) if isinstance(given, str) else given
    if isinstance(found, Model) or (isinstance(found, type) and issubclass(found, Model)):
        return found
    raise InvalidStep(f"model '{name}': {found!r} is no model; give a subclass of graph.Model, such as LLModel")


def _check_parameters(name: str, model: type[Model] | Model, parameters: Mapping[str, Any]) -> None:
    """Looks for options that are mistyped: a class that takes any argument would take them for its own."""
    kind = model if isinstance(model, type) else type(model)
    asked = inspect.signature(kind).parameters
    for parameter in parameters:
        if parameter not in asked and (meant := nearest(parameter, OPTIONS)):
            remedy = f"if it is one of the model's, name it among the arguments of {kind.__name__}.__init__"
            raise InvalidStep(f"model '{name}': there is no option '{parameter}'; did you mean '{meant}'? {remedy}")


def _found(reference: str) -> Any:
    """The class of that name: one of the caller's, or of ours."""
    try:
        found = find(reference, namespace_of_caller())
    except UnknownStep:
        if reference not in OURS:
            raise
        return OURS[reference]
    ours = reference in OURS and not (isinstance(found, type) and issubclass(found, Model))
    return OURS[reference] if ours else found


def _path(dotted: str | None) -> tuple[str, ...]:
    return tuple(dotted.split(".")) if dotted else ()
