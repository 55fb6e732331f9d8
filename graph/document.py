"""A flow as a document: ``to_dict`` and ``from_dict``, for YAML files and for whoever draws or stores graphs.

Classes and functions stand in it as ``module:name``; where an argument is one, as ``{"$ref": "module:name"}``. A step
follows the one before it, unless ``after`` says otherwise. A document comes from the operator's files, never over HTTP:
reading it imports what it names.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from graph.errors import GraphDefinitionError, InvalidStep, UnknownStep
from graph.lookup import find
from graph.options.cache import Cache
from graph.step import Responding, Step, StepOptions
from graph.sub_flow import SubFlow

if TYPE_CHECKING:
    from graph.flow import Flow

REF = "$ref"
CAPS = ("allow_cyclic", "max_iterations", "max_steps", "max_seconds", "max_tokens", "max_usd", "max_processes")
STEP_KEYS = frozenset(
    {"class_name", "flow", "handler", "class_args", "after", "cycle_to", "respond", "error_handler", "before"}
)
Resolver = Callable[[Any], Any]


# --- writing


def to_dict(flow: Flow) -> dict[str, Any]:
    """The document of a flow.

    Raises:
        InvalidStep: when a step is no importable class or function, or has an argument that cannot be written down.
    """
    document: dict[str, Any] = {"name": flow.name}
    document |= {name: getattr(flow, name) for name in CAPS if getattr(flow, name) is not None}
    if flow.state is not None:
        document["state"] = _reference(flow.state, "state")
    if flow.reducers:
        document["reducers"] = {name: _reference(reducer, name) for name, reducer in flow.reducers.items()}
    if flow.error_handler_name:
        document["error_handler"] = flow.error_handler_name
    document["steps"] = {}
    previous = ""
    for name, step in flow.steps.items():
        document["steps"][name] = _step(flow, step, () if name in flow.handlers else (previous,))
        previous = previous if name in flow.handlers else name
    return document


def _step(flow: Flow, step: Step, default: tuple[str, ...]) -> dict[str, Any]:
    written: dict[str, Any] = _target(step)
    if step.handler:
        written["handler"] = step.handler
    if step.arguments:
        written["class_args"] = {name: _value(value, step.name) for name, value in step.arguments.items()}
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
        "recover": {_reference(kind, step.name): name for kind, name in step.recoveries.items()},
    }
    if after != list(default):
        written["after"] = after
    return written | {name: value for name, value in extras.items() if value}


def _target(step: Step) -> dict[str, Any]:
    if isinstance(step.target, SubFlow):
        return {"flow": to_dict(step.target.flow)}
    return {"class_name": _reference(step.target, step.name)}


def _responding(responding: Responding | None) -> Any:
    if responding is None:
        return None
    options = {option.name: getattr(responding, option.name) for option in fields(Responding)}
    return {name: value for name, value in options.items() if value is not None}


def _cache(cache: Cache, step: str) -> dict[str, Any]:
    key = {REF: _reference(cache.key, step)}
    return {"key": key, "seconds": cache.entries.ttl, "size": int(cache.entries.maxsize)}


def _value(value: Any, step: str) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(name): _value(item, step) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_value(item, step) for item in value]
    return {REF: _reference(value, step)}


def _reference(thing: Any, step: str) -> str:
    """``module:name`` of a class or function that can be imported by it."""
    name = f"{getattr(thing, '__module__', '')}:{getattr(thing, '__qualname__', '')}"
    try:
        if (inspect.isclass(thing) or inspect.isroutine(thing)) and find(name, {}) is thing:
            return name
    except UnknownStep:
        pass
    raise InvalidStep(
        f"step '{step}': {thing!r} cannot be written down; use a class or function of a module, with plain arguments "
        "(to(Class, argument=...) instead of an instance or a lambda)"
    )


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
    options = {key: _resolved(value, resolvers) for key, value in written.items() if key in StepOptions.names()}
    unknown = written.keys() - STEP_KEYS - options.keys() - {"recover"}
    if unknown:
        known = ", ".join(sorted(STEP_KEYS | StepOptions.names()))
        raise InvalidStep(f"unknown key '{min(unknown)}'; known are {known}")
    if isinstance(options.get("cache"), Mapping):
        options["cache"] = Cache(**options["cache"])
    arguments = {key: _resolved(value, resolvers) for key, value in written.get("class_args", {}).items()}
    target = type(flow).from_dict(written["flow"], resolvers) if "flow" in written else written.get("class_name")
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
    unknown = document.keys() - {"name", "state", "reducers", "error_handler", "steps", *CAPS}
    if unknown:
        known = ", ".join(("name", "steps", "error_handler", "state", "reducers", *CAPS))
        raise InvalidStep(f"unknown key '{min(unknown)}' of a flow; known are {known}")
    options = {name: document[name] for name in ("name", *CAPS) if name in document}
    if "state" in document:
        options["state"] = _find(document["state"])
    options["reducers"] = {name: _find(reducer) for name, reducer in document.get("reducers", {}).items()}
    return options


def _find(reference: Any) -> Any:
    return find(str(reference), {})


def _resolved(value: Any, resolvers: Mapping[str, Resolver]) -> Any:
    if isinstance(value, Mapping):
        if len(value) == 1 and (word := next(iter(value))) in resolvers:
            return resolvers[word](value[word])
        return {name: _resolved(item, resolvers) for name, item in value.items()}
    return _list(value, resolvers) if isinstance(value, (list, tuple)) else value


def _list(values: Iterable[Any], resolvers: Mapping[str, Resolver]) -> list[Any]:
    return [_resolved(value, resolvers) for value in values]
