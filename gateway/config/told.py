"""SettingFault: what is said of one fault that Pydantic has found in the settings, in the words of an operator."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from prompts.names import LIKELY, LONGEST, did_you_mean, nearest

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

Place: TypeAlias = tuple[int | str, ...]
"""The keys and numbers that lead to something in the settings."""
NO_MAPPING: Final = "this is no mapping; write one, such as {key: value}, or leave the key out"
WORDS: Final = {
    "missing": "this is missing; write it",
    "tuple_type": "this is no list; write one, such as [ … ], or leave the key out",
    "dict_type": NO_MAPPING,
    "model_type": NO_MAPPING,
    "model_attributes_type": NO_MAPPING,
    "path_type": "this is no path; write one in quotation marks",
    "too_short": "this is empty; write at least one",
}
"""Faults that Pydantic tells in the words of a programmer, in those of an operator."""
NAMES: Final = re.compile(r"'([^']*)'")
OF_TAGS: Final = frozenset({"union_tag_invalid", "union_tag_not_found"})
FEW: Final = 12
"""So many names are listed even where the nearest one is told."""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """``there is no model 'fats'; there are: fast, slow; did you mean 'fast'?``"""
    names = list(dict.fromkeys(known))
    return f"there is no {kind} '{name}'; there are: {', '.join(names) or 'none'}{did_you_mean(name, names, LIKELY)}"


def refused(faults: Iterable[tuple[Place, str]]) -> ValidationError:
    """Faults that Pydantic does not find by itself, each at its place, as it would raise them."""
    told: list[InitErrorDetails] = [
        {"type": PydanticCustomError("row", "{told}", {"told": message}), "loc": place, "input": None}
        for place, message in faults
    ]
    return ValidationError.from_exception_data("Settings", told)


def dotted(place: Place) -> str:
    """A place in the settings as it is told: ``models.0.provider``."""
    return ".".join(map(str, place))


@dataclass(frozen=True, slots=True)
class SettingFault:
    """A fault, at its place in the file. Values are only told where they are to be one of a few names."""

    code: str
    place: Place
    kind: Any
    """The section that the last key stands in, or the kinds of it that there are."""
    given: Any
    context: Mapping[str, Any]
    message: str

    @classmethod
    def of(cls, fault: ErrorDetails, model: type[BaseModel]) -> Self:
        """A fault in a model of this class, as Pydantic tells it."""
        context = fault.get("ctx", {})
        place, kind = _placed(model, fault["loc"])
        if fault["type"] in OF_TAGS:
            place = (*place, context["discriminator"].strip("'"))
        return cls(fault["type"], place, kind, fault["input"], context, fault["msg"])

    @property
    def told(self) -> str:
        """What is wrong, and what to write."""
        key = dotted(self.place)
        if self.code == "extra_forbidden":
            return f"unknown key '{key}'{_among(str(self.place[-1]), list(_fields(self.kind)))}"
        if self.code == "union_tag_not_found":
            return self._untagged()
        message = WORDS.get(self.code) or self.message.removeprefix("Value error, ")
        if self.code == "union_tag_invalid":
            message = unknown(str(self.place[-1]), str(self.context["tag"])[:LONGEST], _tags(self.kind))
        elif self.code == "literal_error":
            message = _none_of(self.given, list(filter(None, NAMES.findall(self.context["expected"]))))
        return f"{key}: {message}" if key else message

    def follows(self, others: Iterable[SettingFault]) -> bool:
        """Whether another one is why: a list is short of the rows that cannot be read, and what is missing stands there
        under a mistyped key."""
        if self.code == "too_short":
            depth = len(self.place)
            return any(len(other.place) > depth and other.place[:depth] == self.place for other in others)
        return self.code == "missing" and any(
            other.code == "extra_forbidden"
            and other.place[:-1] == self.place[:-1]
            and nearest(str(other.place[-1]), _fields(other.kind), LIKELY) == self.place[-1]
            for other in others
        )

    def _untagged(self) -> str:
        """A row that does not say of which kind it is, or under a mistyped key."""
        key = str(self.place[-1])
        given = self.given if isinstance(self.given, Mapping) else {}
        slip = next((str(each) for each in given if nearest(str(each), [key], LIKELY)), None)
        if slip is not None:
            return f"unknown key '{dotted((*self.place[:-1], slip))}'; did you mean '{key}'?"
        return f"{dotted(self.place)}: this is missing; write one of {', '.join(_tags(self.kind))}"


def _none_of(given: Any, known: Sequence[str]) -> str:
    """What is said of a value that is none of a few names."""
    if not isinstance(given, str):
        return f"this is no name; write one of {', '.join(known)}"
    return f"'{given[:LONGEST]}' will not do; write one of {', '.join(known)}{did_you_mean(given, known, LIKELY)}"


def _among(name: str, known: Sequence[str]) -> str:
    """The nearest known key, and all that are known where they are few, or none is near."""
    meant, names = did_you_mean(name, known, LIKELY), ", ".join(known)
    if not meant:
        return f"; known are {names}"
    return f"{meant} Known are {names}" if len(known) <= FEW else meant


def _placed(model: type[BaseModel], loc: Place) -> tuple[Place, Any]:
    """The place of a fault as it stands in the file, without the tags that Pydantic puts there; and the section that it
    is in. Numbers, and names in a mapping, are in what they are of."""
    kind: Any = model
    place: list[int | str] = []
    for step in loc:
        if tagged := _tags(kind).get(str(step)):
            kind = tagged
            continue
        place.append(step)
        if field := _fields(kind).get(str(step)):
            kind = _section(field.annotation)
    return tuple(place), kind


def _fields(kind: Any) -> dict[str, FieldInfo]:
    """What may stand in a section, by its keys in the file."""
    return {field.alias or name: field for name, field in getattr(kind, "model_fields", {}).items()}


def _tags(kind: Any) -> dict[str, type[BaseModel]]:
    """Of a row that says in one of its keys what it is: all that it may be, by what it says."""
    marks = (getattr(mark, "discriminator", None) for mark in getattr(kind, "__metadata__", ()))
    key = next(filter(None, marks), None)
    if key is None:
        return {}
    return {tag: row for row in get_args(get_args(kind)[0]) for tag in get_args(row.model_fields[key].annotation)}


def _section(kind: Any) -> Any:
    """The section in a type: itself, or what it is a list or a mapping of."""
    if hasattr(kind, "model_fields") or _tags(kind):
        return kind
    return next((found for part in get_args(kind) if (found := _section(part)) is not None), None)
