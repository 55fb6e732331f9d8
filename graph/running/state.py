"""State: what the steps of a run keep for each other, and how the states of parallel branches become one again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, TypeAlias, get_args, get_origin, get_type_hints

from graph.errors import InvalidStep, StateConflict

Reducer: TypeAlias = Callable[[Any, Sequence[Any]], Any]
"""Makes one value of those that branches have left: ``reducer(before, values)``, with the values of those branches that
changed it, in their order."""


def added(before: Any, values: Sequence[Any]) -> Any:
    """What was there, plus what each branch added: numbers, strings, lists. What was not there began with nothing."""
    if before is None:
        return added(type(values[0])(), values)
    total = before
    for value in values:
        total = total + (value[len(before) :] if hasattr(before, "__len__") else value - before)
    return total


def joined(before: Any, values: Sequence[Any]) -> Any:
    """The union of sets, or of dicts, where the later branch wins."""
    whole = values[0] if before is None else before
    for value in values:
        whole = whole | value
    return whole


def latest(_before: Any, values: Sequence[Any]) -> Any:
    """What the last of the branches says."""
    return values[-1]


def largest(_before: Any, values: Sequence[Any]) -> Any:
    """The largest of the values."""
    return max(values)


def reducers_of(kind: type | None, given: Mapping[str, Reducer] | None = None) -> dict[str, Reducer]:
    """The reducers of a state class, from its ``Annotated[type, reducer]`` fields, and those ``given`` by name.

    Raises:
        InvalidStep: when ``kind`` is no dataclass and no msgspec Struct.
    """
    found: dict[str, Reducer] = {}
    if kind is not None:
        if not (is_dataclass(kind) or hasattr(kind, "__struct_fields__")):
            raise InvalidStep(f"state={kind!r} is no dataclass and no msgspec Struct")
        for name, hint in get_type_hints(kind, include_extras=True).items():
            if get_origin(hint) is Annotated:
                found.update((name, extra) for extra in get_args(hint)[1:] if callable(extra))
    return found | dict(given or {})


def merge_states(before: Any, states: Iterable[Any], reducers: Mapping[str, Reducer]) -> None:
    """Writes into ``before`` what branches, which worked on copies of it, have changed.

    Raises:
        StateConflict: when two of them left different values where there is no reducer.
    """
    changed = list(states)
    for name in _names(before, changed):
        old = _get(before, name)
        values = [value for value in (_get(state, name) for state in changed) if value is not _GONE and value != old]
        if not values:
            continue
        if name in reducers:
            _set(before, name, reducers[name](None if old is _GONE else old, values))
        elif any(value != values[0] for value in values):
            raise StateConflict(
                f"branches left different values in the state's '{name}'; give it a reducer, "
                f"such as Annotated[list, graph.added] in the state class or reducers={{'{name}': graph.added}}"
            )
        else:
            _set(before, name, values[0])


_GONE: Any = object()


def _names(before: Any, states: Iterable[Any]) -> list[str]:
    if isinstance(before, dict):
        return list(dict.fromkeys(name for state in (before, *states) for name in state))
    return [field.name for field in fields(before)] if is_dataclass(before) else list(before.__struct_fields__)


def _get(state: Any, name: str) -> Any:
    return state.get(name, _GONE) if isinstance(state, dict) else getattr(state, name)


def _set(state: Any, name: str, value: Any) -> None:
    if isinstance(state, dict):
        state[name] = value
    else:
        setattr(state, name, value)
