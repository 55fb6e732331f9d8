"""The prompts that are in force: the library that ships, and the operator's own folder over it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from prompts.artifact import LLMPromptArtifact
from prompts.errors import InvalidPrompt, UnknownPrompt


class PromptFile(BaseModel):
    """The keys of a TOML file with a prompt, as in :class:`LLMPromptArtifact`."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: str
    version: int = 1
    description: str = ""
    prompt_template: list[dict[str, str]]
    prompt_legend: dict[str, dict[str, str]] = {}
    invocation_config: dict[str, Any] = {}


class PromptStore:
    """Artifacts by name. A prompt in ``folder`` replaces the one of the same name in the library that ships.

    Raises:
        InvalidPrompt: when a file is no TOML, has an unknown key, or holds a template that cannot be used.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._prompts = {artifact.name: artifact for artifact in self._load_all(folder)}

    def __getitem__(self, name: str) -> LLMPromptArtifact:
        """The artifact of this name.

        Raises:
            UnknownPrompt: when there is none; the message lists those that exist.
        """
        try:
            return self._prompts[name]
        except KeyError:
            known = ", ".join(sorted(self._prompts))
            raise UnknownPrompt(f"there is no prompt '{name}'; there are: {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._prompts))

    @staticmethod
    def _load_all(folder: Path | None) -> Iterator[LLMPromptArtifact]:
        sources: list[Traversable] = [files("prompts").joinpath("library")]
        if folder is not None:
            if not folder.is_dir():
                raise InvalidPrompt(f"{folder}: there is no such folder of prompts")
            sources.append(folder)
        for source in sources:
            for path in sorted(source.iterdir(), key=lambda path: path.name):
                if path.name.endswith(".toml"):
                    yield load(path)


def load(path: Traversable) -> LLMPromptArtifact:
    """The artifact in one TOML file.

    Raises:
        InvalidPrompt: naming the file, and where TOML itself is broken, its line.
    """
    try:
        fields: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidPrompt(f"{path}: {error}") from error
    unknown = sorted(fields.keys() - PromptFile.model_fields.keys())
    if unknown:
        raise InvalidPrompt(
            f"{path}: unknown key '{unknown[0]}'; known are {', '.join(sorted(PromptFile.model_fields))}"
        )
    try:
        read = PromptFile(**{"name": path.name.removesuffix(".toml"), **fields})
        return LLMPromptArtifact(**read.model_dump())
    except ValidationError as error:
        fault = error.errors()[0]
        raise InvalidPrompt(f"{path}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error
    except InvalidPrompt as error:
        raise InvalidPrompt(f"{path}: {error}") from error
