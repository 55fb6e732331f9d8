"""Connection: one socket to an upstream, for one request after another."""

from __future__ import annotations

import asyncio
from select import POLLIN, poll
from typing import TYPE_CHECKING, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from llm.errors import UpstreamError, UpstreamGarbled, UpstreamTimeout
from llm.http1.answer import Answer

if TYPE_CHECKING:
    from llm.http1.pool import Pool

MAX_HEAD_BYTES = 64 * 1024
"""How many bytes may come without a step forward: of heads, trailers, and what stands between pieces of a body."""
LINGER = 1.0
"""How long, in seconds, the end of an answer is waited for that has said that it is over. Nobody else waits for it."""
JOINED = 64 * 1024
"""Up to this size, in bytes, a body is sent in one write with its head."""


class Connection(asyncio.Protocol):
    """Writes requests and fills their answers. Whatever is not as it should be ends it; nothing is guessed.

    It goes back to its pool when the answer has come whole, the request has left whole, and nothing else has come.

    Attributes:
        closed: whether it can no longer be used.
        idle_since: when it was last given back, by the clock of the loop.
    """

    def __init__(self, pool: Pool, read_timeout: float) -> None:
        self.closed = False
        self.idle_since = 0.0
        self._pool = pool
        self._patience = read_timeout
        self._loop = asyncio.get_running_loop()
        self._parser = HttpResponseParser(self)
        self._answer: Answer | None = None
        self._in_head = self._interim = self._surplus = self._bodiless = self._paused = self._moved = False
        self._keeps, self._made = True, False
        self._dry = self._unsent = 0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # --- for the pool and for who asks

    @property
    def usable(self) -> bool:
        """Whether it is open, and nothing has come that nobody asked for."""
        return not self.closed and not self._news.poll(0)

    def ask(self, head: bytes, body: bytes | None, answer: Answer, *, bodiless: bool) -> None:
        """Sends a request. Its answer has no body if it is ``bodiless``, whatever the answer's head says."""
        self._answer, self._in_head, self._bodiless = answer, True, bodiless
        if body is None or len(body) <= JOINED:
            self._socket.write(head + body if body else head)
            return
        self._unsent = len(body)
        self._socket.write(head)
        self._socket.write(body)

    def awaited(self, ends: float | None) -> asyncio.Future[None]:
        """What is to be done when something comes, which must be within the timeout."""
        self._due = self._deadline(ends)
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self._late)
        return self._loop.create_future()

    def resume(self) -> None:
        """There is room again."""
        if self._paused and not self.closed:
            self._paused = False
            self._socket.resume_reading()

    def linger(self) -> None:
        """What is left of the answer may still come, for a moment."""
        self.resume()
        if self._timer is not None:
            self._timer.cancel()
        self._due = self._loop.time() + LINGER
        self._timer = self._loop.call_at(self._due, self._late)

    def abort(self, fault: UpstreamError | None = None) -> None:
        """Closes the connection at once. Whoever waits for an answer over it is told the fault."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.end(fault)
        if not self.closed and self._made:
            self._socket.abort()
        self.closed = True

    # --- for the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._made, self._socket = True, cast("asyncio.Transport", transport)
        if self.closed:
            self._socket.abort()
        self._news = poll()
        self._news.register(transport.get_extra_info("socket").fileno(), POLLIN)

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:
            self.abort()
            return
        answer.heard, self._moved = True, False
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self.abort(UpstreamGarbled(f"the answer from {answer.url} is not HTTP as it should be"))
            return
        if self._answer is None:
            self._give_back()
        elif answer.full:
            self._wait_for_room(answer)
        else:
            self._dry = 0 if self._moved else self._dry + len(data)
            if self._dry > MAX_HEAD_BYTES:
                self.abort(
                    UpstreamGarbled(f"the answer from {answer.url} has a head of more than {MAX_HEAD_BYTES} bytes")
                )

    def eof_received(self) -> None:
        self.connection_cut(None)
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.connection_cut(exc)
        if self._timer is not None:
            self._timer.cancel()
        self._pool.lost(self)

    def connection_cut(self, error: Exception | None) -> None:
        """The other side has ended it."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.cut(error)

    def _give_back(self) -> None:
        if not self._keeps or self._surplus or self.closed or self._socket.get_write_buffer_size():
            self.abort()
            return
        self.resume()
        self._dry = 0
        self._pool.free(self)

    def _wait_for_room(self, answer: Answer) -> None:
        if answer.left:
            self.abort()
        elif not self._paused:
            self._paused = True
            self._socket.pause_reading()

    def _deadline(self, ends: float | None) -> float:
        due = self._loop.time() + self._patience
        return due if ends is None else min(due, ends)

    def _late(self) -> None:
        """The time may be over, unless what was waited for has come or a large request is still on its way."""
        self._timer = None
        answer = self._answer
        if answer is None or not (answer.waiting or answer.left):
            return
        unsent = self._socket.get_write_buffer_size()
        if 0 < unsent < self._unsent:
            self._unsent, self._due = unsent, self._deadline(answer.ends)
        if self._loop.time() < self._due:
            self._timer = self._loop.call_at(self._due, self._late)
        else:
            self.abort(UpstreamTimeout(f"no answer in time from {answer.url}"))

    # --- for the parser

    def on_message_begin(self) -> None:
        """An answer begins; there must be somebody whom it answers."""
        self._surplus = self._surplus or self._answer is None

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; those after the body are not kept."""
        if self._in_head and self._answer is not None:
            self._answer.headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1").rstrip())

    def on_headers_complete(self) -> None:
        """A head has come: that of the answer, or of one that says that there will be one (RFC 9110, 15.2)."""
        answer = self._answer
        if answer is None or not self._in_head:
            return
        status = self._parser.get_status_code()
        self._interim = status < 200
        if self._interim:
            answer.headers.clear()
            return
        self._in_head, self._moved, self._keeps = False, True, self._parser.should_keep_alive()
        answer.begin(status)
        if self._bodiless:
            self._answer, self._keeps = None, False
            answer.end()

    def on_body(self, data: bytes) -> None:
        """Some of the body has come."""
        self._moved = True
        if self._answer is not None:
            self._answer.put(data)

    def on_message_complete(self) -> None:
        """The answer has come whole, but for those that only say that there will be one."""
        answer = self._answer
        if answer is not None and not self._interim:
            self._answer = None
            answer.end()
        self._interim = False
