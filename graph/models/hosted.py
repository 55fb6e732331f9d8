"""HostedModel: a model where it runs, be that here, in a thread, or in a process."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import aclosing, closing
from typing import Any

from graph.compiled.results import is_generator_function
from graph.errors import InvalidStep
from graph.event import Event
from graph.models.methods import PREDICT_ASYNC, method_of
from graph.models.model import Model

ENDPOINT = "endpoint"
"""Where the endpoint that was called stands in the state of the event that a model is given."""


class HostedModel:
    """Makes a model, loads it, and calls the method of it that its mechanism calls. What the engine knows as the step.

    Args:
        kind: a class of models, or a model.
        model_name: what the model is called.
        mechanism: the execution mechanism.
        model_artifact: what it is made from; None where its class needs nothing.
        parameters: the further arguments of its class.
        artifacts: those of proxies, by endpoint.
    """

    full_event = True
    sends_state = False

    def __init__(
        self,
        kind: type[Model] | Model,
        model_name: str,
        *,
        mechanism: str,
        model_artifact: Any,
        parameters: Mapping[str, Any],
        artifacts: Mapping[str, Any],
    ) -> None:
        self.model = _made(kind, model_name, model_artifact, parameters) if isinstance(kind, type) else kind
        method = method_of(f"model '{model_name}'", kind, mechanism)
        self._predict: Callable[..., Any] = getattr(self.model, method.call.__name__)
        self._accepts = _accepted(self._predict)
        self._artifacts = artifacts
        self.do_event: Callable[[Event], Any] = getattr(self, self._form(method.call))
        self.model.load()

    @classmethod
    def described_from(cls, arguments: Mapping[str, Any]) -> tuple[Any, Callable[[Any], Any]]:
        """What there is to know of it without making it: the class, and the method that will be called."""
        method = method_of(f"model '{arguments['model_name']}'", arguments["kind"], arguments["mechanism"])
        return cls, getattr(cls, cls._form(method.call))

    @staticmethod
    def _form(call: Callable[..., Any]) -> str:
        streams, later = is_generator_function(call), call.__name__ == PREDICT_ASYNC
        return ("_stream_async" if later else "_stream") if streams else ("_value_async" if later else "_value")

    def _call(self, event: Event) -> Any:
        given = self.model.given(event.body, self._artifacts.get(event.state.get(ENDPOINT))) | {"event": event}
        return self._predict(event.body, **{name: value for name, value in given.items() if self._accepts(name)})

    def _value(self, event: Event) -> Any:
        return self._call(event)

    async def _value_async(self, event: Event) -> Any:
        return await self._call(event)

    def _stream(self, event: Event) -> Generator[Any, None, None]:
        with closing(self._call(event)) as chunks:
            yield from chunks

    async def _stream_async(self, event: Event) -> AsyncGenerator[Any, None]:
        async with aclosing(self._call(event)) as chunks:
            async for chunk in chunks:
                yield chunk


def _made(kind: type[Model], name: str, model_artifact: Any, parameters: Mapping[str, Any]) -> Model:
    artifact = {} if model_artifact is None else {"model_artifact": model_artifact}
    try:
        inspect.signature(kind).bind(name=name, **artifact, **parameters)
    except TypeError as error:
        raise InvalidStep(f"model '{name}': {kind.__name__} cannot be made: {error}") from error
    return kind(name=name, **artifact, **parameters)


def _accepted(call: Callable[..., Any]) -> Callable[[str], bool]:
    """Whether a method accepts an argument of this name."""
    parameters = inspect.signature(call).parameters
    anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return lambda name: anything or name in parameters
