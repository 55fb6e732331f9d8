"""What can go wrong with a graph, sorted by who must act.

::

    GraphError
    ├── GraphDefinitionError        the author: the graph is wrong, found when it is built
    │   ├── DuplicateStep           two steps of one name
    │   ├── UnknownStep             a step that is named but not there, or a class that cannot be found
    │   ├── InvalidStep             something that cannot be a step
    │   ├── CyclesNotAllowed        ``cycle_to`` without ``allow_cyclic``
    │   ├── LoopDetected            a loop that no ``cycle_to`` declares
    │   ├── TooManyResponders       more than one step answers
    │   ├── UnreachableStep         no path leads to a step
    │   ├── PathsMeet               parallel paths meet in a step that is no Merge
    │   ├── EndlessCycle            a cycle from which no way leads out
    │   ├── InvalidTool             a tool that a model cannot be offered, or cannot call
    │   ├── StreamNotCollected      a stream reaches a step that needs a whole event
    │   └── FlowIsBuilt             a step is added to a graph that has been validated
    └── RunError                    one run failed; the next one is not affected
        ├── InvalidOutlet           a step chose a follower that it does not have
        ├── InvalidPath             an input or result path does not fit the body
        ├── StreamOnStream          a streaming step received a stream
        ├── StateConflict           branches left different values in the state, and no reducer makes one of them
        ├── ReplayDiffers           a replayed run does something else than the recorded one
        ├── StepTimeout             one step took longer than its own timeout
        ├── ModelRunnerError        models of a step failed
        ├── InvalidSelection        a selector chose models that are not there, or cannot be run together
        ├── InvalidInput            the body is not what a model takes
        ├── PriceUnknown            a cap on money, and a model that costs nobody knows what
        ├── UnknownRoute            a router has no such model, or the model no such operation
        ├── ToolError               a tool could not do what it was called for; its words are for the model
        ├── ToolsetNotStarted       tools of a server are asked for before it has been asked for them
        ├── ToolsetUnavailable      a server of tools cannot be reached, or offers what cannot be used
        ├── WorkerLost              the process of a step ended before its work did
        ├── RemoteError             a remote step could not be done
        │   ├── RemoteRefused       it answered with a status from 300 on
        │   ├── RemoteGarbled       its answer is too long, or is not JSON
        │   ├── RemoteUnfilled      the event lacks what a template needs, or has something that cannot stand there
        │   └── RemoteStrayed       what the templates made of the URL is not below the one that the author wrote
        └── LimitExceeded           a cap of the run or of a step was reached
            ├── MaxIterationsExceeded
            ├── MaxStepsExceeded
            ├── RunTimeout
            ├── TokensExceeded
            └── MoneyExceeded
"""

from __future__ import annotations

from collections.abc import Mapping


class GraphError(Exception):
    """Anything wrong with a graph or a run of it.

    Attributes:
        hopeless: whether the next try would only repeat it.
    """

    hopeless = False


class GraphDefinitionError(GraphError):
    """The graph is wrong; its author must act. Raised while it is built, never while it runs."""


class DuplicateStep(GraphDefinitionError):
    """Two steps have the same name."""


class UnknownStep(GraphDefinitionError):
    """A step, or the class or function of one, is named but cannot be found."""


class InvalidStep(GraphDefinitionError):
    """Something that cannot be a step, or an option that does not fit it."""


class CyclesNotAllowed(GraphDefinitionError):
    """``cycle_to`` is used in a graph that does not allow cycles."""


class LoopDetected(GraphDefinitionError):
    """The steps form a loop that no ``cycle_to`` declares."""


class TooManyResponders(GraphDefinitionError):
    """More than one step is the responder."""


class UnreachableStep(GraphDefinitionError):
    """No path leads from the start to a step."""


class PathsMeet(GraphDefinitionError):
    """Parallel paths meet in a step that is no Merge, where one of them would silently win."""


class EndlessCycle(GraphDefinitionError):
    """No step in a cycle can lead out of it."""


class InvalidTool(GraphDefinitionError):
    """A tool that a model cannot be offered, or cannot call."""


class StreamNotCollected(GraphDefinitionError):
    """A stream would reach a step that needs a whole event; a Collector is missing before it."""


