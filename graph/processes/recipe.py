"""Recipe: what a worker process needs to make a step."""

from __future__ import annotations

import inspect
import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from graph.compiled.calls import instantiate
from graph.errors import InvalidStep
from graph.processes.wire import framed
from graph.step import Step


@dataclass(frozen=True, slots=True)
class Recipe:
    """The class and the arguments of a step, or its function; sent to each worker once, which makes the step there."""

    name: str
    target: Any
    arguments: Mapping[str, Any]
    handler: str | None
    context: Any

    @classmethod
    def of(cls, step: Step) -> Recipe:
        """The recipe of a step.

        Raises:
            InvalidStep: when its constructor cannot be called with its arguments.
        """
        wants_context = isinstance(step.target, type) and "context" in _parameters(step, step.target)
        context = step.flow.context if wants_context else None
        return cls(step.name, step.target, dict(step.arguments), step.handler, context)

    def make(self) -> Callable[[Any], Any]:
        """The call of the step, made here and now; done in the worker."""
        from graph.flow import Flow  # noqa: PLC0415 - flows know processes

        flow = Flow(context=self.context)
        return instantiate(Step(flow, self.name, self.target, dict(self.arguments), self.handler))[1]

    def frame(self) -> bytes:
        """The request to make the step.

        Raises:
            InvalidStep: when something in it cannot be sent to a process; the message says what to write instead.
        """
        _must_be_importable(self.name, self.target)
        try:
            return framed(("make", self.name, pickle.dumps(self, pickle.HIGHEST_PROTOCOL)))
        except Exception as error:
            raise InvalidStep(
                self._unsendable() or f"step '{self.name}' cannot be sent to a process: {error}"
            ) from None

    def _unsendable(self) -> str:
        """The first part that cannot be sent, and what to write instead."""
        parts = [(f"step '{self.name}'", self.target)]
        parts += [(f"argument '{name}' of step '{self.name}'", value) for name, value in self.arguments.items()]
        parts += [("the flow's context", self.context)]
        for what, part in parts:
            try:
                pickle.dumps(part, pickle.HIGHEST_PROTOCOL)
            except Exception as error:
                return f"{what} cannot be sent to a process ({error}); {_remedy(part, part is self.target)}"
        return ""


def _parameters(step: Step, kind: type) -> Mapping[str, inspect.Parameter]:
    """What a constructor takes, after a look whether it takes what it will be given."""
    try:
        signature = inspect.signature(kind)
        own = dict.fromkeys(name for name in ("name", "context") if name in signature.parameters)
        signature.bind(**own | step.arguments)
    except (TypeError, ValueError) as error:
        raise InvalidStep(f"step '{step.name}': {kind.__name__} cannot be made: {error}") from error
    return signature.parameters


def _must_be_importable(name: str, target: Any) -> None:
    """A process imports what it runs, which it cannot from a notebook or a prompt."""
    definition = target if inspect.isroutine(target) or isinstance(target, type) else type(target)
    if getattr(definition, "__module__", "") == "__main__" and not hasattr(sys.modules["__main__"], "__file__"):
        raise InvalidStep(
            f"step '{name}': {definition.__qualname__} was defined at a prompt, where a process cannot find it; "
            "write it into a module and import it"
        )


def _remedy(part: Any, is_target: bool) -> str:
    if getattr(part, "__name__", "") == "<lambda>":
        return "write a def at the top of a module instead of the lambda"
    if inspect.isroutine(part) or isinstance(part, type):
        return f"define {part.__name__} at the top of a module, under its own name"
    if is_target:
        return f"give the class {type(part).__name__} and its arguments instead of an instance, to be made there"
    return "give what it can be made from, such as a path instead of an open file, and make it in the constructor"
