"""CallableModel: a model, or a child of a router, as a step calls it: with its paths, and its monitors told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from graph.compiled.node import Node
from graph.compiled.paths import get_path, set_path
from graph.compiled.results import STREAMS, as_stream, settled
from graph.errors import LimitExceeded, ModelRunnerError, ReplayDiffers, RunError
from graph.event import Event
from graph.models.blocking import LOOP
from graph.models.hosted import ENDPOINT
from graph.models.selector import ModelEndpoint
from graph.models.v2 import PREFIX
from graph.processes.stand_in import StandIn
from graph.running.copies import copied

NEVER_KEPT = (LimitExceeded, ReplayDiffers)
"""Errors that end the run, and are of no model."""


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call of a model, for those who monitor.

    Attributes:
        endpoint: which model.
        body: what it was given.
        result: what it gave; of a stream the list of its chunks; None where it failed.
        error: what it raised; its client leaving is one too (a CancelledError, of a stream a GeneratorExit).
        seconds: how long it took.
    """

    endpoint: ModelEndpoint
    body: Any
    result: Any
    error: BaseException | None
    seconds: float


@dataclass(frozen=True, slots=True)
class CallableModel:
    """A model, or a child of a router, as a step calls it."""

    endpoint: ModelEndpoint
    node: Node
    input_path: tuple[str, ...] = ()
    result_path: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What it is called."""
        return self.endpoint.name

    async def value(self, event: Event, body: Any, operation: str | None = None) -> Any:
        """Its result for a body; with an operation it is asked as if by the URL of that. It raises what the model
        raises."""
        asked = self._asked(event, _taken(body, self.input_path), operation)
        begun = time.perf_counter()
        result: Any = None
        failed: BaseException | None = None
        try:
            result = await self._made(asked)
            if isinstance(result, STREAMS):
                await as_stream(result).aclose()
                raise RunError(f"model '{self.name}' returned a stream; write it with yield, so that it is known")
        except BaseException as error:
            failed = error
            raise
        finally:
            self._tell(event, asked.body, result, failed, begun)
        return _placed(body, self.result_path, result)

    async def stream(self, event: Event, body: Any, operation: str | None = None) -> AsyncGenerator[Any, None]:
        """Its chunks for a body."""
        asked = self._asked(event, _taken(body, self.input_path), operation)
        begun = time.perf_counter()
        failed: BaseException | None = None
        watched = _watched(event)
        said: list[Any] = []
        try:
            async with aclosing(self._chunks(asked)) as chunks:
                async for chunk in chunks:
                    if watched:
                        said.append(chunk)
                    yield chunk
        except BaseException as error:
            failed = error
            raise
        finally:
            self._tell(event, asked.body, None if failed else said, failed, begun)

    def _asked(self, event: Event, body: Any, operation: str | None) -> Event:
        """The event that the model is given: the request, without the state of the run."""
        LOOP.set(asyncio.get_running_loop())
        asked = Event(
            body,
            id=event.id,
            path=event.path if operation is None else f"{PREFIX}/{self.name}/{operation}",
            method=event.method,
            headers=event.headers,
            caller=event.caller,
        )
        asked.at, asked.run, asked.tape, asked.meter = event.at, event.run, event.tape, event.meter
        asked.state = {ENDPOINT: f"{self.endpoint.step}/{self.name}"}
        return asked

    def _given(self, asked: Event) -> Any:
        return asked if self.node.full_event else asked.body

    async def _made(self, asked: Event) -> Any:
        tape = asked.tape
        if tape is not None and self._outside:
            made = await tape.value(
                asked.at, [self.name, asked.body], lambda: settled(self.node.call(self._given(asked)))
            )
        else:
            made = await settled(self.node.call(self._given(asked)))
        if made is None and self.node.full_event and self.endpoint.model_class is None:
            return asked.body
        return made.body if isinstance(made, Event) else made

    def _chunks(self, asked: Event) -> AsyncGenerator[Any, None]:
        tape = asked.tape
        if tape is not None and self._outside:
            return tape.stream(asked.at, [self.name, asked.body], lambda: as_stream(self.node.call(self._given(asked))))
        return as_stream(self.node.call(self._given(asked)))

    @property
    def _outside(self) -> bool:
        """Whether what it makes goes over a tape as a whole: in a process, none is there."""
        return isinstance(self.node.instance, StandIn) or getattr(self.endpoint.model_class, "outside", False)

    def _tell(self, event: Event, body: Any, result: Any, error: BaseException | None, begun: float) -> None:
        tells_itself = error is None and hasattr(self.node.instance, "logged_results")
        if _watched(event) and event.run is not None and not tells_itself:
            call = ModelCall(self.endpoint, body, result, error, time.perf_counter() - begun)
            for hook in event.run.hooks.after_model:
                hook(event.run, event, call)


async def outcomes(
    models: Sequence[CallableModel], event: Event, body: Any, operation: str | None = None
) -> tuple[dict[str, Any], dict[str, Exception]]:
    """The results of models that are called side by side, and the errors of those that failed, by name. Each has a copy
    of the body, if there are several.

    Raises:
        LimitExceeded: when a cap of the run was reached.
    """
    if len(models) == 1:
        made = [await _tried(models[0], event, body, operation)]
    else:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_tried(model, event, copied(body), operation)) for model in models]
        made = [task.result() for task in tasks]
    results, errors = {}, {}
    for model, outcome in zip(models, made, strict=True):
        if isinstance(outcome, _Failed):
            errors[model.name] = outcome.error
        else:
            results[model.name] = outcome
    for error in errors.values():
        if isinstance(error, NEVER_KEPT):
            raise error
    return results, errors


async def values(
    step: str, models: Sequence[CallableModel], event: Event, body: Any, *, raises: bool
) -> dict[str, Any]:
    """The results of models that are called side by side, by name.

    Raises:
        ModelRunnerError: with the error of each that failed, if ``raises``; else ``{"error": …}`` is its result.
    """
    results, errors = await outcomes(models, event, body)
    if errors and raises:
        raise failed(step, errors)
    return {model.name: told(errors[model.name]) if model.name in errors else results[model.name] for model in models}


async def chunks_of(model: CallableModel, event: Event, body: Any, *, raises: bool) -> AsyncGenerator[Any, None]:
    """The chunks of a model.

    Raises:
        ModelRunnerError: with its error, if ``raises``; else a last chunk ``{"error": …}`` tells it.
    """
    try:
        async with aclosing(model.stream(event, body)) as chunks:
            async for chunk in chunks:
                yield chunk
    except NEVER_KEPT:
        raise
    except Exception as error:
        if raises:
            raise failed(model.endpoint.step, {model.name: error}) from error
        yield told(error)


@dataclass(frozen=True, slots=True)
class _Failed:
    """What stands for the result of a model that failed."""

    error: Exception


async def _tried(model: CallableModel, event: Event, body: Any, operation: str | None) -> Any:
    try:
        return await model.value(event, body, operation)
    except Exception as error:
        return _Failed(error)


def failed(step: str, errors: Mapping[str, Exception]) -> ModelRunnerError:
    """The error of a step whose models have failed."""
    made = ModelRunnerError(step, errors)
    made.__cause__ = next(iter(errors.values()))
    return made


def told(error: Exception) -> dict[str, str]:
    """What stands in a body for the result of a model that failed."""
    return {"error": f"{type(error).__name__}: {error}"}


def _watched(event: Event) -> bool:
    return event.run is not None and bool(event.run.hooks.after_model)


def _taken(body: Any, path: Sequence[str]) -> Any:
    """What a model is given of a body; of a batch of each."""
    if isinstance(body, list):
        bodies = [each.body if isinstance(each, Event) else each for each in body]
        return [get_path(each, path) for each in bodies] if path else bodies
    return get_path(body, path) if path else body


def _placed(body: Any, path: Sequence[str], result: Any) -> Any:
    """The result, or a copy of the body with the result in it; of a batch of each."""
    if not path:
        return result
    if not isinstance(body, list):
        return _with(body, path, result)
    bodies = _taken(body, ())
    if not isinstance(result, list) or len(result) != len(bodies):
        raise RunError(f"a batch of {len(bodies)} needs as many results, and the model gave {_count(result)}")
    return [_with(each, path, own) for each, own in zip(bodies, result, strict=True)]


def _with(body: Any, path: Sequence[str], result: Any) -> Any:
    whole = copied(body)
    set_path(whole, path, result)
    return whole


def _count(result: Any) -> str:
    return str(len(result)) if isinstance(result, list) else f"a {type(result).__name__}"
