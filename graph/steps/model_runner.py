"""ModelRunnerStep: several models, of which an event is for all or for some."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Self

from graph.compiled.node import gather
from graph.compiled.paths import get_path
from graph.compiled.results import is_async_function
from graph.errors import DuplicateStep, InvalidSelection, InvalidStep
from graph.event import Event
from graph.models.calling import CallableModel, chunks_of, values
from graph.models.entry import (
    ModelEndpointCreationStrategy,
    ModelEntry,
    check_mechanism,
    entry,
    proxy_entry,
    streams_into,
)
from graph.models.model import Model
from graph.models.selector import ModelEndpoint, ModelRunnerSelector
from graph.step import Step
from graph.written.lookup import find, namespace_of_caller
from llm import ChatChunk, ChatCompletion

SEVERAL_STREAMS = "Streaming is not supported when multiple runnables are selected."


class ModelRunnerStep:
    """Runs models on each event: all of them side by side, or those that its selector selects.

    With one model the body becomes its result; with several ``{endpoint: result}`` of those that ran. A step with a
    model that streams is a streaming step, and when that is selected no other model may be.

    Args:
        name: the name of the step.
        model_runner_selector: a :class:`ModelRunnerSelector`, a class of them, or the name of one.
        model_runner_selector_parameters: arguments for the class.
        model_selector, model_selector_parameters: the same in the older spelling.
        raise_exception: whether a model that fails is an error of the step; else ``{"error": "Type: text"}`` stands for
            its result.

    Raises:
        GraphDefinitionError: when there is no such selector.
    """

    def __init__(
        self,
        name: str = "model_runner",
        model_runner_selector: ModelRunnerSelector | type[ModelRunnerSelector] | str | None = None,
        model_runner_selector_parameters: Mapping[str, Any] | None = None,
        *,
        model_selector: ModelRunnerSelector | type[ModelRunnerSelector] | str | None = None,
        model_selector_parameters: Mapping[str, Any] | None = None,
        raise_exception: bool = True,
    ) -> None:
        if model_runner_selector is not None and model_selector is not None:
            raise InvalidStep(f"step '{name}' has two selectors; write model_runner_selector= only")
        selector = model_selector if model_runner_selector is None else model_runner_selector
        if isinstance(selector, str):
            selector = find(selector, namespace_of_caller())
        parameters = dict(model_runner_selector_parameters or model_selector_parameters or {})
        if parameters and not isinstance(selector, type):
            raise InvalidStep(f"step '{name}': parameters of a selector are for a class; give one, or leave them out")
        self.name = name
        self.raise_exception = raise_exception
        self.model_entries: dict[str, ModelEntry] = {}
        self._selector = selector
        self._selector_parameters = parameters

    def add_model(
        self,
        endpoint_name: str,
        model_class: type[Model] | Model | str = "LLModel",
        execution_mechanism: str = "naive",
        model_artifact: Any = None,
        *,
        labels: Mapping[str, Any] | None = None,
        model_endpoint_creation_strategy: str = ModelEndpointCreationStrategy.INPLACE,
        inputs: Sequence[str] | None = None,
        outputs: Sequence[str] | None = None,
        input_path: str | None = None,
        result_path: str | None = None,
        shared_model_name: str | None = None,
        override: bool = False,
        **model_parameters: Any,
    ) -> Self:
        """Adds a model and returns the step.

        Args:
            endpoint_name: what selectors, results and monitors call it.
            model_class: a subclass of :class:`graph.Model`, the name of one, or a model.
            execution_mechanism: ``naive`` or ``asyncio`` on the loop, ``thread_pool``, ``process_pool``,
                ``dedicated_process``, or ``shared_executor`` with ``shared_model_name``: where that model runs.
            model_artifact: what the model is made from; of a model that is one already nothing is.
            labels, inputs, outputs, model_endpoint_creation_strategy: told to monitors.
            input_path: a dotted path into a dict body: what the model is given; without, the body.
            result_path: a dotted path: its result is a copy of the body with what it gave there.
            override: whether it takes the place of an endpoint of the same name.
            model_parameters: further arguments for the class.

        Raises:
            GraphDefinitionError: when the name is taken, there is no such class of models, or an option says nothing.
        """
        check_mechanism(endpoint_name, execution_mechanism, shared_model_name, model_parameters)
        told: dict[str, Any] = {
            "labels": labels,
            "inputs": inputs,
            "outputs": outputs,
            "input_path": input_path,
            "result_path": result_path,
            "creation_strategy": model_endpoint_creation_strategy,
        }
        if shared_model_name:
            added = proxy_entry(endpoint_name, model_artifact, shared_model_name, **told)
        else:
            added = entry(
                endpoint_name,
                model_class,
                execution_mechanism,
                model_artifact,
                parameters=model_parameters,
                **told,
            )
        return self._add(added, override=override)

    def add_shared_model_proxy(
        self,
        endpoint_name: str,
        model_artifact: Any = None,
        shared_model_name: str | None = None,
        *,
        labels: Mapping[str, Any] | None = None,
        model_endpoint_creation_strategy: str = ModelEndpointCreationStrategy.INPLACE,
        override: bool = False,
    ) -> Self:
        """Adds an endpoint whose calls go to a shared model of the graph, and returns the step.

        Args:
            endpoint_name: what selectors, results and monitors call it.
            model_artifact: what goes with each call: for an LLModel the prompt.
            shared_model_name: which shared model; may be left out where the graph has just one.
            labels, model_endpoint_creation_strategy: told to monitors.
            override: whether it takes the place of an endpoint of the same name.

        Raises:
            DuplicateStep: when the name is taken.
        """
        proxy = proxy_entry(
            endpoint_name,
            model_artifact,
            shared_model_name,
            labels=labels,
            creation_strategy=model_endpoint_creation_strategy,
        )
        return self._add(proxy, override=override)

    def definition(self, step: Step) -> dict[str, Any]:
        """How the step was made, for a document; a proxy names its shared model."""
        said = {
            "model_runner_selector": self._selector,
            "model_runner_selector_parameters": self._selector_parameters,
            "raise_exception": None if self.raise_exception else False,
        }
        models = {}
        for name, added in self.model_entries.items():
            shared = step.flow.shared_models.entry_of(added, step.name).name if added.model_class is None else ""
            models[name] = replace(added, shared_model_name=shared).definition()
        return {
            "class_args": {name: value for name, value in said.items() if value not in (None, {})},
            "models": models,
        }

    def bound_to(self, step: Step) -> BoundRunner:
        """The step with its models, made.

        Raises:
            GraphDefinitionError: for the first model or selector that cannot be.
        """
        if not self.model_entries:
            raise InvalidStep(f"step '{step.name}' has no model; add one with add_model")
        if step.options.execution_mechanism not in (None, "naive", "asyncio"):
            raise InvalidStep(
                f"step '{step.name}': execution_mechanism= is said of each model, in add_model; the step is on the loop"
            )
        models = {name: _callable(step, added) for name, added in self.model_entries.items()}
        return BoundRunner(step, models, self._made_selector(step), raises=self.raise_exception)

    def _add(self, added: ModelEntry, *, override: bool) -> Self:
        if added.name in self.model_entries and not override:
            raise DuplicateStep(f"step '{self.name}' has an endpoint '{added.name}' already; write override=True")
        self.model_entries[added.name] = added
        return self

    def _made_selector(self, step: Step) -> ModelRunnerSelector | None:
        """The selector. A class that asks for ``models`` is given the names of the endpoints."""
        kind, parameters = self._selector, dict(self._selector_parameters)
        if isinstance(kind, type):
            try:
                if "models" in inspect.signature(kind).parameters:
                    parameters.setdefault("models", list(self.model_entries))
                kind = kind(**parameters)
            except TypeError as error:
                raise InvalidStep(f"step '{step.name}': the selector cannot be made: {error}") from error
        if kind is not None and not isinstance(kind, ModelRunnerSelector):
            raise InvalidStep(f"step '{step.name}': {kind!r} is no selector; give a subclass of ModelRunnerSelector")
        for method in ("select", "select_models", "select_outlets"):
            call = getattr(kind, method, None)
            if call is not None and is_async_function(call):
                raise InvalidStep(
                    f"step '{step.name}': {type(kind).__name__}.{method} must be a plain def; what it would await, a "
                    "step before can put into the body"
                )
        return kind


class BoundRunner:
    """A ModelRunnerStep in its flow."""

    full_event = True

    def __init__(
        self, step: Step, models: Mapping[str, CallableModel], selector: ModelRunnerSelector | None, *, raises: bool
    ) -> None:
        self._step = step
        self._models = models
        self._selector = selector
        self._raises = raises
        self._path = tuple(step.options.input_path.split(".")) if step.options.input_path else ()
        streaming = [name for name, model in models.items() if model.node.streams]
        if streaming and len(models) > 1 and not _overrides(selector, "select_models"):
            raise InvalidStep(
                f"step '{step.name}': {SEVERAL_STREAMS} '{streaming[0]}' streams, and all {len(models)} models run; "
                "give a model_runner_selector that selects one, or put the models into steps of their own"
            )
        self.do_event: Callable[[Event], Any] = self._stream if streaming else self._value
        if _overrides(selector, "select_outlets"):
            self.select_outlets = self._outlets

    def gather(self, _body: Any, chunks: list[Any]) -> Any:
        """One body of a stream: of a language model its answer."""
        if chunks and all(isinstance(chunk, ChatChunk) for chunk in chunks):
            completion = ChatCompletion.of(chunks)
            usage = {"usage": completion.usage.to_wire()} if completion.usage is not None else {}
            return {"answer": completion.content, **usage}
        return gather(None, chunks)

    async def _value(self, event: Event) -> Any:
        return await self._values(event, self._selected(event))

    async def _stream(self, event: Event) -> AsyncGenerator[Any, None]:
        selected = self._selected(event)
        streaming = [model for model in selected if model.node.streams]
        if streaming and len(selected) > 1:
            names = ", ".join(model.name for model in selected)
            raise InvalidSelection(f"{SEVERAL_STREAMS} Step '{self._step.name}' selected {names}.")
        if not streaming:
            yield await self._values(event, selected)
            return
        async with aclosing(chunks_of(streaming[0], event, self._body(event), raises=self._raises)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _values(self, event: Event, selected: Sequence[CallableModel]) -> Any:
        results = await values(self._step.name, selected, event, self._body(event), raises=self._raises)
        made = next(iter(results.values())) if results and len(self._models) == 1 else results
        if made is None:
            event.body = None
        return made

    def _body(self, event: Event) -> Any:
        return get_path(event.body, self._path) if self._path else event.body

    def _selected(self, event: Event) -> list[CallableModel]:
        """The models for an event.

        Raises:
            InvalidSelection: when one is not there, or is selected twice, or no models are given but something else.
        """
        if self._selector is None:
            return list(self._models.values())
        selected: Any = self._selector.select_models(event, [model.endpoint for model in self._models.values()])
        if selected is None:
            return list(self._models.values())
        if not isinstance(selected, (str, ModelEndpoint, Iterable)):
            kind = type(selected).__name__
            raise InvalidSelection(f"step '{self._step.name}': its selector gave a {kind}; it gives names of models")
        chosen = [selected] if isinstance(selected, (str, ModelEndpoint)) else list(selected)
        names = [each.name if isinstance(each, ModelEndpoint) else str(each) for each in chosen]
        for name in names:
            if name not in self._models:
                known = ", ".join(self._models)
                raise InvalidSelection(f"step '{self._step.name}' selected the model '{name}'; it has {known}")
        if len(set(names)) < len(names):
            raise InvalidSelection(f"step '{self._step.name}' selected a model twice: {', '.join(names)}")
        return [self._models[name] for name in names]

    def _outlets(self, event: Event) -> Sequence[str] | str:
        assert self._selector is not None  # noqa: S101 - it is the one that overrides select_outlets
        chosen = self._selector.select_outlets(event)
        if chosen is not None:
            return chosen
        return [follower for source, follower in self._step.flow.edges if source == self._step.name]


def _callable(step: Step, added: ModelEntry) -> CallableModel:
    """A model of a step; a proxy calls the shared model of the flow."""
    if added.model_class is not None:
        node = added.node(step.flow, f"{step.name}/{added.name}", {})
        return CallableModel(added.endpoint(step.name, node, None), node, added.input_path, added.result_path)
    shared = step.flow.shared_models.entry_of(added, step.name)
    node = step.flow.shared_models.node_of(shared)
    added = added.as_proxy_of(shared)
    if added.result_path and node.streams:
        raise streams_into(added.name)
    return CallableModel(added.endpoint(step.name, node, shared), node, added.input_path, added.result_path)


def _overrides(selector: ModelRunnerSelector | None, name: str) -> bool:
    return selector is not None and getattr(type(selector), name) is not getattr(ModelRunnerSelector, name)
