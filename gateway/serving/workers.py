"""Several processes on one port: each is a gateway of its own, and one that dies is started again.

The kernel spreads connections over the sockets that listen (``SO_REUSEPORT``); this process holds the port and serves
nothing. SIGTERM or SIGINT here lets all of them drain. Should this process be killed, they see its end of a pipe close,
and drain too.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import TypeAlias

FORKED = get_context("fork")
SIGNALS = 64
"""How many signals are taken note of at a time."""
PAUSE = 1.0
"""How many seconds are between two starts of a worker that dies at once."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a worker is given.

    Attributes:
        number: which it is, from 0 on; one that is started again has that of the one before.
        is_first: whether it is started before all others.
        is_again: whether it is started in the place of one that died.
        alive: what is readable once the parent is gone.
        ready: to be called when it is ready.
    """

    number: int
    is_first: bool
    is_again: bool
    alive: Connection
    ready: Callable[[], None]


Serve: TypeAlias = Callable[[Place], None]
"""What a worker does until it is told to stop."""


class WorkerFailed(Exception):
    """A worker ended before it had ever been ready; it has said why."""


@dataclass(slots=True)
class Worker:
    """A process that serves."""

    process: ForkProcess
    ready: Connection
    begun: float
    was_ready: bool = False

    def look(self) -> None:
        """Takes note of whether it has become ready."""
        if not self.was_ready and self.ready.poll():
            with suppress(EOFError):
                self.was_ready = bool(self.ready.recv_bytes())


@dataclass(slots=True)
class Workers:
    """``number`` processes that do ``serve``."""

    number: int
    serve: Serve
    reload: Callable[[], None]
    """What SIGHUP calls."""
    _running: dict[int, Worker] = field(default_factory=dict)
    _stopping: bool = False

    def run(self) -> None:
        """Keeps them running until a signal; then waits until all of them have drained.

        Raises:
            WorkerFailed: when one cannot start; the others have been stopped.
        """
        here, there = socket.socketpair()
        for end in (here, there):
            end.setblocking(False)
        alive, held = FORKED.Pipe(duplex=False)
        signal.set_wakeup_fd(there.fileno())
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._reload)
        try:
            self._keep(here, alive, held)
        finally:
            self._end_all()
            signal.set_wakeup_fd(-1)
            for each in (here, there, alive, held):
                each.close()

    def _keep(self, signals: socket.socket, alive: Connection, held: Connection) -> None:
        for number in range(self.number):
            self._start(number, alive, held)
        while not self._stopping:
            wait([signals, *(worker.process.sentinel for worker in self._running.values())])
            with suppress(BlockingIOError):
                signals.recv(SIGNALS)
            for number, worker in list(self._running.items()):
                worker.look()
                if worker.process.is_alive() or self._stopping:
                    continue
                if not worker.was_ready:
                    raise WorkerFailed
                print(f"penstock: worker {number} ended, and is started again", file=sys.stderr)  # noqa: T201
                if time.monotonic() - worker.begun < PAUSE:
                    wait([signals], PAUSE)
                self._start(number, alive, held)

    def _start(self, number: int, alive: Connection, held: Connection) -> None:
        if self._stopping:
            return
        ready, tell = FORKED.Pipe(duplex=False)
        place = partial(Place, number, not self._running, number in self._running, alive)
        process = FORKED.Process(target=self._work, args=(place, held, tell))
        process.start()
        tell.close()
        self._running[number] = Worker(process, ready, time.monotonic())

    def _work(self, place: Callable[[Callable[[], None]], Place], held: Connection, tell: Connection) -> None:
        """In the child: out of the terminal's reach, without the parent's end of the pipe."""
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        held.close()
        self.serve(place(lambda: tell.send_bytes(b"ready")))

    def _reload(self, *_: object) -> None:
        self.reload()

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _end_all(self) -> None:
        """Tells all of them to stop, and waits; again and again, as one that has just been made may not hear it."""
        while running := [worker.process for worker in self._running.values() if worker.process.is_alive()]:
            for process in running:
                process.terminate()
            wait([process.sentinel for process in running], PAUSE)
        for worker in self._running.values():
            worker.ready.close()
