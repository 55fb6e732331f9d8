"""Model: what a ModelRunnerStep runs."""

from __future__ import annotations

from typing import Any


class Model:
    """The base of models for a :class:`graph.ModelRunnerStep`. Override ``predict``, ``predict_async`` or both.

    ``predict(body)`` is a plain def and ``predict_async(body)`` an async one; which of them is called is the execution
    mechanism's business (see :data:`graph.models.methods.CALLED`). One that is a generator streams: each value that it
    yields is a chunk. Of a batch the body is a list of bodies. Either method is given more if it asks for it by name:
    ``event``, the request that the body came with; ``model_artifact``, that of the proxy that was called.

    A model that runs in a process is made and loaded there, and never here.

    Args:
        name: the endpoint that the model was added as; of a shared model the name of that.
        model_artifact: what the model is made from: a path, or anything else that its class understands.
        parameters: the further arguments of ``add_model``.
    """

    def __init__(self, name: str, model_artifact: Any = None, **parameters: Any) -> None:
        self.name = name
        self.model_artifact = model_artifact
        self.parameters = parameters

    def load(self) -> None:
        """Makes the model ready. Called once, where it runs, before its first call."""

    def predict(self, body: Any) -> Any:
        """The result for a body."""
        raise NotImplementedError(f"{type(self).__name__} has no predict")

    def predict_async(self, body: Any) -> Any:
        """The result for a body; override it with an ``async def``."""
        raise NotImplementedError(f"{type(self).__name__} has no predict_async")

    def given(self, body: Any, model_artifact: Any) -> dict[str, Any]:
        """What ``predict`` may ask for by name besides ``event``; ``model_artifact`` is that of the proxy, or None."""
        return {"model_artifact": model_artifact}
