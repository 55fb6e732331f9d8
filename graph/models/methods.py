"""Which method of a model an execution mechanism calls, and where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from graph.compiled.results import is_async_function
from graph.errors import InvalidStep
from graph.models.model import Model
from graph.step import Mechanism

PREDICT, PREDICT_ASYNC = "predict", "predict_async"
CALLED: Final[dict[str, tuple[str, ...]]] = {
    "naive": (PREDICT, PREDICT_ASYNC),
    "asyncio": (PREDICT_ASYNC,),
    "thread_pool": (PREDICT,),
    "process_pool": (PREDICT, PREDICT_ASYNC),
    "dedicated_process": (PREDICT, PREDICT_ASYNC),
}
"""The methods by mechanism; the first one that the class has is called."""
SHARED_EXECUTOR = "shared_executor"


class Method(NamedTuple):
    """A method of a model class, and the mechanism of the step that calls it."""

    call: Callable[..., Any]
    mechanism: Mechanism


def method_of(place: str, kind: type[Model] | Model, mechanism: str) -> Method:
    """The method to call.

    A class whose ``predict`` only waits for its ``predict_async`` (:class:`graph.LLModel`) keeps no thread waiting: its
    ``predict_async`` is called on the loop.

    Raises:
        InvalidStep: when the class lacks what the mechanism calls, or has the wrong kind of function there.
    """
    if mechanism not in CALLED:
        known = ", ".join((*CALLED, SHARED_EXECUTOR))
        raise InvalidStep(f"{place}: execution_mechanism={mechanism!r} is not known; write one of {known}")
    model = kind if isinstance(kind, type) else type(kind)
    own = [name for name in (PREDICT, PREDICT_ASYNC) if getattr(model, name) is not getattr(Model, name)]
    if PREDICT in own and getattr(model.predict, "only_waits", False):
        own.remove(PREDICT)
        mechanism = "asyncio" if mechanism in ("thread_pool", "naive") else mechanism
    name = next((name for name in CALLED[mechanism] if name in own), None)
    if name is None:
        raise InvalidStep(f"{place}: {mechanism} needs {' or '.join(CALLED[mechanism])}, and {_has(model, own)}")
    call = getattr(model, name)
    if is_async_function(call) is not (name == PREDICT_ASYNC):
        wanted = "an async def" if name == PREDICT_ASYNC else "a plain def; what awaits is called predict_async"
        raise InvalidStep(f"{place}: {model.__name__}.{name} must be {wanted}")
    return Method(call, mechanism)  # type: ignore[arg-type]


def _has(model: type[Model], own: list[str]) -> str:
    return f"{model.__name__} has only {own[0]}" if own else f"{model.__name__} overrides neither"
