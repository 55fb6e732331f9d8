"""Prompts in files: TOML and YAML as artifacts, and every fault with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from typing import Any, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from prompts.artifact import LLMPromptArtifact
from prompts.checks import Place
from prompts.errors import InvalidPrompt
from prompts.names import LIKELY, did_you_mean

Lines: TypeAlias = Mapping[Place, int]
SUFFIXES = (".toml", ".yaml", ".yml")
_STEM = re.compile(r"(?P<name>.+?)(@v(?P<version>\d+))?")


class PromptFile(BaseModel):
    """The keys of a file with a prompt, as in :class:`LLMPromptArtifact`."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: str
    version: int = 1
    labels: list[str] = []
    description: str = ""
    prompt_template: list[dict[str, Any]]
    prompt_legend: dict[str, dict[str, str | None]] = {}
    invocation_config: dict[str, Any] = {}


def is_prompt(path: Traversable) -> bool:
    """Whether a file is one with a prompt, by its name."""
    return path.name.endswith(SUFFIXES) and not path.name.startswith(".") and path.is_file()


def load(path: Traversable) -> LLMPromptArtifact:
    """The artifact in one file. ``greeting@v3.toml`` says name and version by itself.

    Raises:
        InvalidPrompt: naming the file, the line and the remedy.
    """
    try:
        text = path.read_text(encoding="utf-8")
        written = _read_toml(text) if path.name.endswith(".toml") else _read_yaml(text)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidPrompt(f"{path}: {error}") from error
    except _Unreadable as error:
        raise InvalidPrompt(f"{path}:{error.line}: {error}") from error
    try:
        return _artifact(_named(path.name, written))
    except InvalidPrompt as error:
        line = _line(error.place, _toml_lines(text, error.place) if path.name.endswith(".toml") else _yaml_lines(text))
        raise InvalidPrompt(f"{path}:{line}: {error}", error.place) from error


class _Unreadable(Exception):
    """A file that is no TOML, or no YAML."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def _artifact(fields: Mapping[str, Any]) -> LLMPromptArtifact:
    for key in fields:
        if key not in PromptFile.model_fields:
            hint = did_you_mean(key, PromptFile.model_fields, LIKELY)
            known = ", ".join(sorted(PromptFile.model_fields))
            raise InvalidPrompt(f"unknown key '{key}'; known are {known}{hint}", (key,))
    try:
        return LLMPromptArtifact(**PromptFile(**fields).model_dump())
    except ValidationError as error:
        fault = error.errors()[0]
        message = "this is missing; write it" if fault["type"] == "missing" else fault["msg"]
        raise InvalidPrompt(f"{'.'.join(map(str, fault['loc']))}: {message}", fault["loc"]) from error


def _named(file: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields, with those that the name of the file says."""
    found = _STEM.fullmatch(file.rpartition(".")[0])
    said = {"name": found["name"] if found else file}
    if found and found["version"]:
        said["version"] = int(found["version"])
        for key, value in said.items():
            if fields.get(key, value) != value:
                remedy = f"'{key}' is {fields[key]!r}; leave it out, or rename the file"
                raise InvalidPrompt(f"the file's name says that {key} is {value!r}, and {remedy}", (key,))
    return said | fields


def _read_toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"at line (\d+)", str(error))
        raise _Unreadable(str(error), int(at[1]) if at else text.count("\n") + 1) from error


def _read_yaml(text: str) -> dict[str, Any]:
    try:
        lines = _yaml_lines(text)
        tree = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        raise _Unreadable(str(error.problem), error.problem_mark.line + 1 if error.problem_mark else 1) from error
    except (yaml.YAMLError, ValueError) as error:
        raise _Unreadable(str(error), 1) from error
    except RecursionError as error:
        raise _Unreadable("something in the file contains itself; write it out", 1) from error
    if not isinstance(tree, dict):
        raise _Unreadable("the file is no mapping; it starts with a key such as 'prompt_template:'", 1)
    for key in tree:
        if not isinstance(key, str):
            raise _Unreadable(f"the key {key!r} is no text; write it in quotation marks", lines.get((str(key),), 1))
    return tree


def _line(place: Place, lines: Lines) -> int:
    """The line of a place; of something that is missing, the line of what it is missing in."""
    return next((lines[place[:depth]] for depth in range(len(place), 0, -1) if place[:depth] in lines), 1)


def _toml_lines(text: str, place: Place) -> Lines:
    """The lines where the parts of a place begin. TOML's reader does not tell them, so ever more of the file is read: a
    place begins with the line after the last reading that did not have it."""
    found: dict[Place, int] = {}
    begins, lines = 0, text.splitlines()
    for number in range(1, len(lines) + 1):
        try:
            tree: Any = tomllib.loads("\n".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            continue
        while begins < number - 1 and lines[begins].strip()[:1] in ("", "#"):
            begins += 1
        for depth in range(1, len(place) + 1):
            if place[:depth] not in found and _stands(tree, place[:depth]):
                found[place[:depth]] = begins + 1
        begins = number
    return found


def _stands(tree: Any, place: Place) -> bool:
    for key in place:
        try:
            tree = tree[key]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _yaml_lines(text: str) -> Lines:
    """The line of each key and item. A key that stands twice is refused: YAML would forget the first."""
    lines: dict[Place, int] = {}

    def walk(node: yaml.Node, place: Place) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                line = key.start_mark.line + 1
                if not isinstance(key.value, str):
                    raise _Unreadable("a key here is no text; write one", line)
                if (*place, key.value) in lines:
                    raise _Unreadable(f"the key '{key.value}' stands here a second time; leave one out", line)
                lines[*place, key.value] = line
                walk(value, (*place, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                lines[*place, index] = item.start_mark.line + 1
                walk(item, (*place, index))

    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is not None:
        walk(root, ())
    return lines
