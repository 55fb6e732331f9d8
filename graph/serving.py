"""MLRun's way to begin: a function that has a topology. It is the same Flow behind it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from graph.errors import InvalidStep
from graph.flow import Flow
from graph.mock_server import MockServer


@dataclass(slots=True)
class FunctionSpec:
    """What a function is made of."""

    graph: Flow


@dataclass(slots=True)
class ServingFunction:
    """A serving function: ``set_topology`` gives the graph to build, ``to_mock_server`` runs it here."""

    name: str = "serving"
    spec: FunctionSpec = field(init=False)

    def __post_init__(self) -> None:
        self.spec = FunctionSpec(Flow(self.name))

    def set_topology(
        self,
        topology: str = "flow",
        engine: str = "async",
        *,
        allow_cyclic: bool = False,
        max_iterations: int = 100,
        **options: Any,
    ) -> Flow:
        """The graph of this function, empty; ``options`` are those of :class:`Flow`.

        Raises:
            InvalidStep: for another topology or engine than the ones there are.
        """
        if topology != "flow":
            raise InvalidStep(f"topology '{topology}' is not known; write 'flow'")
        if engine != "async":
            raise InvalidStep(f"engine '{engine}' is not known: there is one engine, and it is async")
        self.spec.graph = Flow(self.name, allow_cyclic=allow_cyclic, max_iterations=max_iterations, **options)
        return self.spec.graph

    def to_mock_server(self) -> MockServer:
        """The function in this process, for tests."""
        return self.spec.graph.to_mock_server()
