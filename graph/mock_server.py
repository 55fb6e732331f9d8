"""MockServer: a flow behind a synchronous call, in the same process, for notebooks and tests."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping
from contextlib import closing
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from graph.event import Event
from graph.response import Response

if TYPE_CHECKING:
    from graph.flow import Flow

_END = object()
PATIENCE = 5.0
"""How many seconds the end of a server waits for a step that keeps its loop."""


class MockServer:
    """Runs a flow in a loop of its own, so that it works where a loop is running already (a notebook)."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow.validate()
        self._loop = _Loop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the loop behind the server."""
        self._loop.close()

    def test(
        self,
        path: str = "/",
        body: Any = None,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        *,
        silent: bool = False,
    ) -> Any:
        """The answer to one event; of a flow whose responder streams, an iterator over its chunks.

        Raises:
            RuntimeError: ``failed (code): body`` for a Response with a status of 300 or more, unless ``silent``.
            Exception: what the run raises; a ``silent`` server answers with a Response of status 500 instead.
        """
        event = Event(body, path=path, method=method, headers=headers)
        if self._flow.streaming.kind in ("live", "accepted"):
            return self._stream(event)
        try:
            answer = self._loop.call(self._flow.start(event).result)
        except Exception as error:
            if not silent:
                raise
            return Response(f"{type(error).__name__}: {error}", 500)
        if isinstance(answer, Response) and answer.status >= 300 and not silent:
            raise RuntimeError(f"failed ({answer.status}): {answer.body}")
        return answer

    def _stream(self, event: Event) -> Iterator[Any]:
        chunks: AsyncGenerator[Any, None] = self._flow.start(event).chunks()

        async def following() -> Any:
            return await anext(chunks, _END)

        with closing(_Closing(self._loop, chunks)):
            while (chunk := self._loop.call(following)) is not _END:
                yield chunk


class _Loop:
    """A loop in a thread, which ends with its server, and keeps no program from ending: a traceback may hold on to
    that."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._loop.run_forever, name="mock server", daemon=True)
        thread.start()
        self.close = weakref.finalize(self, _end, self._loop, thread)

    def call(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """What the work comes to."""
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result()


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    async def finish() -> None:
        await loop.shutdown_asyncgens()
        await loop.shutdown_default_executor()
        loop.stop()

    asyncio.run_coroutine_threadsafe(finish(), loop)
    if threading.current_thread() is not thread:
        thread.join(PATIENCE)
        if not thread.is_alive():
            loop.close()


class _Closing:
    """Closes an async generator from outside its loop."""

    def __init__(self, loop: _Loop, chunks: AsyncGenerator[Any, None]) -> None:
        self._loop = loop
        self._chunks = chunks

    def close(self) -> None:
        self._loop.call(self._ended)

    async def _ended(self) -> None:
        await self._chunks.aclose()
