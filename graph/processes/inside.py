"""What runs inside a worker process: it makes steps once, and serves one call at a time."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import closing, suppress
from multiprocessing import parent_process
from types import CoroutineType
from typing import Any, TypeAlias

from graph.compiled.results import END, STREAMS
from graph.errors import RunError
from graph.event import Event
from graph.processes.failure import Failure
from graph.processes.parcel import Changes, Parcel
from graph.processes.recipe import Recipe
from graph.processes.wire import Frame, Reply, framed, read

Stream: TypeAlias = Generator[Any, None, None] | AsyncGenerator[Any, None]


def main(connection: socket.socket) -> None:
    """Serves until the other side hangs up. An interrupt at the keyboard is the parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_follow_parent, daemon=True).start()
    connection.settimeout(None)
    with connection, closing(Inside()) as inside, suppress(EOFError, OSError):
        while True:
            connection.sendall(inside.answer(read(connection)))


def _follow_parent() -> None:
    """Ends this process when the parent has gone without a word, whatever the step is doing."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class Inside:
    """The steps of a worker, and the call that it is in."""

    def __init__(self) -> None:
        self._steps: dict[str, Callable[[Any], Any]] = {}
        self._step = ""
        self._parcel: Parcel | None = None
        self._event = Event()
        self._stream: Stream | None = None
        self._runner = asyncio.Runner()

    def answer(self, request: Frame) -> bytes:
        """The reply to a request, as it goes over the wire."""
        try:
            verb, *parts = request.opened()
            reply: Reply = getattr(self, f"_{verb}")(*parts)
        except Exception as error:
            self._stream = None
            reply = Reply("error", Failure.of(error, self._step), self._changes())
        try:
            return framed(reply)
        except Exception as error:
            return framed(self._unsendable(error))

    def close(self) -> None:
        """Ends the stream that is open, if there is one, and the loop of async steps."""
        with suppress(Exception):
            self._end_stream()
        self._runner.close()

    # --- the verbs

    def _make(self, name: str, recipe: bytes) -> Reply:
        """Makes a step."""
        self._step, self._parcel = name, None
        try:
            made: Recipe = pickle.loads(recipe)  # noqa: S301 - sent by our parent
        except Exception as error:
            raise RunError(f"step '{name}' cannot be made in its process: {error}") from error
        self._steps[name] = made.make()
        return Reply("value")

    def _call(self, name: str, given: Any) -> Reply:
        """Calls a step; of a stream, up to its first chunk."""
        self._step = name
        self._parcel = given if isinstance(given, Parcel) else None
        if self._parcel is not None:
            given = self._event = self._parcel.opened()
        made = self._steps[name](given)
        if isinstance(made, CoroutineType):
            made = self._runner.run(made)
        if isinstance(made, STREAMS):
            self._stream = made
            return self._next()
        return self._last(made)

    def _next(self) -> Reply:
        """Makes the next chunk, now that it is asked for."""
        assert self._stream is not None  # noqa: S101 - asked only while a stream is open
        if isinstance(self._stream, AsyncGenerator):
            chunk = self._runner.run(_following(self._stream))
        else:
            chunk = next(self._stream, END)
        if chunk is not END:
            return Reply("chunk", chunk)
        self._stream = None
        return Reply("end", changes=self._changes())

    def _close(self) -> Reply:
        """Closes the stream, between two chunks."""
        self._end_stream()
        return Reply("end", changes=self._changes())

    # --- insides

    def _end_stream(self) -> None:
        stream, self._stream = self._stream, None
        if isinstance(stream, AsyncGenerator):
            self._runner.run(_closed(stream))
        elif stream is not None:
            stream.close()

    def _last(self, made: Any) -> Reply:
        """The reply that ends a call of a step that does not stream."""
        if self._parcel is not None and isinstance(made, Event):
            self._event = made
            return Reply("event", changes=self._changes())
        return Reply("value", made, self._changes())

    def _changes(self) -> Changes | None:
        return None if self._parcel is None else self._parcel.changes(self._event)

    def _unsendable(self, error: Exception) -> Reply:
        """What is said instead of a value that cannot be sent."""
        with suppress(Exception):
            self._end_stream()
        unsendable = RunError(f"what step '{self._step}' made cannot be sent back from its process: {error}")
        spent = None if self._parcel is None else self._parcel.spent(self._event)
        return Reply("error", Failure.of(unsendable, self._step), spent)


async def _following(stream: AsyncGenerator[Any, None]) -> Any:
    return await anext(stream, END)


async def _closed(stream: AsyncGenerator[Any, None]) -> None:
    await stream.aclose()
