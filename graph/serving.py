"""MLRun's way to begin: a project makes a function, which has a topology. It is the same Flow behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, overload

from graph.errors import InvalidStep
from graph.flow import Flow
from graph.mock_server import MockServer
from graph.step import Target
from graph.written.lookup import find, namespace_of_caller


@dataclass(slots=True)
class FunctionSpec:
    """What a function is made of."""

    graph: Flow


@dataclass(frozen=True, slots=True)
class AsyncSpec:
    """That requests are taken while others are answered, as all of ours are; see :meth:`ServingFunction.with_http`."""


@dataclass(slots=True)
class ServingFunction:
    """A serving function: ``set_topology`` gives the graph to build, ``to_mock_server`` runs it here."""

    name: str = "serving"
    spec: FunctionSpec = field(init=False)
    _router: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.spec = FunctionSpec(Flow(self.name))

    @overload
    def set_topology(self, topology: Literal["flow"] = ..., engine: str = ..., **options: Any) -> Flow: ...

    @overload
    def set_topology(self, topology: str, engine: str = ..., **options: Any) -> Any: ...

    def set_topology(
        self,
        topology: str = "flow",
        engine: str = "async",
        *,
        class_name: Target | None = None,
        allow_cyclic: bool = False,
        max_iterations: int = 100,
        **options: Any,
    ) -> Any:
        """The graph of this function, empty; ``options`` are those of :class:`Flow`.

        The topology ``router`` is a graph of one step: the router ``class_name``, by default a ModelRouter, made with
        ``options``. It is returned, and has ``add_route``; the graph is ``spec.graph``.

        Raises:
            InvalidStep: for another topology or engine than the ones there are.
        """
        if topology not in ("flow", "router"):
            raise InvalidStep(f"topology '{topology}' is not known; write 'flow' or 'router'")
        if engine != "async":
            raise InvalidStep(f"engine '{engine}' is not known: there is one engine, and it is async")
        if topology == "router":
            return self._set_router(class_name or "graph.ModelRouter", options)
        if class_name is not None:
            raise InvalidStep("a flow has no class_name; add its steps with graph.to(...), or write 'router'")
        self._router = None
        self.spec.graph = Flow(self.name, allow_cyclic=allow_cyclic, max_iterations=max_iterations, **options)
        return self.spec.graph

    def add_model(
        self, key: str, model_path: str | None = None, class_name: Target | None = None, **options: Any
    ) -> Any:
        """Adds a model to the router of this function, which is a ModelRouter if no topology was set; returns it.

        Raises:
            InvalidStep: when no class is given, or the function has a flow.
        """
        if class_name is None:
            raise InvalidStep(f"model '{key}' needs class_name=, a subclass of V2ModelServer or Model")
        if self._router is None and self.spec.graph.steps:
            raise InvalidStep("this function has a flow; add the model to a router in it, with add_route")
        router = self._router or self._set_router("graph.ModelRouter", {})
        path = {} if model_path is None else {"model_path": model_path}
        return router.add_route(key, class_name, **path, **options)

    def with_http(self, *, async_spec: AsyncSpec | None = None) -> Self:
        """Itself: requests are taken while others are answered, with an ``async_spec`` and without."""
        return self

    def set_streaming(self, *, enabled: bool = True) -> Self:
        """Itself: a graph that ends in a stream is streamed.

        Raises:
            InvalidStep: when it shall not be.
        """
        if not enabled:
            raise InvalidStep("a graph that ends in a stream is streamed; put a Collector before its responder")
        return self

    def _set_router(self, class_name: Target, options: dict[str, Any]) -> Any:
        found = find(class_name, namespace_of_caller()) if isinstance(class_name, str) else class_name
        router = found(**options) if isinstance(found, type) else found
        if not hasattr(router, "add_route"):
            raise InvalidStep(f"{found!r} is no router; give ModelRouter, VotingEnsemble or ParallelRun")
        self._router = router
        self.spec.graph = Flow(self.name)
        self.spec.graph.to(router, name=self.name).respond()
        return router

    def to_mock_server(self) -> MockServer:
        """The function in this process, for tests."""
        return self.spec.graph.to_mock_server()


@dataclass(frozen=True, slots=True)
class Project:
    """MLRun's project: what makes serving functions."""

    name: str = "default"

    def set_function(
        self,
        name: str = "serving",
        kind: str = "serving",
        *,
        func: str | None = None,
        tag: str | None = None,
        image: str | None = None,
        requirements: Sequence[str] | None = None,
    ) -> ServingFunction:
        """A serving function, empty.

        Of what would make it in a cluster (``func``, ``tag``, ``image``, ``requirements``) nothing is needed here: it
        is made in this process, and names of classes are names in the module that builds the graph.

        Raises:
            InvalidStep: for another kind of function.
        """
        if kind != "serving":
            raise InvalidStep(f"function '{name}': kind '{kind}' is not known; write 'serving'")
        return ServingFunction(name)
