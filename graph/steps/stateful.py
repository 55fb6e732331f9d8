"""MapWithState: a function of the body and of what earlier runs have left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from copy import deepcopy
from itertools import islice
from typing import Any
from weakref import WeakKeyDictionary

from graph.compiled.results import settled
from graph.errors import InvalidPath, InvalidStep, RunError
from graph.written.expression import Function, body_of, function_of, plain_function

MOST = 1024
"""How many groups, or keys, a step remembers when its author sets no other number."""


class Group:
    """The state of one group, and the locks that keep its runs one after the other: one for each loop.

    ``users`` counts the runs that are in the group or wait for it; as long as there are any it is not forgotten.
    """

    __slots__ = ("_locks", "state", "users")

    def __init__(self, state: Any) -> None:
        self.state = state
        self.users = 0
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    @property
    def lock(self) -> asyncio.Lock:
        """The lock of the running loop."""
        return self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())


class MapWithState:
    """``fn(body, state)`` gives the next body and the next state: ``(body, state)``. It may be async.

    The state lives as long as the flow, in this process: every run, and every chunk of a stream, sees what the one
    before it has left. Runs that overlap take turns, so that none sees a state that another one is about to replace. A
    run in which ``fn`` fails leaves the state that it found, as long as ``fn`` does not change it in place.

    Args:
        initial_state: the state that a group begins with: a value, copied for each, or a function that makes one.
        fn: the function.
        group_by: names the group of a body, by a function or by the key of a dict body; without, all are one group.
        max_groups: how many groups are remembered. The one that was used longest ago is forgotten first and would begin
            again; one that a run is in is not forgotten, however many that are.
    """

    def __init__(
        self,
        initial_state: Any,
        fn: Callable[[Any, Any], Any],
        group_by: Callable[[Any], Hashable] | str | None = None,
        *,
        max_groups: int = MOST,
    ) -> None:
        if not callable(fn):
            raise InvalidStep(f"MapWithState: {fn!r} is no function")
        if max_groups < 1:
            raise InvalidStep("MapWithState: max_groups is how many groups are remembered, from 1 on")
        self._initial = plain_function("MapWithState: its initial_state", initial_state)
        self._fn = fn
        self._key = key_of("MapWithState", group_by)
        self._most = max_groups
        self._groups: dict[Hashable, Group] = {}

    async def do(self, given: Any) -> Any:
        group = self._group(self._key(given))
        group.users += 1
        try:
            async with group.lock:
                body, group.state = _pair(await settled(self._fn(given, group.state)))
        finally:
            group.users -= 1
            self._forget()
        return body

    def _group(self, key: Hashable) -> Group:
        """The group, which is now the one that was used last."""
        group = self._groups.pop(key, None) or Group(fresh(self._initial))
        self._groups[key] = group
        return group

    def _forget(self) -> None:
        """Lets go of the groups that were used longest ago and are one too many."""
        idle = (key for key, group in self._groups.items() if not group.users)
        for key in list(islice(idle, max(0, len(self._groups) - self._most))):
            del self._groups[key]


def fresh(initial: Any) -> Any:
    """A state to begin with: what a function makes, or a copy of a value."""
    return initial() if callable(initial) else deepcopy(initial)


def key_of(owner: str, key: Callable[[Any], Hashable] | str | None) -> Function:
    """The function that gives the key of a body: of a dict body the value of a field, or always None."""
    if isinstance(key, str):
        return _Field(owner, key)
    return _nothing if key is None else plain_function(f"{owner}: its key", function_of(owner, key))


class _Field:
    """The value of a field of a dict body."""

    def __init__(self, owner: str, name: str) -> None:
        self._owner = owner
        self._name = name

    def __call__(self, given: Any) -> Any:
        body = body_of(given)
        if not isinstance(body, dict) or self._name not in body:
            raise InvalidPath(f"{self._owner} groups by the key '{self._name}', which the body does not have")
        return body[self._name]


def _nothing(_given: Any) -> None:
    return None


def _pair(made: Any) -> tuple[Any, Any]:
    if not isinstance(made, tuple) or len(made) != 2:
        raise RunError(f"the function of MapWithState must return (body, state); it returned a {type(made).__name__}")
    return made
