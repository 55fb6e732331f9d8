"""PromptStore: the prompts that are in force now. It looks at its folder when it is asked, at most once a second."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias

from prompts.artifact import LLMPromptArtifact
from prompts.errors import InvalidPrompt, PromptError
from prompts.files import SUFFIXES
from prompts.prompt_set import PromptSet

Stamp: TypeAlias = frozenset[tuple[str, int, int, int]]
Report: TypeAlias = Callable[[InvalidPrompt | None], None]


def log(fault: InvalidPrompt | None) -> None:
    """Tells the log ``prompts`` that other prompts are in force, or why they are not."""
    if fault is None:
        logging.getLogger("prompts").info("prompts reloaded")
    else:
        logging.getLogger("prompts").warning("prompts not reloaded, those before stay in force: %s", fault)


class PromptStore:
    """Artifacts by name. Prompts in ``folder`` replace those of the same name in ``artifacts``, and these the ones of
    the library that ships.

    A change in the folder is in force with the next request: whoever asks makes the store look at the modification
    times, at most every ``look_seconds``. When a file is faulty, or a prompt in use is gone or can no longer be filled,
    everything stays as it was, and ``report`` is told why, once.

    Args:
        folder: the operator's files; only what lies in it itself, not in folders of it.
        artifacts: prompts that are made in Python.
        look_seconds: seconds between two looks at the folder; 0 looks whenever it is asked.
        report: called with None after a change, and with the fault of one that was refused.

    Raises:
        InvalidPrompt: when there is no such folder, or files in it cannot be used; a line for each fault.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        artifacts: Iterable[LLMPromptArtifact] = (),
        look_seconds: float = 1.0,
        report: Report = log,
    ) -> None:
        self.folder = folder
        self._artifacts = tuple(artifacts)
        self._look_seconds = look_seconds
        self._report = report
        self._uses: set[tuple[str, tuple[str, ...] | None]] = set()
        self._looking = threading.Lock()
        self._looked = time.monotonic()
        self._stamp = self._look()
        self._set = PromptSet.of(folder, self._artifacts)

    def __getstate__(self) -> dict[str, Any]:
        """A copy in another process has the same prompts, and looks at the same folder."""
        return {name: value for name, value in vars(self).items() if name not in ("_looking", "_report")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _looking=threading.Lock(), _report=log, _looked=time.monotonic())

    def __getitem__(self, reference: str) -> LLMPromptArtifact:
        """The artifact of ``name``, ``name@v3`` or ``name@label``, as it is now; see :meth:`PromptSet.__getitem__`.

        Raises:
            UnknownPrompt: when there is none; the message lists those that exist.
        """
        if time.monotonic() - self._looked >= self._look_seconds:
            self.refresh()
        return self._set[reference]

    def __iter__(self) -> Iterator[str]:
        return iter(self._set.prompts)

    @property
    def prompts(self) -> PromptSet:
        """All that are in force, with their versions."""
        return self._set

    def live(self, reference: str) -> LivePrompt:
        """The prompt of this reference, whichever version that is at the time.

        Raises:
            UnknownPrompt: when there is none now.
        """
        self._check(self._set, reference, None)
        self._uses.add((reference, None))
        return LivePrompt(self, reference)

    def require(self, reference: str, given: tuple[str, ...]) -> None:
        """Whoever uses this prompt fills these fields and no others: a later version that needs another is refused.

        Raises:
            InvalidPrompt: when the one in force does.
        """
        self._check(self._set, reference, given)
        self._uses.add((reference, given))

    def refresh(self) -> bool:
        """Looks at the folder now, and says whether other prompts are in force since."""
        if self.folder is None or not self._looking.acquire(blocking=False):
            return False
        try:
            self._looked = time.monotonic()
            stamp = self._look()
            if stamp == self._stamp:
                return False
            self._stamp = stamp
            return self._replace()
        finally:
            self._looking.release()

    def _replace(self) -> bool:
        try:
            new = PromptSet.of(self.folder, self._artifacts)
            for reference, given in self._uses:
                self._check(new, reference, given)
        except (PromptError, OSError) as error:
            self._report(error if isinstance(error, InvalidPrompt) else InvalidPrompt(str(error)))
            return False
        self._set = new
        self._report(None)
        return True

    @staticmethod
    def _check(prompts: PromptSet, reference: str, given: tuple[str, ...] | None) -> None:
        origin = prompts.origin(reference)
        if given is not None:
            try:
                origin.artifact.filled_by(*given)
            except InvalidPrompt as error:
                raise InvalidPrompt(f"{origin.source}: {error}", error.place) from None

    def _look(self) -> Stamp:
        """Name, time of change, size and number of each file; nothing is read."""
        found = set()
        try:
            with os.scandir(self.folder) if self.folder is not None else nullcontext(()) as entries:
                for entry in entries:
                    if entry.name.endswith(SUFFIXES):
                        status = entry.stat()
                        found.add((entry.name, status.st_mtime_ns, status.st_size, status.st_ino))
        except OSError:  # a file, or the folder, has just gone: loading it says what is wrong
            found.add(("", 0, 0, 0))
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class LivePrompt:
    """A prompt by its name in a store: always the version in force. It takes the place of an artifact in a model."""

    store: PromptStore
    reference: str

    @property
    def current(self) -> LLMPromptArtifact:
        """The artifact in force now."""
        return self.store[self.reference]

    def filled_by(self, *given: str) -> Self:
        """Itself, for whoever fills these fields and no others; later versions are held to it too.

        Raises:
            InvalidPrompt: when it needs another one.
        """
        self.store.require(self.reference, given)
        return self
