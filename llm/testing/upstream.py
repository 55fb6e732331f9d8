"""ScriptedUpstream: a server on a loopback socket that answers by a script, faults included.

What is here speaks OpenAI; other APIs, and more that OpenAI's can say, are in ``dialect.py``.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from struct import pack
from types import TracebackType
from typing import Any, Self, TypeAlias

import orjson
from aiohttp import web

from llm.errors import ScriptError


class Pause(asyncio.Event):
    """A place in a stream where the upstream waits until the test calls ``set()``."""


class Cut:
    """A place in a stream where the upstream drops the connection."""


class Hang:
    """A place in a stream, or instead of an answer, where the upstream waits until its client has gone."""


@dataclass(frozen=True, slots=True)
class Json:
    """An answer that is not streamed."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Piece: TypeAlias = bytes | Pause | Cut | Hang


@dataclass(frozen=True, slots=True)
class Stream:
    """A streamed answer, written piece by piece; each piece of bytes is one write."""

    pieces: Sequence[Piece]

    @classmethod
    def of_text(cls, *words: str, usage: Mapping[str, int] | None = None) -> Self:
        """A whole stream as OpenAI sends it: the role, the words, the end, the usage."""
        return cls([*cls.words(*words), *cls.end(usage or {"prompt_tokens": 7, "completion_tokens": len(words)})])

    @classmethod
    def words(cls, *words: str) -> list[Piece]:
        """The frames of some words, the role before them."""
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *({"content": word} for word in words)]
        return [frame(choice(delta)) for delta in deltas]

    @classmethod
    def end(cls, usage: Mapping[str, int]) -> list[Piece]:
        """The frames that end a stream."""
        return [
            frame(choice({}, finish_reason="stop")),
            frame({**CHUNK, "choices": [], "usage": dict(usage)}),
            b"data: [DONE]\n\n",
        ]

    def split(self, size: int) -> Self:
        """The same bytes, written so many at a time: frames, lines and characters come in parts."""
        pieces: list[Piece] = []
        for piece in self.pieces:
            if isinstance(piece, bytes) and pieces and isinstance(pieces[-1], bytes):
                pieces[-1] += piece
            else:
                pieces.append(piece)
        cut = (
            (each[i : i + size] for i in range(0, len(each), size)) if isinstance(each, bytes) else (each,)
            for each in pieces
        )
        return type(self)([part for parts in cut for part in parts])


Reply: TypeAlias = Json | Stream | Hang
CHUNK = {"id": "chatcmpl-upstream", "object": "chat.completion.chunk", "created": 1, "model": "upstream-model"}


def choice(delta: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    """A chunk object with this delta."""
    return {**CHUNK, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


def frame(event: Any) -> bytes:
    """An event on the wire."""
    return b"data: " + orjson.dumps(event) + b"\n\n"


def answer(content: str, **message: Any) -> Json:
    """An answer that is not streamed, as OpenAI sends it."""
    choices = [{"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": "stop"}]
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    whole = {"id": "chatcmpl-upstream", "object": "chat.completion", "created": 1, "model": "upstream-model"}
    return Json({**whole, "choices": choices, "usage": usage})


def embeddings(*vectors: Sequence[float], base64: bool = False) -> Json:
    """The answer of ``/v1/embeddings``, in numbers or in base64; 7 tokens in."""
    written = [b64encode(pack(f"<{len(each)}f", *each)).decode() if base64 else list(each) for each in vectors]
    rows = [{"object": "embedding", "index": index, "embedding": each} for index, each in enumerate(written)]
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    return Json({"object": "list", "data": rows, "model": "upstream-model", "usage": usage})


@dataclass(slots=True)
class Received:
    """A request as the upstream got it."""

    path: str
    """As it came over the wire, with the query."""
    headers: Mapping[str, str]
    body: Any


class ScriptedUpstream:
    """Answers each POST with the next reply of its script and keeps what it was sent.

    ``async with`` starts it on a free port and, at the end, raises :class:`ScriptError` when script and calls did not
    fit. ``came`` is set when a request is there, ``left`` when a client has gone away in the middle of an answer.
    """

    def __init__(self, *replies: Reply, models: Iterable[str] = ("upstream-model",)) -> None:
        self.script = list(replies)
        self.received: list[Received] = []
        self.came = asyncio.Event()
        self.left = asyncio.Event()
        self._models = list(models)
        self._missed: list[str] = []
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def base_url(self) -> str:
        """The address to give to a provider."""
        return f"http://127.0.0.1:{self._port}/v1"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**26)
        app.router.add_get("/v1/models", self._list)
        app.router.add_post("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if error is None and (self._missed or self.script):
            raise ScriptError(f"calls without a reply: {self._missed}; replies without a call: {len(self.script)}")

    async def _list(self, request: web.Request) -> web.Response:
        listed = [{"id": name, "object": "model", "created": 1, "owned_by": "upstream"} for name in self._models]
        return web.json_response({"object": "list", "data": listed})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.received.append(Received(request.raw_path, dict(request.headers), orjson.loads(body) if body else None))
        self.came.set()
        if not self.script:
            self._missed.append(request.path)
            return web.json_response({"error": {"message": "the script is used up"}}, status=500)
        reply = self.script.pop(0)
        try:
            return await self._reply(request, reply)
        except (asyncio.CancelledError, ConnectionResetError):
            self.left.set()
            raise

    async def _reply(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        if isinstance(reply, Hang):
            await asyncio.Event().wait()
        if isinstance(reply, Json):
            body = reply.body if isinstance(reply.body, bytes) else orjson.dumps(reply.body)
            headers = {"content-type": "application/json", **reply.headers}
            return web.Response(body=body, status=reply.status, headers=headers)
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for piece in reply.pieces if isinstance(reply, Stream) else ():
            await self._write(request, response, piece)
        await response.write_eof()
        return response

    async def _write(self, request: web.Request, response: web.StreamResponse, piece: Piece) -> None:
        if isinstance(piece, bytes):
            await response.write(piece)
        elif isinstance(piece, Pause):
            await piece.wait()
        elif isinstance(piece, Hang):
            await asyncio.Event().wait()
        elif request.transport is not None:
            request.transport.abort()
