"""Copies of bodies: what branches are given, so that none sees what another changes."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

_ATOMS = frozenset((str, int, float, bool, type(None), bytes))


def copied(value: Any) -> Any:
    """A deep copy. Plain data that holds nothing twice, as JSON does, is copied some four times as fast as ``deepcopy``
    does it; all else as ``deepcopy`` does it, which keeps what is held twice one object.

    Raises:
        Exception: whatever an object in it raises that cannot be copied.
    """
    try:
        return _plain(value, set())
    except _NotPlain:
        return deepcopy(value)


class _NotPlain(Exception):
    """Inside :func:`copied`: something that is not plain data, or that has been seen before."""


def _plain(value: Any, seen: set[int]) -> Any:
    kind = type(value)
    if kind in _ATOMS:
        return value
    if id(value) in seen or (kind is not dict and kind is not list):
        raise _NotPlain
    seen.add(id(value))
    if kind is dict:
        return {key: each if type(each) in _ATOMS else _plain(each, seen) for key, each in value.items()}
    return [each if type(each) in _ATOMS else _plain(each, seen) for each in value]
