"""What a step calls: the object behind it, which of its methods, and what that gives back."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from graph.errors import InvalidStep
from graph.step import Step


def instantiate(step: Step) -> tuple[Any, Callable[[Any], Any]]:
    """The object behind a step, and what to call: its ``handler``, else ``do_event``, else ``do``, else itself.

    The constructor is given ``name`` and ``context`` only if it asks for them. An object that has ``bound_to`` is told
    the step that it is, once that is known, and gives what shall stand in the flow for it.

    Raises:
        InvalidStep: when the target cannot be constructed or has nothing to call.
    """
    instance = step.target
    if isinstance(instance, type):
        instance = _construct(step, instance)
    if hasattr(instance, "bound_to"):
        instance = instance.bound_to(step)
    elif step.arguments and callable(instance) and not isinstance(step.target, type):
        instance = partial(instance, **step.arguments)
    for method in (step.handler,) if step.handler else ("do_event", "do"):
        call = getattr(instance, method, None)
        if callable(call):
            return instance, call
    if callable(instance) and step.handler is None:
        return instance, instance
    wanted = f"method '{step.handler}'" if step.handler else "method 'do' or 'do_event'"
    raise InvalidStep(f"step '{step.name}': {step.target!r} has no {wanted}")


def _construct(step: Step, kind: type) -> Any:
    arguments = dict(step.arguments)
    for name, value in (("name", step.name), ("context", step.flow.context)):
        if name in _accepted(kind):
            arguments.setdefault(name, value)
    try:
        return kind(**arguments)
    except TypeError as error:
        raise InvalidStep(f"step '{step.name}': {kind.__name__} cannot be made: {error}") from error


def _accepted(kind: type) -> Iterable[str]:
    try:
        return inspect.signature(kind).parameters
    except ValueError:  # some classes of C do not say
        return ()
