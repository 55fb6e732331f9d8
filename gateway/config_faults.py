"""Faults of the settings, told so that the operator can mend them: file, line, what is wrong, what to write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

WORDS = {
    "missing": "this is missing; write it",
    "tuple_type": "this is no list; write one, such as [ … ], or leave the key out",
    "dict_type": "this is no mapping; write one, such as {key: value}, or leave the key out",
    "model_type": "this is no mapping; write one, such as {key: value}, or leave the key out",
    "path_type": "this is no path; write one in quotation marks",
}
"""Faults that Pydantic tells in the words of a programmer, in those of an operator."""


class InvalidSettings(Exception):
    """The settings cannot be used. The message is for the operator, one fault a line; it holds no values of secrets."""


def place_faults(
    error: ValidationError, path: Path | None, model: type[BaseModel], environment: Mapping[str, Any]
) -> str:
    """One line a fault: where it is, what is wrong, and for an unknown key the nearest known one."""
    lines = lines_of(path) if path else {}
    faults = error.errors(include_url=False, include_input=False)
    return "\n".join(_tell(fault, _where(fault["loc"], path, lines, environment), model) for fault in faults)


def _where(
    place: tuple[Any, ...], path: Path | None, lines: Mapping[tuple[Any, ...], int], environment: Mapping[str, Any]
) -> str:
    """The variable or the line that a fault is in; the nearest line above it where the fault is something missing."""
    if place and _stands_at(environment, place):
        return f"PENSTOCK_{'__'.join(str(key).upper() for key in place)}"
    line = next((lines[place[:depth]] for depth in range(len(place), 0, -1) if place[:depth] in lines), None)
    return f"{path}:{line}" if path and line else str(path or "settings")


def _stands_at(tree: Any, place: tuple[Any, ...]) -> bool:
    for key in place:
        if not isinstance(tree, Mapping) or key not in tree:
            return isinstance(tree, list)
        tree = tree[key]
    return True


def _tell(fault: Any, where: str, model: type[BaseModel]) -> str:
    place: tuple[Any, ...] = fault["loc"]
    key = ".".join(map(str, place))
    if fault["type"] == "extra_forbidden":
        return f"{where}: unknown key '{key}'{_nearest(str(place[-1]), _fields(model, place[:-1]))}"
    message = WORDS.get(fault["type"]) or fault["msg"].removeprefix("Value error, ")
    return f"{where}: {key}: {message}" if key else f"{where}: {message}"


def _nearest(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known are {', '.join(known)}"


def _fields(model: type[BaseModel], place: Sequence[Any]) -> list[str]:
    """The keys that may stand at a place in the settings. Numbers, and names in a mapping, are in what they are of."""
    kind: Any = model
    for step in place:
        fields = getattr(kind, "model_fields", {})
        if step in fields:
            kind = _section(fields[step].annotation)
    return [field.alias or name for name, field in getattr(kind, "model_fields", {}).items()]


def _section(kind: Any) -> Any:
    """The section in a type: itself, or what it is a list or a mapping of."""
    if hasattr(kind, "model_fields"):
        return kind
    return next((found for part in get_args(kind) if (found := _section(part)) is not None), None)


def lines_of(path: Path) -> dict[tuple[Any, ...], int]:
    """The line of each key and item in a YAML file, from its marks."""
    lines: dict[tuple[Any, ...], int] = {}

    def walk(node: yaml.Node, place: tuple[Any, ...]) -> None:
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
