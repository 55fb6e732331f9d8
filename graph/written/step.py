"""What a step is, as data and back: classes by ``module:name``, arguments, and the children of runners and routers.

A step that is an instance can be written down when it knows how it was made: it has ``definition(step)``, which says
its ``class_args`` and its children, by the words of :data:`CHILDREN`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from graph.errors import InvalidStep, UnknownStep
from graph.step import Step
from graph.sub_flow import SubFlow
from graph.written.lookup import find

REF = "$ref"
CHILDREN: Mapping[str, str] = {"models": "add_model", "routes": "add_route"}
"""What the children of a step are called in a document, and the method that adds one."""
ROUTE_KEYS = frozenset({"class_name", "flow", "class_args", "handler", "options", *CHILDREN})
Resolver = Callable[[Any], Any]
"""What a ``{"$word": value}`` stands for."""


# --- writing


def written_target(target: Any, step: Step) -> dict[str, Any]:
    """A flow, a class or function by its name, or an instance with its arguments and children.

    Raises:
        InvalidStep: when it is something else.
    """
    if isinstance(target, SubFlow):
        return {"flow": target.flow.to_dict()}
    if inspect.isclass(target) or not hasattr(target, "definition"):
        return {"class_name": reference_of(target, step.name)}
    if _made_otherwise(type(target)):
        raise InvalidStep(
            f"step '{step.name}': {type(target).__name__} has a constructor of its own, so it cannot be written down "
            "unless it has a definition(step) of its own too"
        )
    written: dict[str, Any] = {"class_name": reference_of(type(target), step.name)}
    for word, said in target.definition(step).items():
        if word == "routes":
            written[word] = {name: _written_route(route, step) for name, route in said.items()}
        elif said:
            written[word] = written_value(said, step.name)
    return written


def _made_otherwise(kind: type) -> bool:
    """Whether a class has a constructor that its ``definition`` does not know of."""
    says = next(at for at, base in enumerate(kind.__mro__) if vars(base).keys() & {"definition", "said"})
    return any("__init__" in vars(base) for base in kind.__mro__[:says])


def _written_route(route: Mapping[str, Any], step: Step) -> dict[str, Any]:
    written = written_target(route["class_name"], step)
    if route["handler"]:
        written["handler"] = route["handler"]
    if route["options"]:
        written["options"] = written_value(route["options"], step.name)
    return written


def written_value(value: Any, step: str) -> Any:
    """An argument as plain data; a class or function as ``{"$ref": "module:name"}``.

    Raises:
        InvalidStep: when it is something else.
    """
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(name): written_value(item, step) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [written_value(item, step) for item in value]
    return {REF: reference_of(value, step)}


def reference_of(thing: Any, step: str) -> str:
    """``module:name`` of a class or function that can be imported by it.

    Raises:
        InvalidStep: when it cannot.
    """
    name = f"{getattr(thing, '__module__', '')}:{getattr(thing, '__qualname__', '')}"
    try:
        if (inspect.isclass(thing) or inspect.isroutine(thing)) and find(name, {}) is thing:
            return name
    except UnknownStep:
        pass
    raise InvalidStep(
        f"step '{step}': {thing!r} cannot be written down; use a class or function of a module, with plain arguments "
        "(to(Class, argument=...) instead of an instance or a lambda); models and prompts are named in files, as "
        "{$llm: role}"
    )


# --- reading


def read_target(written: Mapping[str, Any], resolvers: Mapping[str, Resolver], read_flow: Callable[..., Any]) -> Any:
    """What :func:`written_target` wrote; without children just the name, and its arguments are the step's.

    Raises:
        GraphDefinitionError: when it cannot be made.
    """
    if "flow" in written:
        return read_flow(written["flow"], resolvers)
    if not CHILDREN.keys() & written.keys():
        return written.get("class_name")
    kind = find(str(written.get("class_name")), {})
    made = _called(kind, read_value(written.get("class_args", {}), resolvers))
    for word, add in CHILDREN.items():
        if word in written and not hasattr(made, add):
            raise InvalidStep(f"{kind!r} has no {word}")
        for name, child in written.get(word, {}).items():
            said = _read_route(child, resolvers, read_flow) if word == "routes" else read_value(child, resolvers)
            _called(getattr(made, add), said, str(name))
    return made


def _read_route(
    written: Mapping[str, Any], resolvers: Mapping[str, Resolver], read_flow: Callable[..., Any]
) -> dict[str, Any]:
    if unknown := written.keys() - ROUTE_KEYS:
        raise InvalidStep(f"unknown key '{min(unknown)}' of a route; known are {', '.join(sorted(ROUTE_KEYS))}")
    own = {} if CHILDREN.keys() & written.keys() else written.get("class_args", {})
    options = read_value({**own, **written.get("options", {})}, resolvers)
    return {"class_name": read_target(written, resolvers, read_flow), "handler": written.get("handler"), **options}


def _called(make: Callable[..., Any], arguments: Mapping[str, Any], *names: str) -> Any:
    try:
        return make(*names, **arguments)
    except TypeError as error:
        raise InvalidStep(f"{getattr(make, '__name__', make)}: {error}") from None


def read_value(value: Any, resolvers: Mapping[str, Resolver]) -> Any:
    """An argument, with what its ``{"$word": value}`` stand for."""
    if isinstance(value, Mapping):
        if len(value) == 1 and (word := next(iter(value))) in resolvers:
            return resolvers[word](value[word])
        return {name: read_value(item, resolvers) for name, item in value.items()}
    return _list(value, resolvers) if isinstance(value, (list, tuple)) else value


def _list(values: Iterable[Any], resolvers: Mapping[str, Resolver]) -> list[Any]:
    return [read_value(value, resolvers) for value in values]
