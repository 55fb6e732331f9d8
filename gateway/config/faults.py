"""Faults of the settings, told so that the operator can mend them: file, line, what is wrong, what to write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from gateway.config.told import Place, SettingFault


class InvalidSettings(Exception):
    """The settings cannot be used. The message is for the operator, one fault a line; it holds no values of secrets."""


def place_faults(
    error: ValidationError, path: Path | None, model: type[BaseModel], environment: Mapping[str, Any]
) -> str:
    """One line a fault: where it is, what is wrong, and for an unknown key the nearest known one."""
    lines = lines_of(path) if path else {}
    return "\n".join(
        f"{_where(fault.place, path, lines, environment)}: {fault.told}" for fault in _faults(error, model)
    )


def tell_faults(error: ValidationError, model: type[BaseModel], whole: str) -> str:
    """The same of what stands in no file and is called ``whole``, in one line."""
    return "; ".join(fault.told if fault.place else f"{whole}: {fault.told}" for fault in _faults(error, model))


def _faults(error: ValidationError, model: type[BaseModel]) -> Iterator[SettingFault]:
    """What is wrong, without what only follows from it."""
    faults = [SettingFault.of(each, model) for each in error.errors(include_url=False)]
    return (fault for fault in faults if not fault.follows(faults))


def _where(place: Place, path: Path | None, lines: Mapping[Place, int], environment: Mapping[str, Any]) -> str:
    """The variable or the line that a fault is in; the nearest line above it where the fault is something missing."""
    if place and _stands_at(environment, place):
        return f"PENSTOCK_{'__'.join(str(key).upper() for key in place)}"
    line = next((lines[place[:depth]] for depth in range(len(place), 0, -1) if place[:depth] in lines), None)
    return f"{path}:{line}" if path and line else str(path or "settings")


def _stands_at(tree: Any, place: Place) -> bool:
    for key in place:
        if not isinstance(tree, Mapping) or key not in tree:
            return isinstance(tree, list)
        tree = tree[key]
    return True


def lines_of(path: Path) -> dict[Place, int]:
    """The line of each key and item in a YAML file, from its marks."""
    lines: dict[Place, int] = {}

    def walk(node: yaml.Node, place: Place) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                lines[*place, key.value] = key.start_mark.line + 1
                walk(value, (*place, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                lines[*place, index] = item.start_mark.line + 1
                walk(item, (*place, index))

    root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    if root is not None:
        walk(root, ())
    return lines
