"""The function of a step: given as one, or in MLRun's way as ``_fn``, which may be a string that holds an expression.

Such a string is code, as the name of a class in a graph is. It comes from the author of the graph, never over HTTP. It
is held to one expression over names that are known, so that a slip is found when the graph is built.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable
from typing import Any, TypeAlias

from graph.compiled.results import is_async_function
from graph.errors import InvalidStep
from graph.event import Event

Function: TypeAlias = Callable[[Any], Any]

FUNCTIONS = {
    name: getattr(builtins, name)
    for name in (
        *("abs", "all", "any", "bool", "dict", "divmod", "enumerate", "float", "int", "isinstance", "len", "list"),
        *("max", "min", "range", "reversed", "round", "set", "sorted", "str", "sum", "tuple", "zip"),
    )
}
"""What an expression may call by name."""
REFUSED = (ast.Lambda, ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)


class Expression:
    """A function of one argument, written as an expression over ``body`` and ``event``.

    ``body`` is the body. ``event`` is what the step is given: the event with ``full_event=True``, otherwise, as in
    MLRun, the body too.

    Raises:
        InvalidStep: when it is no expression, or uses a name that is not known.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._function = _compiled(text)

    def __call__(self, given: Any) -> Any:
        return self._function(given, body_of(given))

    def __reduce__(self) -> tuple[type[Expression], tuple[str]]:
        return Expression, (self.text,)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"


def function_of(owner: str, fn: Function | None, other: Function | str | None = None) -> Function:
    """The function that a step was given, by either of two names.

    Raises:
        InvalidStep: when there is none, are two, or one that cannot be called.
    """
    if (fn is None) == (other is None):
        raise InvalidStep(f"{owner} needs one function, or _fn= with an expression such as '(event.body)'")
    if isinstance(other, str):
        return Expression(other)
    found = other if fn is None else fn
    if not callable(found):
        raise InvalidStep(f"{owner}: {found!r} is no function")
    return found


def plain_function(owner: str, fn: Any) -> Any:
    """What was given, if it is a plain function, or no function at all.

    Raises:
        InvalidStep: when it is async: what it gives would be taken for the answer, as nobody awaits it.
    """
    if callable(fn) and is_async_function(fn):
        raise InvalidStep(f"{owner} is async, and nobody would await it; write a plain def")
    return fn


def body_of(given: Any) -> Any:
    """The body in what a step was given: the body, or with ``full_event`` the event."""
    return given.body if isinstance(given, Event) else given


def _compiled(text: str) -> Callable[[Any, Any], Any]:
    try:
        written = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        raise InvalidStep(f"{text!r} is no expression: {error}") from error
    _check(text, written)
    function = ast.parse("lambda event, body: None", mode="eval")
    assert isinstance(function.body, ast.Lambda)  # noqa: S101 - it is written in the line before
    function.body.body = written.body
    code = compile(ast.fix_missing_locations(function), f"<{text}>", "eval")
    made: Callable[[Any, Any], Any] = eval(code, {"__builtins__": {}, **FUNCTIONS})  # noqa: S307 - the author's, checked
    return made


def _check(text: str, written: ast.Expression) -> None:
    """Refuses what is no plain expression over known names."""
    names = [node for node in ast.walk(written) if isinstance(node, ast.Name)]
    known = {"event", "body", *FUNCTIONS, *(name.id for name in names if isinstance(name.ctx, ast.Store))}
    for name in names:
        if name.id not in known:
            raise InvalidStep(f"{text!r}: '{name.id}' is not known; known are event, body, {', '.join(FUNCTIONS)}")
    for node in ast.walk(written):
        if isinstance(node, REFUSED) or (isinstance(node, ast.Attribute) and node.attr.startswith("_")):
            raise InvalidStep(f"{text!r}: '{ast.unparse(node)}' is too much for an expression; write a function")
