"""FlatMap and Flatten: one body becomes a stream of any number of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable
from contextlib import aclosing, nullcontext
from functools import partial
from types import CoroutineType
from typing import Any

from graph.compiled.results import as_stream, is_async_function
from graph.errors import RunError
from graph.written.expression import Function, body_of, function_of


class FlatMap:
    """Every element of ``fn(body)`` is a chunk, sent as soon as it is there. Nothing is an empty stream.

    Among the chunks of a stream it makes any number of chunks of each. An element that is an Event counts as its body.

    Args:
        fn: gives something to iterate over; it may be async, a generator, or an async generator.
        _fn: the same in MLRun's spelling, where it may be an expression such as ``"(event.body)"``.
    """

    expands = True

    def __init__(self, fn: Function | None = None, *, _fn: Function | str | None = None) -> None:
        function = function_of(type(self).__name__, fn, _fn)
        self.do = partial(_later if is_async_function(function) else _now, function)


class Flatten(FlatMap):
    """Every element of the body is a chunk."""

    def __init__(self) -> None:
        super().__init__(_itself)


def _itself(given: Any) -> Any:
    return body_of(given)


def _now(fn: Function, given: Any) -> Generator[Any, None, None]:
    yield from map(body_of, _iterable(fn(given)))


async def _later(fn: Function, given: Any) -> AsyncGenerator[Any, None]:
    made = fn(given)
    if type(made) is CoroutineType:
        made = await made
    if not isinstance(made, AsyncIterable):
        made = as_stream(element for element in _iterable(made))
    async with aclosing(made) if hasattr(made, "aclose") else nullcontext(made) as elements:
        async for element in elements:
            yield body_of(element)


def _iterable(made: Any) -> Iterable[Any]:
    if isinstance(made, Iterable):
        return made
    if isinstance(made, CoroutineType):
        made.close()
    hint = "; write async def for what is async" if isinstance(made, (AsyncIterable, CoroutineType)) else ""
    raise RunError(f"FlatMap needs something to iterate over and was given a {type(made).__name__}{hint}")
