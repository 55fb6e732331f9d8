"""The server process: uvicorn around the app, with a banner once it listens."""

from __future__ import annotations

import asyncio
import errno
import gc
import signal
import socket
import sys
from dataclasses import dataclass
from functools import partial
from math import ceil
from types import FrameType

import uvicorn

from gateway.catalog.catalog import Catalog
from gateway.config import Settings
from gateway.config.faults import InvalidSettings
from gateway.edge.protocol import Http
from gateway.serving.banner import banner
from gateway.serving.in_force import Wanted
from gateway.serving.reloading import Reloading
from gateway.serving.standing import Standing
from gateway.serving.workers import Place, Workers
from gateway.telemetry.board import Boards
from gateway.telemetry.feed import Feed
from gateway.telemetry.metrics import Metrics

BACKLOG = 2048


def run(settings: Settings) -> None:
    """Serves until a signal ends it; with several workers, in a process each.

    Raises:
        InvalidSettings: when the app cannot be built.
        ModelError: when the files of a model cannot be used.
        ToolsetUnavailable: when the tools of a server cannot be used.
        OSError: when the address cannot be listened on.
        WorkerFailed: when a worker cannot start.
    """
    if settings.server.workers == 1:
        Server(settings).run()
        return
    with _held(settings.server.host, settings.server.port) as held:
        at = held.getsockname()[:2]
        workers = settings.server.workers
        memory = Memory(Boards(workers), Feed(workers), Wanted())
        Workers(workers, partial(_serve, settings, at, memory), memory.wanted.ask).run()


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory that all workers have in common."""

    boards: Boards
    feed: Feed
    wanted: Wanted


def _serve(settings: Settings, at: tuple[str, int], memory: Memory, place: Place) -> None:
    """A worker; the first one tells the operator what is served."""
    standing = Standing(Metrics(memory.boards, place.number), memory.feed, place.number)
    listening = _listen(*at, reuse_port=True)
    try:
        if place.is_again:
            settings = _again(settings, standing)
        Server(settings, listening, standing, memory.wanted, place).run()
    except (InvalidSettings, OSError) as error:
        sys.exit(f"penstock: {error}")


def _again(settings: Settings, standing: Standing) -> Settings:
    """The settings as they are by now; those of the start where these cannot be used."""
    try:
        now = settings.again()
        Catalog.of(now)
    except InvalidSettings as error:
        standing.hide(settings.secrets)
        standing.log.error("settings_refused", because=str(error), in_force="those of the start")
        return settings
    return now


class Server(uvicorn.Server):
    """A gateway on a socket of its own."""

    def __init__(
        self,
        settings: Settings,
        listening: socket.socket | None = None,
        standing: Standing | None = None,
        wanted: Wanted | None = None,
        place: Place | None = None,
    ) -> None:
        self._settings = settings
        self._place = place
        self._standing = standing or Standing()
        self._wanted = wanted or Wanted()
        self._app = Reloading(settings, self._standing, self._wanted)
        self.socket = listening or _listen(settings.server.host, settings.server.port)
        super().__init__(
            uvicorn.Config(
                self._app,
                http=Http,
                loop="uvloop",
                lifespan="on",
                proxy_headers=False,
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
        self._standing.readiness.ready = False
        super().handle_exit(sig, frame)

    def _orphaned(self) -> None:
        """Begins to stop, as the process that started this one is gone."""
        assert self._place is not None  # noqa: S101 - it has become readable
        asyncio.get_running_loop().remove_reader(self._place.alive.fileno())
        self.handle_exit(signal.SIGTERM, None)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Makes everything ready and listens. What cannot be made ready is raised here: of what fails inside the app
        uvicorn prints a traceback."""
        try:
            await self._app.catalog.start()
        except BaseException:
            await self._app.catalog.close()
            raise
        await super().startup(sockets)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._wanted.ask)
        gc.collect()
        gc.freeze()
        forget_generators()
        if self.started and self._place is not None:
            self._place.ready()
            asyncio.get_running_loop().add_reader(self._place.alive.fileno(), self._orphaned)
        if self.started and (self._place is None or self._place.is_first):
            print(banner(self._settings, self._app.catalog, self.address), flush=True)  # noqa: T201


def forget_generators() -> None:
    """From here on the running loop keeps no list of the generators that are under way, to close them at its end: here
    each is closed by whoever pulls it. One that is left to the garbage collector is closed by the loop all the same."""
    sys.set_asyncgen_hooks(firstiter=None)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _held(host: str, port: int) -> socket.socket:
    """A socket that holds a port which nobody else has for those who listen on it with ``SO_REUSEPORT``."""
    _listen(host, port).close()
    held = socket.socket(_family(host))
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind((host, port))
    return held


def _listen(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """A socket that listens. What its connections are sent leaves at once: asyncio's own loop does not see to that
    where it is given the socket, and an answer in two parts then takes 40 ms, the time of a delayed acknowledgement."""
    try:
        listening = socket.create_server((host, port), family=_family(host), backlog=BACKLOG, reuse_port=reuse_port)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OSError(f"port {port} is taken; choose another one with --port") from error
        raise
