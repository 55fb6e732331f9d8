"""PlainModelServer: a class that knows nothing of us but has a predict, served by the V2 protocol."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from graph.steps.v2_model_server import V2ModelServer


class PlainModelServer(V2ModelServer):
    """Serves an object of any class with ``predict(inputs)``; ``load()`` or ``load(path)`` and ``explain(inputs)`` are
    its choice. Any of them but ``load`` may be an ``async def``.

    Its constructor is given what it asks for by name: ``name``, ``path`` (or ``model_path``, ``model_artifact``),
    ``version`` and the parameters.
    """

    @classmethod
    def of(cls, kind: type, name: str, path: str | None, version: str, parameters: Mapping[str, Any]) -> V2ModelServer:
        """The server of an object of a class, not loaded yet.

        Raises:
            TypeError: when the class has no predict, or cannot be made of that.
        """
        if not callable(getattr(kind, "predict", None)):
            raise TypeError(f"{kind.__name__} has no predict(inputs); write one")
        given = {"name": name, "version": version, "path": path, "model_path": path, "model_artifact": path}
        wanted = _asked_for(kind)
        own = kind(**parameters, **{key: value for key, value in given.items() if key in wanted})
        server = ExplainingModelServer if callable(getattr(kind, "explain", None)) else cls
        return server(name=name, model_path=path, version=version, own=own)

    def __init__(self, own: Any = None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.own = own
        for declared in ("inputs", "outputs", "as_arrays"):
            setattr(self, declared, getattr(own, declared, getattr(self, declared)))

    def load(self) -> None:
        """Lets the object load itself."""
        load = getattr(self.own, "load", None)
        if callable(load):
            load(*([self.model_path] if _asked_for(load) else []))
        self.model = self.own

    def predict(self, request: dict[str, Any]) -> Any:
        """What the object predicts for the inputs."""
        return self.own.predict(request["inputs"])


class ExplainingModelServer(PlainModelServer):
    """The same for a class that explains too."""

    def explain(self, request: dict[str, Any]) -> Any:
        """How the object explains the inputs."""
        return self.own.explain(request["inputs"])


def _asked_for(call: Callable[..., Any]) -> set[str]:
    """The names of the arguments that something takes one by one."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {name for name, taken in inspect.signature(call).parameters.items() if taken.kind not in kinds}
