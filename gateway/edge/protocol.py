"""HTTP/1.1 as the server reads it, before there is a request for the gate."""

from __future__ import annotations

from http import HTTPStatus

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.errors import HeadTooLarge, InvalidHTTP
from gateway.faults import Fault

MAX_HEAD_BYTES = 64 * 1024
"""The longest head of a request, its line and headers, that is read."""


class Http(HttpToolsProtocol):
    """HTTP/1.1, with a bound on heads, and with refusals in the words of the API that was asked."""

    _in_head = False
    _read = 0
    _fault: InvalidHTTP | None = None

    def data_received(self, data: bytes) -> None:
        """Takes what came over the wire."""
        super().data_received(data)
        if self._in_head:
            self._read += len(data)
            if self._read > MAX_HEAD_BYTES and not self.transport.is_closing():
                self._fault = _too_large()
                self.send_400_response("")

    def on_message_begin(self) -> None:
        """The head of a request begins."""
        self._in_head, self._read = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head of a request is whole; what is raised here becomes a refusal."""
        self._in_head = False
        self._fault = self._checked()
        if self._fault is not None:
            raise self._fault
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuses what is no request. An answer that has begun is only cut off."""
        if not self._has_begun():
            fault = Fault.of(self._fault or InvalidHTTP(msg))
            body = orjson.dumps(fault.body_for(getattr(self, "url", b"").decode("latin-1")))
            head = f"HTTP/1.1 {fault.status} {HTTPStatus(fault.status).phrase}\r\ncontent-type: application/json\r\n"
            self.transport.write(f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
        self.transport.close()

    def _has_begun(self) -> bool:
        """Whether a part of an answer is on the wire."""
        cycle: RequestResponseCycle | None = getattr(self, "cycle", None)
        return cycle is not None and cycle.response_started and not cycle.response_complete

    def _checked(self) -> InvalidHTTP | None:
        """What is wrong with a whole head, if anything is (RFC 9112, 3.2 and 6.1)."""
        hosts, size = 0, len(self.url)
        for name, value in self.headers:
            size += len(name) + len(value)
            if name == b"host":
                hosts += 1
            elif name == b"transfer-encoding" and value.strip().lower() != b"chunked":
                return InvalidHTTP("Transfer-Encoding must be chunked.")
        if size > MAX_HEAD_BYTES:
            return _too_large()
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            return InvalidHTTP("A request must have one Host header.")
        return None


def _too_large() -> HeadTooLarge:
    return HeadTooLarge(f"The head of your request is longer than {MAX_HEAD_BYTES} bytes.")
