"""The gate: every request passes it first. It finds the endpoint, the caller, and sends every error there is."""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from secrets import token_hex
from typing import Any
from urllib.parse import quote

from structlog.typing import FilteringBoundLogger

from gateway.api_handler import APIHandler
from gateway.edge.body import ClientLeft, send_json
from gateway.edge.context import KEY, ASGIApp, Receive, RequestContext, Scope, Send
from gateway.edge.keys import KeyRing
from gateway.edge.limits import Limiter
from gateway.errors import Fault, Forbidden
from gateway.telemetry.logs import tell_fault


class Gate:
    """The outermost ASGI app. Nothing runs for a request before its path, its method and its key have been checked."""

    def __init__(
        self,
        table: APIHandler,
        keys: KeyRing,
        lifespan: ASGIApp,
        log: FilteringBoundLogger,
        limiter: Limiter | None = None,
    ) -> None:
        self.table = table
        self._keys = keys
        self._limiter = limiter
        self._lifespan = lifespan
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = Answer(send)
        path = raw_path(scope)
        try:
            match = self.table.match(scope["method"], path)
            principal = self._keys.principal(scope["headers"], match.role)
            scope[KEY] = RequestContext(answer.request_id, principal, match.params)
            scope["path"] = match.path
            if match.role != "anyone" and not principal.may_call(match.path):
                raise Forbidden(f"The key '{principal.name}' may not call {match.path}.")
            limited = answer if self._limiter is None else self._limiter.admit(principal.name, answer)
            await match.endpoint.app(scope, receive, limited)
        except ClientLeft:
            return
        except Exception as error:
            await self._fail(error, path, answer)

    async def _fail(self, error: Exception, path: str, answer: Answer) -> None:
        fault = Fault.of(error)
        tell_fault(self._log, "request failed", error, fault, request_id=answer.request_id, path=path)
        if not answer.started:
            await send_json(answer, fault.status, fault.body_for(path, answer.request_id), fault.headers)


class Answer:
    """``send`` with the headers that every answer carries."""

    def __init__(self, send: Send) -> None:
        self.request_id = f"req_{token_hex(16)}"
        self.started = False
        self._send = send
        self._begun = time.perf_counter()

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            milliseconds = round((time.perf_counter() - self._begun) * 1000)
            message["headers"] = [
                *message.get("headers", ()),
                (b"x-request-id", self.request_id.encode()),
                (b"request-id", self.request_id.encode()),
                (b"openai-processing-ms", str(milliseconds).encode()),
                (b"openai-version", b"2020-10-01"),
                (b"x-content-type-options", b"nosniff"),
            ]
        await self._send(message)


def raw_path(scope: Scope) -> str:
    """The path as it came over the wire, still percent-encoded."""
    raw: bytes | None = scope.get("raw_path")
    return raw.partition(b"?")[0].decode("latin-1") if raw is not None else quote(scope["path"])
