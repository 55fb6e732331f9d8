"""InForce: which settings a worker serves by, and how others come into force."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from mmap import mmap
from typing import Any

from gateway.errors import SettingsRefused


class Wanted:
    """When somebody has last asked for the settings to be read again, for all workers. To be made before they are
    forked."""

    def __init__(self) -> None:
        self._word = memoryview(mmap(-1, 8)).cast("q")

    @property
    def at(self) -> int:
        """The time of that, in nanoseconds; 0 for never."""
        return self._word[0]

    def ask(self) -> None:
        """Somebody asks now."""
        self._word[0] = time.time_ns()


async def _cannot() -> None:
    raise SettingsRefused("this app was made without a server, and its settings stay as they are")


@dataclass(slots=True)
class InForce:
    """What is told of the settings of this worker.

    Attributes:
        since: when they came into force.
        changes: how often others have.
        refused: why those that were read last did not come into force; empty when they did.
        takes_restart: keys that have changed in the file, and that only another start brings into force.
        reload: reads them again; raises SettingsRefused when they cannot be used.
    """

    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    changes: int = 0
    refused: str = ""
    takes_restart: tuple[str, ...] = ()
    reload: Callable[[], Awaitable[None]] = _cannot

    def to_json(self) -> dict[str, Any]:
        """The same as the admin API tells it."""
        return {
            "in_force_since": self.since.isoformat(),
            "changes": self.changes,
            "refused": self.refused or None,
            "takes_restart": list(self.takes_restart),
        }
