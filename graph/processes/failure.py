"""Failure: an exception on its way out of a worker process."""

from __future__ import annotations

import pickle
import traceback
from dataclasses import dataclass
from typing import Any

from graph.errors import RunError


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception that can be sent, and where it was raised."""

    error: Exception
    trace: str

    @classmethod
    def of(cls, error: Exception, step: str) -> Failure:
        """The exception as it can be sent, with its traceback as text."""
        trace = "".join(traceback.format_exception(error)).rstrip()
        return cls(sendable(error), f"in the process of step '{step}':\n{trace}")

    def raised(self) -> Exception:
        """The exception to raise, with the worker's traceback as a note."""
        self.error.add_note(self.trace)
        return self.error


def sendable(error: Exception) -> Exception:
    """The exception itself if it survives being sent, else a RunError with its text."""
    try:
        arrived: Any = pickle.loads(pickle.dumps(error))  # noqa: S301 - just made
    except Exception:
        arrived = None
    if type(arrived) is type(error):
        return error
    return RunError("".join(traceback.format_exception_only(error)).strip())