class FlowIsBuilt(GraphDefinitionError):
    """A graph cannot be changed after it has been validated."""


class RunError(GraphError):
    """One run failed."""


class InvalidOutlet(RunError):
    """``select_outlets`` named a follower that the step does not have, or one twice."""

    hopeless = True


class InvalidPath(RunError, TypeError):
    """``input_path`` or ``result_path`` does not fit the body of the event."""

    hopeless = True


class StreamOnStream(RunError):
    """A streaming step received a stream; only found while running where a plain ``def`` returns a generator."""

    hopeless = True


class StateConflict(RunError):
    """Branches left different values in the same field of the state, and no reducer makes one of them."""


class ReplayDiffers(RunError):
    """A replayed run does something else than the recorded one; the message says where first."""


class StepTimeout(RunError, TimeoutError):
    """One step took longer than its own ``timeout``."""


class ModelRunnerError(RunError):
    """Models of a step failed.

    Attributes:
        errors: what each of them raised, by its name.
        retry_after: seconds after which the one that wants to wait longest may be asked again, if one said so.
    """

    def __init__(self, step: str, errors: Mapping[str, Exception]) -> None:
        super().__init__(step, errors)
        self.step = step
        self.errors = dict(errors)
        waits = (getattr(error, "retry_after", None) for error in errors.values())
        self.retry_after = max((wait for wait in waits if wait is not None), default=None)
        self.hopeless = any(getattr(error, "hopeless", False) for error in errors.values())

    def __str__(self) -> str:
        faults = "; ".join(f"{name}: {type(error).__name__}: {error}" for name, error in self.errors.items())
        return f"step '{self.step}': {faults}"


class InvalidSelection(RunError):
    """A selector chose a model that is not there, one twice, or models that cannot be run together."""

    hopeless = True


class InvalidInput(RunError):
    """The body is not what a model takes."""

    hopeless = True


class UnknownRoute(RunError):
    """A router has no such model, or the model no such operation; the message lists what there is."""

    hopeless = True


class ToolError(RunError):
    """A tool could not do what it was called for. Raised by the author of a tool; its words are told to the model."""


class ToolsetNotStarted(RunError):
    """The tools of a server are asked for before the server has been asked for them."""

    hopeless = True


class ToolsetUnavailable(RunError):
    """A server of tools cannot be reached, or offers what cannot be used; the message names it."""


class WorkerLost(RunError):
    """The process in which a step ran ended before its work did."""


class RemoteError(RunError):
    """A remote step could not be done."""


WORTH_A_RETRY = (408, 425, 429)
"""HTTP statuses below 500 after which the same request may succeed."""


class RemoteRefused(RemoteError):
    """The service answered with a status from 300 on. Redirects are not followed.

    Attributes:
        upstream_status: the HTTP status.
        retry_after: seconds after which it wants to be asked again, if it said so.
    """

    def __init__(self, message: str, *, upstream_status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.upstream_status = upstream_status
        self.retry_after = retry_after
        self.hopeless = upstream_status < 500 and upstream_status not in WORTH_A_RETRY


class RemoteGarbled(RemoteError):
    """The answer is longer than it may be, or is not JSON."""


class RemoteUnfilled(RemoteError):
    """The event lacks what a template needs, or has something that cannot stand there."""

    hopeless = True


class RemoteStrayed(RemoteError):
    """What the templates made of the URL is not below the one that the author wrote."""

    hopeless = True


class PriceUnknown(RunError):
    """A run has a cap on money and calls a model whose price nobody has said, so the cap could not hold.

    The next try would only repeat it.
    """

    hopeless = True


class LimitExceeded(RunError, RuntimeError):
    """A cap was reached. What was in flight has been cancelled."""

    hopeless = True


class MaxIterationsExceeded(LimitExceeded):
    """A step was entered more often than it may be in one run."""


class MaxStepsExceeded(LimitExceeded):
    """A run entered more steps than it may in all."""


class RunTimeout(LimitExceeded):
    """A run took longer than it may."""


class TokensExceeded(LimitExceeded):
    """The model calls of a run used more tokens than it may."""


class MoneyExceeded(LimitExceeded):
    """The model calls of a run cost more than it may."""
