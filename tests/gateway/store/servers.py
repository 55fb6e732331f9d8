"""A real Redis of one's own, which can be stopped, held up and started again."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

READY = b"eady to accept connections"


class RedisServer:
    """``redis-server`` on a Unix socket in a folder, and with ``port`` on that too. It keeps what it is told."""

    def __init__(self, folder: Path, *options: str, port: int = 0) -> None:
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self.tcp = f"redis://127.0.0.1:{port}/0"
        self._command = [
            *("redis-server", "--port", str(port), "--unixsocket", str(self.socket), "--dir", str(folder)),
            *("--save", "", "--appendonly", "yes", "--appendfsync", "always", *options),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, and returns once it listens."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if READY in line:
                return
        raise AssertionError("redis-server did not start")

    def kill(self) -> None:
        """Ends it at once."""
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._process = None

    def hold_up(self) -> None:
        """Keeps it from answering."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Lets it answer again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.kill()
