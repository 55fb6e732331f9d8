"""Map: a body becomes another one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import CoroutineType
from typing import Any

from graph.compiled.results import is_coroutine_function, is_generator_function
from graph.errors import InvalidStep
from graph.written.expression import Function, function_of


class Map:
    """The body becomes ``fn(body)``; of a stream every chunk does. ``fn`` may be async, and a generator streams.

    Args:
        fn: the function; with ``full_event=True`` it is given the event.
        _fn: the same in MLRun's spelling, where it may be an expression such as ``"(event.body)"``.
    """

    def __init__(self, fn: Function | None = None, *, _fn: Function | str | None = None) -> None:
        self.do = function_of("Map", fn, _fn)


def followed(owner: str, fn: Function, finish: Callable[[Any, Any], Any]) -> Function:
    """``finish(given, fn(given))``: a plain function, or an async one where ``fn`` is, so that options see which.

    Raises:
        InvalidStep: when ``fn`` is a generator, which nobody would run.
    """
    if is_generator_function(fn):
        raise InvalidStep(f"{owner}: {fn!r} is a generator; only Map and FlatMap can stream")
    return partial(_later if is_coroutine_function(fn) else _now, fn, finish)


def _now(fn: Function, finish: Callable[[Any, Any], Any], given: Any) -> Any:
    made = fn(given)
    return _awaited(finish, given, made) if type(made) is CoroutineType else finish(given, made)


async def _later(fn: Function, finish: Callable[[Any, Any], Any], given: Any) -> Any:
    return finish(given, await fn(given))


async def _awaited(finish: Callable[[Any, Any], Any], given: Any, made: Any) -> Any:
    return finish(given, await made)
