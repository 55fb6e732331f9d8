"""MockServer: a flow behind a synchronous call, in the same process, for notebooks and tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import closing
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from anyio.from_thread import BlockingPortal, start_blocking_portal

from graph.event import Event
from graph.response import Response

if TYPE_CHECKING:
    from graph.flow import Flow

_END = object()


class MockServer:
    """Runs a flow in a loop of its own, so that it works where a loop is running already (a notebook)."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow.validate()
        self._opened = start_blocking_portal()
        self._portal: BlockingPortal = self._opened.__enter__()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the loop behind the server."""
        self._opened.__exit__(None, None, None)

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
            answer = self._portal.call(self._flow.start(event).result)
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

        with closing(_Closing(self._portal, chunks)):
            while (chunk := self._portal.call(following)) is not _END:
                yield chunk


class _Closing:
    """Closes an async generator from outside its loop."""

    def __init__(self, portal: BlockingPortal, chunks: AsyncGenerator[Any, None]) -> None:
        self._portal = portal
        self._chunks = chunks

    def close(self) -> None:
        self._portal.call(self._chunks.aclose)
