"""The gate: every request passes it first. It finds the endpoint, the caller, and sends every error there is."""

from __future__ import annotations

from collections.abc import MutableMapping
from contextlib import AbstractAsyncContextManager
from secrets import token_hex
from time import perf_counter_ns
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from structlog.typing import FilteringBoundLogger

from gateway.api_handler import APIHandler
from gateway.edge.body import ClientLeft, send_json
from gateway.edge.context import ANSWERED_BY, KEY, Receive, RequestContext, Scope, Send
from gateway.edge.keys import KeyRing
from gateway.edge.limits import Limiter
from gateway.edge.ping import Pings
from gateway.edge.sse import EVENTS
from gateway.errors import Forbidden
from gateway.faults import Fault
from gateway.telemetry.logs import tell_fault
from gateway.telemetry.passage import ENDPOINT, WRITE, Passage
from gateway.telemetry.requests import RequestMetrics

ALWAYS = ((b"openai-version", b"2020-10-01"), (b"x-content-type-options", b"nosniff"))
MAX_NAME = 512
"""How much is logged of the name that a client gives its request."""


class Gate:
    """The outermost ASGI app. Nothing runs for a request before its path, its method and its key have been checked."""

    def __init__(
        self,
        table: APIHandler,
        keys: KeyRing,
        control: Starlette,
        log: FilteringBoundLogger,
        *,
        requests: RequestMetrics,
        limiter: Limiter | None = None,
        ping_seconds: float = 0,
    ) -> None:
        self.table = table
        self._keys = keys
        self._limiter = limiter
        self._control = control
        self._log = log
        self._ping_seconds = ping_seconds
        self._requests = requests

    def life(self) -> AbstractAsyncContextManager[object]:
        """Around the time in which it serves, for whoever does not speak the lifespan protocol of ASGI with it."""
        return self._control.router.lifespan_context(self._control)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._control(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        passage = self._requests.begin(scope)
        answer = Answer(send, self._ping_seconds, passage)
        path, endpoint = raw_path(scope), None
        ANSWERED_BY.set(answer.deployments)
        try:
            match = self.table.match(scope["method"], path)
            principal = self._keys.principal(scope["headers"], match.role)
            endpoint = match.endpoint
            scope[KEY] = RequestContext(answer.request_id, principal, match.params)
            scope["path"] = match.path
            if match.role != "anyone" and not principal.may_call(match.path):
                raise Forbidden(f"The key '{principal.name}' may not call {match.path}.")
            limited = answer if self._limiter is None else self._limiter.admit(principal.accounts, answer)
            passage.turn(ENDPOINT)
            await endpoint.app(scope, receive, limited)
        except ClientLeft:
            return
        except Exception as error:
            self._requests.fail(endpoint, error)
            await self._fail(error, scope, path, answer)
        finally:
            answer.close()
            self._requests.end(passage, endpoint, answer.status, answer.request_id)

    async def _fail(self, error: Exception, scope: Scope, path: str, answer: Answer) -> None:
        fault = Fault.of(error)
        where = {"request_id": answer.request_id, "client_request_id": _named_by_client(scope), "path": path}
        if answer.trace_id:
            where["trace_id"] = answer.trace_id
        tell_fault(self._log, "request failed", error, fault, **where)
        if not answer.started:
            await send_json(answer, fault.status, fault.body_for(path, answer.request_id), fault.headers)


class Answer:
    """``send`` with the headers that every answer carries."""

    def __init__(self, send: Send, ping_seconds: float, passage: Passage) -> None:
        self.request_id = f"req_{token_hex(16)}"
        self.status = 0
        self.deployments: list[str] = []
        self._passage = passage
        self._send = send
        self._ping_seconds = ping_seconds
        self._pings: Pings | None = None

    @property
    def started(self) -> bool:
        """Whether the status has gone out."""
        return self.status != 0

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        came_from = self._passage.turn(WRITE)
        try:
            await (self._begin(message) if message["type"] == "http.response.start" else self._send(message))
        finally:
            self._passage.turn(came_from)

    async def _begin(self, message: MutableMapping[str, Any]) -> None:
        self.status = message["status"]
        is_stream = EVENTS in message.get("headers", ())
        request_id = self.request_id.encode()
        milliseconds = round((perf_counter_ns() - self._passage.begun) / 1_000_000)
        message["headers"] = [
            *message.get("headers", ()),
            (b"x-request-id", request_id),
            (b"request-id", request_id),
            (b"openai-processing-ms", b"%d" % milliseconds),
            *ALWAYS,
        ]
        if self.deployments:
            named = ", ".join(quote(name, safe="/:@") for name in self.deployments)
            message["headers"].append((b"x-penstock-deployment", named.encode()))
        await self._send(message)
        if is_stream and self._ping_seconds:
            self._send = self._pings = Pings(self._send, self._ping_seconds)

    @property
    def trace_id(self) -> str:
        """That of the trace that the request is in, as collectors write it; empty where there is none."""
        span = self._passage.span
        return "" if span is None else f"{span.get_span_context().trace_id:032x}"

    def close(self) -> None:
        """Whatever became of it, nothing more is said."""
        if self._pings is not None:
            self._pings.close()


def _named_by_client(scope: Scope) -> str | None:
    """What the client calls its request in ``X-Client-Request-Id``, for the log alone. No other id of a client's is
    taken: that of the gateway is also the id of what it keeps and records, and so must be one that nobody chooses."""
    named = next((value for name, value in scope["headers"] if name == b"x-client-request-id"), None)
    return None if named is None else named[:MAX_NAME].decode("ascii", "replace")


def raw_path(scope: Scope) -> str:
    """The path as it came over the wire, still percent-encoded."""
    raw: bytes | None = scope.get("raw_path")
    return raw.partition(b"?")[0].decode("latin-1") if raw is not None else quote(scope["path"])
