"""The server process: uvicorn around the app, with a banner once it listens."""

from __future__ import annotations

import errno
import signal
import socket

import uvicorn

from gateway.app import create_app
from gateway.banner import banner
from gateway.catalog import Catalog
from gateway.config import Settings
from gateway.telemetry import logs

BACKLOG = 2048


def run(settings: Settings) -> None:
    """Serves until a signal ends it.

    Raises:
        InvalidSettings, NameTaken: when the app cannot be built.
        OSError: when the address cannot be listened on.
    """
    logs.configure()
    Server(settings).run()


class Server(uvicorn.Server):
    """A gateway on a socket of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._catalog = Catalog.of(settings)
        self.socket = _listen(settings.server.host, settings.server.port)
        super().__init__(
            uvicorn.Config(
                create_app(settings, self._catalog),
                http="httptools",
                loop="uvloop",
                lifespan="on",
                access_log=False,
                log_level="warning",
                server_header=False,
                ws="none",
                timeout_graceful_shutdown=round(settings.server.drain_seconds),
            )
        )

    @property
    def address(self) -> str:
        """Where it listens, as a URL."""
        host, port = self.socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves until SIGINT or SIGTERM. uvicorn raises the signal once more after a graceful end, which is none."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _already_heard)
        super().run(sockets or [self.socket])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(banner(self._settings, self._catalog, self.address), flush=True)  # noqa: T201


def _already_heard(number: int, frame: object) -> None:
    """Nothing is left to do."""


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OSError(f"port {port} is taken; choose another one with --port") from error
        raise
