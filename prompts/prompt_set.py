"""PromptSet: the prompts that are in force together, by name, version and label. It never changes; it is replaced."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from prompts.artifact import LLMPromptArtifact
from prompts.checks import LATEST
from prompts.errors import InvalidPrompt, UnknownPrompt
from prompts.files import is_prompt, load
from prompts.names import LIKELY, did_you_mean

PRODUCTION = "production"
"""The label of the version that a bare name stands for, where one has it."""


@dataclass(frozen=True, slots=True)
class Origin:
    """An artifact, and where it comes from: a file, or ``Python``."""

    artifact: LLMPromptArtifact
    source: str


@dataclass(frozen=True, slots=True)
class PromptSet:
    """Artifacts by name. All versions of a name come from one place: the operator's folder, Python, or the library that
    ships, in this order."""

    prompts: Mapping[str, tuple[Origin, ...]]
    """The versions of each name, the highest first."""

    @classmethod
    def of(cls, folder: Path | None = None, artifacts: Iterable[LLMPromptArtifact] = ()) -> PromptSet:
        """The library that ships, ``artifacts`` over it, and ``folder`` over both.

        Raises:
            InvalidPrompt: one line for each fault, with file, line and remedy.
        """
        prompts = _by_name(_loaded(files("prompts").joinpath("library")))
        prompts |= _by_name(Origin(artifact, "Python") for artifact in artifacts)
        if folder is not None:
            if not folder.is_dir():
                raise InvalidPrompt(f"{folder.absolute()}: there is no such folder of prompts")
            prompts |= _by_name(_loaded(folder))
        return cls(dict(sorted(prompts.items())))

    def __getitem__(self, reference: str) -> LLMPromptArtifact:
        """The artifact of ``name``, ``name@v3`` or ``name@label``. A bare name is the version with the label
        ``production``, or where none has it, the highest.

        Raises:
            UnknownPrompt: when there is none; the message lists those that exist.
        """
        return self.origin(reference).artifact

    def origin(self, reference: str) -> Origin:
        """The same, and where it comes from.

        Raises:
            UnknownPrompt: when there is none.
        """
        name, at, wanted = reference.partition("@")
        if name not in self.prompts:
            hint = did_you_mean(name, self.prompts, LIKELY)
            raise UnknownPrompt(f"there is no prompt '{name}'; there are: {', '.join(self.prompts)}{hint}")
        versions = self.prompts[name]
        for origin in versions:
            if (wanted or PRODUCTION) in _keys(origin):
                return origin
        if not at or wanted == LATEST:
            return versions[0]
        known = [key for origin in versions for key in _keys(origin)]
        hint = did_you_mean(wanted, known, LIKELY)
        raise UnknownPrompt(f"prompt '{name}' has no '{wanted}'; it has: {', '.join(known)}, {LATEST}{hint}")


def _keys(origin: Origin) -> tuple[str, ...]:
    """What stands behind the ``@`` for an artifact: its version and its labels."""
    return (f"v{origin.artifact.version}", *origin.artifact.labels)


def _loaded(folder: Traversable) -> Iterator[Origin]:
    """The prompts of a folder; what is wrong with them is told at the end, all of it."""
    faults = []
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if is_prompt(path):
            try:
                yield Origin(load(path), str(path))
            except InvalidPrompt as error:
                faults.append(str(error))
    if faults:
        raise InvalidPrompt("\n".join(faults))


def _by_name(origins: Iterable[Origin]) -> dict[str, tuple[Origin, ...]]:
    """The versions of each name, the highest first.

    Raises:
        InvalidPrompt: when two have the same version, or the same label.
    """
    grouped: dict[str, list[Origin]] = {}
    for origin in origins:
        grouped.setdefault(origin.artifact.name, []).append(origin)
    for name, found in grouped.items():
        seen: dict[str, str] = {}
        for origin in found:
            for key in dict.fromkeys(_keys(origin)):
                if key in seen:
                    what = f"{origin.source}: prompt '{name}' has '{key}' in {seen[key]} already"
                    raise InvalidPrompt(f"{what}; give each version and each label once")
                seen[key] = origin.source
        found.sort(key=lambda origin: -origin.artifact.version)
    return {name: tuple(found) for name, found in grouped.items()}
