"""ParallelRun: several models, or any steps, on the same body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graph.errors import InvalidInput
from graph.event import Event
from graph.models.calling import CallableModel, values
from graph.step import Step, Target
from graph.steps.routes import Routes


class ParallelRun(Routes):
    """Calls all of its routes side by side, each with a copy of the body; the body becomes their results by name.

    Args:
        routes: the first children; see :meth:`add_route`.
        extend_event: whether the results are added to the body, which must be a dict then.
        raise_exception: whether a child that fails is an error; else ``{"error": "Type: text"}`` stands for its result.
    """

    def __init__(
        self,
        routes: Mapping[str, Target] | None = None,
        *,
        extend_event: bool = False,
        raise_exception: bool = False,
    ) -> None:
        super().__init__(routes)
        self.extend_event = extend_event
        self.raise_exception = raise_exception

    def said(self) -> dict[str, Any]:
        own = {"extend_event": self.extend_event, "raise_exception": self.raise_exception}
        return {name: value for name, value in own.items() if value}

    def bound_to(self, step: Step) -> BoundParallelRun:
        """The step with its children, made."""
        return BoundParallelRun(step.name, self.whole(step), self)


class BoundParallelRun:
    """A ParallelRun in its flow."""

    full_event = True

    def __init__(self, name: str, models: Mapping[str, CallableModel], said: ParallelRun) -> None:
        self._name = name
        self._models = list(models.values())
        self._said = said

    async def do_event(self, event: Event) -> dict[str, Any]:
        """The results, by route.

        Raises:
            ModelRunnerError: with the error of each that failed, if that was asked for.
            InvalidInput: when the body shall be extended, and is no dict.
        """
        if self._said.extend_event and not isinstance(event.body, Mapping):
            raise InvalidInput(f"step '{self._name}' extends the body, which is a {type(event.body).__name__}, no dict")
        results = await values(self._name, self._models, event, event.body, raises=self._said.raise_exception)
        return {**event.body, **results} if self._said.extend_event else results
