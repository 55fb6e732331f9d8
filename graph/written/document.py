"""A flow as a document: ``to_dict`` and ``from_dict``, for YAML files and for whoever draws or stores graphs.

Classes and functions stand in it as ``module:name``; where an argument is one, as ``{"$ref": "module:name"}``. The
models of a runner and the routes of a router stand under their step, as ``models`` and ``routes``. A step follows the
one before it, unless ``after`` says otherwise. A document comes from the operator's files, never over HTTP: reading it
imports what it names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from graph.errors import GraphDefinitionError, InvalidStep
from graph.options.cache import Cache
from graph.step import Responding, Step, StepOptions
from graph.written.lookup import find
from graph.written.step import (
    CHILDREN,
    REF,
    Resolver,
    read_target,
    read_value,
    reference_of,
    written_target,
    written_value,
)

if TYPE_CHECKING:
    from graph.flow import Flow

CAPS = ("allow_cyclic", "max_iterations", "max_steps", "max_seconds", "max_tokens", "max_usd", "max_processes")
FLOW_KEYS = ("name", "steps", "error_handler", "state", "reducers", "shared_models")
STEP_KEYS = frozenset(
    {"class_name", "flow", "handler", "class_args", "after", "cycle_to", "respond", "error_handler", "before"}
) | frozenset(CHILDREN)


# --- writing


def to_dict(flow: Flow) -> dict[str, Any]:
    """The document of a flow.

    Raises:
        InvalidStep: when a step is no importable class or function, or has an argument that cannot be written down.
    """
    document: dict[str, Any] = {"name": flow.name}
    document |= {name: getattr(flow, name) for name in CAPS if getattr(flow, name) is not None}
    if flow.state is not None:
        document["state"] = reference_of(flow.state, "state")
    if flow.reducers:
        document["reducers"] = {name: reference_of(reducer, name) for name, reducer in flow.reducers.items()}
    if flow.error_handler_name:
        document["error_handler"] = flow.error_handler_name
    if shared := flow.shared_models.definitions():
        document["shared_models"] = {name: written_value(said, f"shared/{name}") for name, said in shared.items()}
    document["steps"] = {}
    previous = ""
    for name, step in flow.steps.items():
        document["steps"][name] = _step(flow, step, () if name in flow.handlers else (previous,))
        previous = previous if name in flow.handlers else name
    return document


def _step(flow: Flow, step: Step, default: tuple[str, ...]) -> dict[str, Any]:
    written: dict[str, Any] = written_target(step.target, step)
    if step.handler:
        written["handler"] = step.handler
    if step.arguments:
        written["class_args"] = {name: written_value(value, step.name) for name, value in step.arguments.items()}
    for option in fields(StepOptions):
        value = getattr(step.options, option.name)
        if value != option.default:
            written[option.name] = _cache(value, step.name) if isinstance(value, Cache) else value
    after = [source for source, target in flow.edges if target == step.name and (source, target) not in flow.cycles]
    cycles = [target for source, target in flow.edges if source == step.name and (source, target) in flow.cycles]
    extras: dict[str, Any] = {
        "cycle_to": cycles,
        "respond": _responding(step.responding),
        "error_handler": step.error_handler_name,
        "recover": {reference_of(kind, step.name): name for kind, name in step.recoveries.items()},
    }
    if after != list(default):
        written["after"] = after
    return written | {name: value for name, value in extras.items() if value}


def _responding(responding: Responding | None) -> Any:
    if responding is None:
        return None
    options = {option.name: getattr(responding, option.name) for option in fields(Responding)}
    return {name: value for name, value in options.items() if value is not None}


def _cache(cache: Cache, step: str) -> dict[str, Any]:
    key = {REF: reference_of(cache.key, step)}
    return {"key": key, "seconds": cache.entries.ttl, "size": int(cache.entries.maxsize)}


# --- reading


def from_dict(flow: Flow, document: Mapping[str, Any], resolvers: Mapping[str, Resolver]) -> None:
    """Adds the steps of a document to an empty flow. ``resolvers`` know what ``{"$word": value}`` stands for.

    Raises:
        GraphDefinitionError: for what is unknown or cannot be built, with the name of the step.
    """
    steps = document.get("steps")
    if not isinstance(steps, Mapping) or not steps:
        raise InvalidStep(f"flow '{flow.name}': 'steps' must map names to steps, and there must be at least one")
    known = {REF: _find, **resolvers}
    for name, model in document.get("shared_models", {}).items():
        flow.add_shared_model(str(name), **read_value(model, known))
    handlers = {document.get("error_handler"), *(step.get("error_handler") for step in steps.values())} - {None}
    previous = ""
    for name, step in steps.items():
        default = () if name in handlers else (previous,)
        try:
            _read_step(flow, str(name), step, known, default)
        except GraphDefinitionError as error:
            raise type(error)(f"step '{name}' of flow '{flow.name}': {error}") from error
        previous = previous if name in handlers else str(name)
    flow.handlers |= handlers
    flow.error_handler_name = document.get("error_handler")


def _read_step(
    flow: Flow, name: str, written: Mapping[str, Any], resolvers: Mapping[str, Resolver], default: tuple[str, ...]
) -> None:
    options = {key: read_value(value, resolvers) for key, value in written.items() if key in StepOptions.names()}
    unknown = written.keys() - STEP_KEYS - options.keys() - {"recover"}
    if unknown:
        known = ", ".join(sorted(STEP_KEYS | StepOptions.names()))
        raise InvalidStep(f"unknown key '{min(unknown)}'; known are {known}")
    if isinstance(options.get("cache"), Mapping):
        options["cache"] = Cache(**options["cache"])
    arguments = {} if CHILDREN.keys() & written.keys() else read_value(written.get("class_args", {}), resolvers)
    target = read_target(written, resolvers, type(flow).from_dict)
    step = flow.add_step(
        target,
        name,
        handler=written.get("handler"),
        after=written.get("after", default),
        before=written.get("before", ()),
        cycle_to=written.get("cycle_to", ()),
        **options,
        **arguments,
    )
    step.error_handler_name = written.get("error_handler")
    step.recoveries = {find(kind, {}): follower for kind, follower in written.get("recover", {}).items()}
    respond = written.get("respond")
    if respond:
        step.respond(**(respond if isinstance(respond, Mapping) else {}))


def flow_options(document: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of :class:`Flow` in a document."""
    unknown = document.keys() - {*FLOW_KEYS, *CAPS}
    if unknown:
        known = ", ".join((*FLOW_KEYS, *CAPS))
        raise InvalidStep(f"unknown key '{min(unknown)}' of a flow; known are {known}")
    options = {name: document[name] for name in ("name", *CAPS) if name in document}
    if "state" in document:
        options["state"] = _find(document["state"])
    options["reducers"] = {name: _find(reducer) for name, reducer in document.get("reducers", {}).items()}
    return options


def _find(reference: Any) -> Any:
    return find(str(reference), {})
