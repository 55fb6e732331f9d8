"""A model of one's own: a class that the settings name, loaded, as a flow of one step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.catalog.own_code import named, told
from gateway.config.faults import InvalidSettings
from gateway.config.models import ModelEntry
from graph import Flow, V2ModelServer
from graph.steps.plain_model_server import PlainModelServer

KEYS = {"name", "datatype", "shape"}


def load_own_model(entry: ModelEntry) -> tuple[V2ModelServer, Flow]:
    """The model that a row of the settings describes, loaded, and its flow; what it computes runs in threads.

    Raises:
        InvalidSettings: when it cannot be; whatever goes wrong in code of one's own is told with its class and words.
    """
    try:
        model = _made(entry)
        _check_declared("inputs", model.inputs)
        _check_declared("outputs", model.outputs)
        flow = Flow(entry.name)
        flow.to(model, name=entry.name, execution_mechanism="thread_pool").respond()
        return model, flow.validate()
    except Exception as error:
        label = f"{entry.name}:{entry.version}" if entry.version else entry.name
        said = told(error) or f"{type(error).__name__}: {error}"
        raise InvalidSettings(f"model '{label}' ({entry.class_name}): {said}") from error


def _made(entry: ModelEntry) -> V2ModelServer:
    kind = named(str(entry.class_name))
    if not isinstance(kind, type):
        raise TypeError(f"{entry.class_name} is no class; name a class with load and predict")
    path = None if entry.path is None else str(entry.path)
    if issubclass(kind, V2ModelServer):
        return kind(name=entry.name, model_path=path, version=entry.version, **entry.parameters)
    return PlainModelServer.of(kind, entry.name, path, entry.version, entry.parameters)


def _check_declared(which: str, declared: Any) -> None:
    for row in declared:
        if not isinstance(row, Mapping) or row.keys() < KEYS:
            raise TypeError(f"{which} must be a list of objects with {', '.join(sorted(KEYS))}; one is {row!r}")
