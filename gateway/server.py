"""The server process: uvicorn around the app, with a banner once it listens."""

from __future__ import annotations

import errno
import signal
import socket
from http import HTTPStatus
from math import ceil
from types import FrameType

import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.app import create_app
from gateway.banner import banner
from gateway.catalog import Catalog
from gateway.config import Settings
from gateway.endpoints.health import Readiness
from gateway.errors import Fault, HeadTooLarge, InvalidHTTP

BACKLOG = 2048
MAX_HEAD_BYTES = 64 * 1024
"""The longest head of a request, its line and headers, that is read."""


def run(settings: Settings) -> None:
    """Serves until a signal ends it.

    Raises:
        InvalidSettings: when the app cannot be built.
        ModelError: when the files of a model cannot be used.
        ToolsetUnavailable: when the tools of a server cannot be used.
        OSError: when the address cannot be listened on.
    """
    Server(settings).run()


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
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            fault = Fault.of(self._fault or InvalidHTTP(msg))
            body = orjson.dumps(fault.body_for(getattr(self, "url", b"").decode("latin-1")))
            head = f"HTTP/1.1 {fault.status} {HTTPStatus(fault.status).phrase}\r\ncontent-type: application/json\r\n"
            self.transport.write(f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
        self.transport.close()

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


class Server(uvicorn.Server):
    """A gateway on a socket of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._catalog = Catalog.of(settings)
        self._readiness = Readiness()
        self.socket = _listen(settings.server.host, settings.server.port)
        super().__init__(
            uvicorn.Config(
                create_app(settings, self._catalog, self._readiness),
                http=Http,
                loop="uvloop",
                lifespan="on",
                access_log=False,
                log_level="warning",
                server_header=False,
                ws="none",
                timeout_graceful_shutdown=ceil(settings.server.drain_seconds),
            )
        )

    @property
    def address(self) -> str:
        """Where it listens, as a URL."""
        host, port = self.socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves until SIGINT or SIGTERM, also one that comes before uvicorn listens for them. After a graceful end
        uvicorn raises the signal once more, which is none any more."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)
        super().run(sockets or [self.socket])

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins to stop: whoever asks whether the gateway is ready hears no from here on."""
        self._readiness.ready = False
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Makes everything ready and listens. What cannot be made ready is raised here: of what fails inside the app
        uvicorn prints a traceback."""
        try:
            await self._catalog.start()
        except BaseException:
            await self._catalog.close()
            raise
        await super().startup(sockets)
        if self.started:
            print(banner(self._settings, self._catalog, self.address), flush=True)  # noqa: T201


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OSError(f"port {port} is taken; choose another one with --port") from error
        raise
