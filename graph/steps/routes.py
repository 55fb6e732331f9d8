"""Routes: the children of a router, each a model or any step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from graph.compiled.node import Node
from graph.errors import DuplicateStep, InvalidStep
from graph.flow import Flow
from graph.models.calling import CallableModel
from graph.models.entry import entry
from graph.models.model import Model
from graph.models.selector import ModelEndpoint
from graph.step import Step, StepOptions, Target
from graph.steps.v2_model_server import V2ModelServer
from graph.written.lookup import find, namespace_of_caller


class Routes:
    """What routers have in common: children by name, made when the flow is built.

    Children are given the request, with an empty state; they do not share the state of the run.
    """

    def __init__(self, routes: Mapping[str, Target] | None = None) -> None:
        self._routes: dict[str, tuple[Target, str | None, dict[str, Any]]] = {}
        for name, target in (routes or {}).items():
            self.add_route(name, target)

    def add_route(
        self, key: str, class_name: Target, *, handler: str | None = None, override: bool = False, **options: Any
    ) -> Self:
        """Adds a child and returns the router.

        Args:
            key: its name, in URLs, bodies and results; ``name:version`` for one version of a model.
            class_name: a :class:`V2ModelServer`, a :class:`Model`, or any step: a class, an instance, a function, a
                flow, or a string that names one.
            handler: the method to call instead of ``do_event`` or ``do``.
            override: whether it takes the place of a child of the same name.
            options: of a Model those of :meth:`ModelRunnerStep.add_model`; else those of any step, and arguments.

        Raises:
            GraphDefinitionError: when the name is taken, or there is no such class.
        """
        if key in self._routes and not override:
            raise DuplicateStep(f"there is a route '{key}' already; give it another name, or write override=True")
        target = find(class_name, namespace_of_caller()) if isinstance(class_name, str) else class_name
        self._routes[key] = (target.as_step() if isinstance(target, Flow) else target, handler, options)
        return self

    def definition(self, _step: Step) -> dict[str, Any]:
        """How the router was made, for a document."""
        routes = {
            key: {"class_name": target, "handler": handler, "options": options}
            for key, (target, handler, options) in self._routes.items()
        }
        return {"class_args": self.said(), "routes": routes}

    def said(self) -> dict[str, Any]:
        """The arguments of the router, beside its routes, that are no defaults."""
        return {}

    def made(self, step: Step) -> dict[str, CallableModel]:
        """The children, made for a step.

        Raises:
            GraphDefinitionError: for the first that cannot be, and when there is none.
        """
        if not self._routes:
            raise InvalidStep(f"step '{step.name}' has no route; add one with add_route")
        if step.options.execution_mechanism not in (None, "naive", "asyncio"):
            raise InvalidStep(
                f"step '{step.name}': execution_mechanism= is said of each route, in add_route; the step is on the loop"
            )
        return {key: _made(step, key, *route) for key, route in self._routes.items()}

    def whole(self, step: Step) -> dict[str, CallableModel]:
        """The children of a step that needs whole results of them.

        Raises:
            GraphDefinitionError: like :meth:`made`, and when one of them streams.
        """
        made = self.made(step)
        for key, model in made.items():
            if model.node.streams:
                raise InvalidStep(f"step '{step.name}' needs whole results, and its route '{key}' streams")
        return made


def _made(step: Step, key: str, target: Target, handler: str | None, options: dict[str, Any]) -> CallableModel:
    label = f"{step.name}/{key}"
    if isinstance(target, Model) or (isinstance(target, type) and issubclass(target, Model)):
        return _model(step, key, label, target, options)
    own = {name: options[name] for name in StepOptions.names() & options.keys()}
    arguments = {name: value for name, value in options.items() if name not in own}
    if isinstance(target, type) and issubclass(target, V2ModelServer):
        arguments.setdefault("name", key)
    node = Node(0, Step(step.flow, label, target, arguments, handler, StepOptions(**own)), step.flow.max_iterations)
    kind = target if isinstance(target, type) else type(target)
    endpoint = ModelEndpoint(
        key,
        step.name,
        kind if issubclass(kind, V2ModelServer) else None,
        own.get("execution_mechanism") or "naive",
        node.streams,
    )
    return CallableModel(endpoint, node, node.input_path, node.result_path)


def _model(step: Step, key: str, label: str, target: Any, options: dict[str, Any]) -> CallableModel:
    said = {"execution_mechanism": "naive", "model_artifact": None} | options
    named = ("labels", "inputs", "outputs", "input_path", "result_path")
    added = entry(
        key,
        target,
        said.pop("execution_mechanism"),
        said.pop("model_artifact"),
        **{name: said.pop(name) for name in named if name in said},
        parameters=said,
    )
    node = added.node(step.flow, label, {})
    return CallableModel(added.endpoint(step.name, node, None), node, added.input_path, added.result_path)
