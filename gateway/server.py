"""The server process: uvicorn around the app, with a banner once it listens."""

from __future__ import annotations

import errno
import signal
import socket
from math import ceil
from types import FrameType

import uvicorn

from gateway.app import create_app
from gateway.banner import banner
from gateway.catalog import Catalog
from gateway.config import Settings
from gateway.endpoints.health import Readiness

BACKLOG = 2048


def run(settings: Settings) -> None:
    """Serves until a signal ends it.

    Raises:
        InvalidSettings: when the app cannot be built.
        ModelError: when the files of a model cannot be used.
        ToolsetUnavailable: when the tools of a server cannot be used.
        OSError: when the address cannot be listened on.
    """
    Server(settings).run()


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
                http="httptools",
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
