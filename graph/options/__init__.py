"""What may be said of any step, each a wrapper around its call: where it runs, for how long, how often, how many."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from graph.compiled.results import is_async_function
from graph.errors import InvalidStep
from graph.options.cache import cached
from graph.options.in_flight import limited
from graph.options.mechanism import ON_LOOP, made, placed
from graph.options.retry import retried
from graph.options.timeout import timed

if TYPE_CHECKING:
    from graph.step import Step


def wrapped(step: Step, call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The call of a step with its options around it; the call itself where there are none.

    From the inside out: the place where it runs, its timeout, the limit on how many runs are in it, retries, the cache.
    A retry waits outside its place and its slot, and a hit in the cache takes neither.

    Raises:
        InvalidStep: when an option does not fit the step.
    """
    options = step.options
    if options.execution_mechanism is not None:
        call = placed(step, call)
    if options.timeout is not None:
        if not is_async_function(call):
            raise InvalidStep(
                f"step '{step.name}': a plain def cannot be stopped on the loop, so timeout= would not hold; "
                "write async def, or execution_mechanism='thread_pool'"
            )
        call = timed(call, step.name, options.timeout)
    if options.max_in_flight is not None:
        call = limited(call, options.max_in_flight)
    if options.retries:
        call = retried(call, options.retries, options.backoff)
    return call if options.cache is None else cached(call, options.cache)


__all__ = ["ON_LOOP", "made", "wrapped"]
