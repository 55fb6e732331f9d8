"""V2ModelServer: a model class with the hooks of the V2 protocol, as a step or a route of a router."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import CoroutineType
from typing import Any, Self

from graph.errors import InvalidInput, InvalidStep, UnknownRoute
from graph.event import Event
from graph.models.calling import ModelCall
from graph.models.selector import ModelEndpoint
from graph.models.v2 import INFER, Address, as_array, as_lists, parsed, response_of
from graph.step import Step

NO_INPUTS = 'Expected key "inputs" in request body'


class V2ModelServer:
    """Override ``load`` and ``predict``; the other hooks if need be.

    A request ``{"inputs": [...]}`` goes through ``preprocess``, ``validate``, ``predict`` (or ``explain``) and
    ``postprocess``; the answer is ``{"id", "model_name", "outputs", "timestamp"}``. What ``logged_results`` makes of
    both is told to those who watch (of a model in a process nothing is).

    The operation is the end of the path, ``<model-url>/xx``, or ``operation`` in the body, or else ``infer``. There are
    ``infer`` and ``predict``, the same with ``_dict`` for inputs that are objects, ``explain``, ``ready``, and every
    method ``op_xx(event)`` of the class, whose result is the answer. A GET of the model itself is its metadata.

    Args:
        context: what the flow gives to whoever asks for it.
        name: the model, in answers; by default the name of the step or route.
        model_path: where ``load`` finds what it needs.
        model: the model, where it is there already; then ``load`` is not called.
        version: told in answers.
        parameters: see :meth:`get_param`.

    Attributes:
        inputs, outputs: what a class may declare of its tensors, each ``{"name", "datatype", "shape"}`` with -1 for any
            size: told in its metadata, and what requests in tensors are held to.
        as_arrays: whether ``request["inputs"]`` is a NumPy array (of several tensors arrays by name) instead of lists
            (of several tensors a list of objects).
    """

    inputs: Sequence[Mapping[str, Any]] = ()
    outputs: Sequence[Mapping[str, Any]] = ()
    as_arrays = False

    def __init__(
        self,
        context: Any = None,
        name: str | None = None,
        model_path: str | None = None,
        model: Any = None,
        version: str = "",
        **parameters: Any,
    ) -> None:
        self.context = context
        self.name = name or ""
        self.model_path = model_path
        self.model = model
        self.version = version
        self.ready = False
        self._parameters = parameters

    def get_param(self, key: str, default: Any = None) -> Any:
        """A further argument that the model was added with."""
        return self._parameters.get(key, default)

    # --- the hooks

    def load(self) -> None:
        """Reads the model. Called once, where the step runs."""

    def preprocess(self, request: dict[str, Any], operation: str) -> dict[str, Any]:
        """The request before it is validated."""
        return request

    def validate(self, request: dict[str, Any], operation: str) -> dict[str, Any]:
        """The request, checked.

        Raises:
            InvalidInput: when there are no inputs.
        """
        if "inputs" not in request:
            raise InvalidInput(NO_INPUTS)
        if not isinstance(request["inputs"], list) and not self.as_arrays:
            raise InvalidInput('Expected key "inputs" to be a list')
        return request

    def predict(self, request: dict[str, Any]) -> Any:
        """One output for each of ``request["inputs"]``; may be an ``async def``."""
        raise NotImplementedError(f"{type(self).__name__} has no predict")

    def explain(self, request: dict[str, Any]) -> Any:
        """An explanation for each of ``request["inputs"]``; may be an ``async def``."""
        raise NotImplementedError(f"{type(self).__name__} has no explain")

    def postprocess(self, response: dict[str, Any]) -> dict[str, Any]:
        """The answer before it leaves."""
        return response

    def logged_results(
        self, request: dict[str, Any], response: dict[str, Any], op: str
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What those who watch are told of the request and of its answer."""
        return request, response

    # --- the step

    def bound_to(self, step: Step) -> Self:
        """The model, loaded.

        Raises:
            InvalidStep: when its class does not predict.
        """
        if type(self).predict is V2ModelServer.predict:
            raise InvalidStep(f"step '{step.name}': {type(self).__name__} has no predict(request); write one")
        self.name = self.name or step.name.rpartition("/")[2]
        if not self.ready:
            if self.model is None:
                self.load()
            self.ready = True
        return self

    def do_event(self, event: Event) -> Any:
        """The answer to an event."""
        body = event.body if event.method == "GET" else parsed(event.body)
        operation = Address.of(event.path).operation or (body or {}).get("operation", "")
        if event.method == "GET" and operation in ("", "ready"):
            return {"name": self.name, "ready": self.ready} if operation else self._metadata()
        operation = operation or "infer"
        if operation in INFER or (operation == "explain" and type(self).explain is not V2ModelServer.explain):
            return self._infer(event, body, operation)
        own = getattr(self, f"op_{operation}", None) if operation.isidentifier() else None
        if own is None:
            raise UnknownRoute(f"model '{self.name}' has no operation '{operation}'; it has {', '.join(self._known())}")
        return own(event)

    def _infer(self, event: Event, body: dict[str, Any], operation: str) -> Any:
        begun = time.perf_counter()
        request = self.preprocess(body, operation)
        request.setdefault("id", event.id)
        request = self.validate(request, operation)
        if operation.endswith("_dict"):
            request = {**request, "inputs": as_lists(request["inputs"])}
        if self.as_arrays and isinstance(request["inputs"], list):
            request = {**request, "inputs": as_array(request["inputs"])}
        outputs = self.explain(request) if operation == "explain" else self.predict(request)
        if isinstance(outputs, CoroutineType):
            return self._later(event, request, outputs, operation, begun)
        return self._answer(event, request, outputs, operation, begun)

    async def _later(
        self, event: Event, request: dict[str, Any], outputs: Any, operation: str, begun: float
    ) -> dict[str, Any]:
        return self._answer(event, request, await outputs, operation, begun)

    def _answer(
        self, event: Event, request: dict[str, Any], outputs: Any, operation: str, begun: float
    ) -> dict[str, Any]:
        made = response_of(request, self.name, self.version, outputs, event.now())
        response = self.postprocess(made)
        asked, answered = self.logged_results(request, response, operation)
        if event.run is not None and event.run.hooks.after_model:
            endpoint = ModelEndpoint(self.name, event.at, type(self))
            call = ModelCall(endpoint, asked, answered, None, time.perf_counter() - begun)
            for hook in event.run.hooks.after_model:
                hook(event.run, event, call)
        return response

    def _metadata(self) -> dict[str, Any]:
        return {"name": self.name, "version": self.version, "inputs": [*self.inputs], "outputs": [*self.outputs]}

    def _known(self) -> list[str]:
        explains = ["explain"] if type(self).explain is not V2ModelServer.explain else []
        own = [name.removeprefix("op_") for name in dir(self) if name.startswith("op_")]
        return [*INFER, *explains, "ready", *own]
