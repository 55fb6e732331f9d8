"""Worker: one worker process, as the run sees it."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from multiprocessing.process import BaseProcess
from typing import Literal, TypeAlias

from graph.errors import RunError, WorkerLost
from graph.processes import inside
from graph.processes.wire import Reply, framed, received

GRACE = 0.5
"""Seconds that a worker is given to close a stream, or to end."""
START_SECONDS = 600.0
"""Seconds that a worker is given to start and to make a step."""
NEXT = framed(("next",))
CLOSE = framed(("close",))
Doing: TypeAlias = Literal["idle", "answering", "streaming"]


class Worker:
    """A process that serves one call at a time. It starts when a step is prepared, and again after it has ended.

    Attributes:
        doing: ``answering`` a request, ``streaming`` (a stream is open, and it waits for the next request), or idle.
        made: the names of the steps that have been made in it.
    """

    def __init__(self) -> None:
        self.doing: Doing = "idle"
        self.made: set[str] = set()
        self._process: BaseProcess | None = None
        self._connection: socket.socket | None = None
        self._starting = False
        self._unwanted = False
        self._lock = threading.Lock()

    def knows(self, step: str) -> bool:
        """Whether the step can be called at once: it has been made there, and the process still lives."""
        if self._process is not None and not self._process.is_alive():
            self.kill()
        return step in self.made

    async def prepare(self, step: str, request: bytes) -> None:
        """Starts the process where there is none, and makes the step in it.

        Raises:
            WorkerLost: when it ended, or was not ready in time.
            Exception: what making the step raised.
        """
        try:
            async with asyncio.timeout(START_SECONDS):
                if self._process is None:
                    await self._start()
                reply = await self.ask(step, request)
        except TimeoutError:
            raise WorkerLost(f"the process of step '{step}' was not ready within {START_SECONDS:g} s") from None
        finally:
            if self.doing != "idle":
                await self.end()
        if reply.kind == "error":
            raise reply.value.raised()
        self.made.add(step)

    async def ask(self, step: str, request: bytes) -> Reply:
        """Sends a request and waits for the reply. Whoever gives up waiting must end the worker.

        Raises:
            WorkerLost: when the process has ended.
            RunError: when the reply cannot be unpickled.
        """
        self.doing, connection = "answering", self._connection
        try:
            if connection is None:
                raise EOFError
            await asyncio.get_running_loop().sock_sendall(connection, request)
            frame = await received(connection)
        except (EOFError, OSError):
            ready = bool(self.made)
            raise WorkerLost(_last_words(step, await self.end(at_once=False), ready)) from None
        try:
            reply: Reply = frame.opened()
        except Exception as error:
            raise RunError(f"what came back from the process of step '{step}' cannot be read: {error}") from error
        self.doing = "streaming" if reply.kind == "chunk" else "idle"
        return reply

    # --- starting

    async def _start(self) -> None:
        """Starts the process in a thread; that takes some milliseconds, in which the loop goes on."""
        self.doing = "answering"
        self._starting, self._unwanted = True, False
        starting = asyncio.get_running_loop().run_in_executor(None, self._spawn)
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            await starting
            raise

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        process = multiprocessing.get_context("spawn").Process(target=inside.main, args=(theirs,), daemon=True)
        with theirs:
            try:
                process.start()
            except BaseException:
                self._starting = False
                ours.close()
                raise
        ours.setblocking(False)
        with self._lock:
            self._starting = False
            if not self._unwanted:
                self._connection, self._process = ours, process
                return
        ours.close()
        _reaped(process)

    # --- ending

    async def end(self, *, at_once: bool = True) -> int | None:
        """Ends the process, after a grace if not ``at_once``, and forgets it; gives its exit code, if it had one."""
        process = self._taken()
        try:
            if process is not None and (at_once or not await _ended(process)):
                process.terminate()
                await _ended(process)
        finally:
            code = None if process is None else _reaped(process)
            self._forget()
        return code

    def kill(self) -> None:
        """Ends the process without a word, now; for when no loop is there to wait in."""
        process = self._taken()
        if process is not None:
            _reaped(process)
        self._forget()

    def hang_up(self) -> None:
        """Tells the process to end; a stream in it is closed, a computation that does not yield is ended.

        May be called from any thread. A call that is in it gets WorkerLost; a process that is being started is ended
        as soon as it has been.
        """
        with self._lock:
            self._unwanted = self._starting
            connection, process = self._connection, self._process
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        if process is not None and self.doing == "answering":
            with suppress(ValueError):
                process.terminate()

    def reap(self) -> None:
        """Waits for the end of a process that has been told to, for a grace. May be called from any thread."""
        process = self._taken()
        if process is not None:
            process.join(GRACE)
            _reaped(process)
        if self.doing == "idle" and self._process is None:
            self._forget()

    def _taken(self) -> BaseProcess | None:
        """The process, for whoever is first to end it."""
        with self._lock:
            process, self._process = self._process, None
        return process

    def _forget(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(RuntimeError):
                loop = asyncio.get_running_loop()
                loop.remove_reader(connection)
                loop.remove_writer(connection)
            connection.close()
        self.made.clear()
        self.doing = "idle"


def end_all(workers: Iterable[Worker]) -> None:
    """Ends the processes of all workers, side by side."""
    for worker in workers:
        worker.hang_up()
    for worker in workers:
        worker.reap()


async def _ended(process: BaseProcess) -> bool:
    """Whether the process has ended within the grace."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(process.sentinel, ended.set)
    try:
        async with asyncio.timeout(GRACE):
            await ended.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(process.sentinel)
    return True


def _reaped(process: BaseProcess) -> int | None:
    """The exit code of a process that has ended, or does now."""
    process.kill()
    process.join()
    code = process.exitcode
    with suppress(ValueError):
        process.close()
    return code


def _last_words(step: str, code: int | None, ready: bool) -> str:
    """Why a call is lost."""
    if code is None:
        return f"the process of step '{step}' was closed while it worked"
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    if ready:
        return f"the process of step '{step}' {how} before its work did"
    return (
        f"the process of step '{step}' {how} before it was ready; it imports the main script, so what that runs must "
        "stand under `if __name__ == '__main__':`"
    )
