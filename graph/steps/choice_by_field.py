"""ChoiceByField: the body itself says where it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graph.errors import InvalidOutlet
from graph.step import Complete
from graph.steps.choice import Choice
from graph.written.expression import body_of


class ChoiceByField(Choice):
    """Goes to the follower, or to the followers, that a field of a dict body names: a string or a list of strings.

    Only followers count: a body, which may come from anybody, cannot leave the graph by ``Complete``.
    """

    def __init__(self, field: str) -> None:
        self._field = field

    def select_outlets(self, body: Any) -> Sequence[str]:
        """The names in the field.

        Raises:
            InvalidOutlet: when it is missing, None, empty, or no name and no list of names.
        """
        value = self._value(body_of(body))
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
            raise self._invalid(f"is {_described(value)}; it must be a string or a list of strings")
        if not names:
            raise self._invalid("is an empty list; it must name at least one follower")
        if Complete in names:
            raise self._invalid(f"names '{Complete}', which is no follower")
        return names

    def _value(self, body: Any) -> Any:
        if not isinstance(body, Mapping):
            raise self._invalid(f"cannot be looked up: the body is a {type(body).__name__}, no dict")
        if self._field not in body:
            raise self._invalid(f"is missing; the body has {', '.join(map(str, body)) or 'no keys'}")
        if body[self._field] is None:
            raise self._invalid("is None; it must be a string or a list of strings")
        return body[self._field]

    def _invalid(self, fault: str) -> InvalidOutlet:
        return InvalidOutlet(f"The field '{self._field}', which names the outlets, {fault}.")


def _described(value: Any) -> str:
    if not isinstance(value, (list, tuple)):
        return f"a {type(value).__name__}"
    wrong = next(name for name in value if not isinstance(name, str))
    return f"a list with a {type(wrong).__name__} in it"
