"""Faults of the settings, told so that the operator can mend them: file, line, what is wrong, what to write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from gateway.config.told import Place, SettingFault

ALIKE = "indent this line like the ones beside it"
YAML_REMEDIES = {
    "did not find expected key": ALIKE,
    "did not find expected '-'": ALIKE,
    "did not find expected ','": "a bracket that was opened here, or above, is not closed",
    "mapping values are not allowed": f"{ALIKE}, or write a value with a colon in it in quotation marks",
    "could not find expected ':'": f"write a key and its value as 'key: value', and {ALIKE}",
    "found a tab": "indent with spaces",
    "found character that cannot start": "write the value in quotation marks, and indent with spaces, not with tabs",
    "found unexpected end of stream": "a quotation mark that was opened above is not closed",
    "found undefined alias": "write a value that begins with * in quotation marks",
}
"""What libyaml says of a file that is no YAML, by how it begins, and what to write instead."""


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


def tell_yaml(error: yaml.MarkedYAMLError, path: Path) -> str:
    """What keeps a file from being YAML: its line, what is wrong, what to write."""
    line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
    problem = error.problem or "this is no YAML"
    remedy = next((f"; {remedy}" for begins, remedy in YAML_REMEDIES.items() if problem.startswith(begins)), "")
    return f"{path}{line}: {problem}{remedy}"


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
