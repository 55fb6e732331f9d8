"""Flow: the definition of a graph. It is built, validated once, and immutable after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from graph.compiled.explain import explain
from graph.compiled.plan import Plan, compile_plan
from graph.compiled.validate import StreamVerdict, check
from graph.errors import DuplicateStep, FlowIsBuilt, InvalidStep
from graph.event import Event
from graph.instrument import NO_HOOKS, Hooks
from graph.models.entry import entry
from graph.models.model import Model
from graph.models.shared import SharedModels
from graph.plot import graphviz, mermaid
from graph.processes.processes import Processes
from graph.running.run import FlowRun
from graph.running.state import Reducer
from graph.step import Drafts, OnLimit, Step, StepOptions, Target
from graph.sub_flow import SubFlow
from graph.written import document
from graph.written.lookup import find, namespace_of_caller
from graph.written.step import Resolver

if TYPE_CHECKING:
    from graph.mock_server import MockServer

ROOT = ""
"""The name of the place before the first step, in the edges of a flow."""
PREVIOUS = "$prev"


class Flow:
    """A graph of steps that events walk.

    Args:
        name: shown in plots, errors and the record of runs.
        allow_cyclic: whether ``cycle_to`` may be used.
        max_iterations: how often one run may enter a step that sets no ``max_iterations`` of its own.
        max_steps: how many steps one run may enter in all; None for as many as the above allows.
        max_seconds: how long one run may take; None for as long as it takes.
        max_tokens, max_usd: what the model calls of one run may use and cost.
        state: a dataclass or msgspec Struct; each run has one instance of it as ``event.state``. Without, it is a dict.
        reducers: by the name of a field of the state, what makes one value of those that parallel branches leave.
        context: what constructors that ask for ``context`` are given.
        max_processes: how many processes the steps with ``process_pool`` share at most; by default one for each CPU.
    """

    def __init__(
        self,
        name: str = "flow",
        *,
        allow_cyclic: bool = False,
        max_iterations: int = 100,
        max_steps: int | None = None,
        max_seconds: float | None = None,
        max_tokens: int | None = None,
        max_usd: float | None = None,
        state: type | None = None,
        reducers: Mapping[str, Reducer] | None = None,
        context: Any = None,
        max_processes: int | None = None,
    ) -> None:
        self.name = name
        self.allow_cyclic = allow_cyclic
        self.max_iterations = max_iterations
        self.max_steps = max_steps
        self.max_seconds = max_seconds
        self.max_tokens = max_tokens
        self.max_usd = max_usd
        self.state = state
        self.reducers = dict(reducers or {})
        self.context = context
        self.max_processes = max_processes
        self.processes = Processes(max_processes)
        self.shared_models = SharedModels(self)
        self.steps: dict[str, Step] = {}
        self.edges: list[tuple[str, str]] = []
        self.cycles: set[tuple[str, str]] = set()
        self.handlers: set[str] = set()
        self.error_handler_name: str | None = None
        self._plan: Plan | None = None
        self._verdict: StreamVerdict | None = None

    # --- definition

    def to(self, class_name: Target | None = None, name: str | None = None, **options: Any) -> Step:
        """Adds a first step and returns it; see :meth:`add_step` for the options."""
        options.setdefault("after", ROOT)
        return self.add_step(class_name, name, **options)

    def add_step(
        self,
        class_name: Target | None = None,
        name: str | None = None,
        *,
        handler: Target | None = None,
        after: str | Sequence[str] = ROOT,
        before: str | Sequence[str] = (),
        cycle_to: str | Sequence[str] = (),
        **options: Any,
    ) -> Step:
        """Adds a step and returns it.

        Args:
            class_name: a class, an instance, a function, or a string that names one.
            name: how outlets and errors call it; by default the name of the class or function.
            handler: the method of the class to call instead of ``do_event`` or ``do``; or, without a class, a function.
            after: the step or steps that it follows; ``"$prev"`` is the one added last; by default it comes first.
            before: the step or steps that follow it.
            cycle_to: earlier steps that it may go back to.
            options: those of :class:`StepOptions`; all others are arguments for the class or function.

        Raises:
            GraphDefinitionError: when the name is taken, the target cannot be found, or the flow is already built.
        """
        target, method = _target_of(class_name, handler)
        if isinstance(target, str):
            target = find(target, namespace_of_caller())
        if isinstance(target, Flow):
            target = target.as_step()
        own = {option: options.pop(option) for option in StepOptions.names() & options.keys()}
        step = self._add(Step(self, name or _name_of(target), target, options, method, StepOptions(**own)))
        for source in _names(after):
            self.connect(source, step.name)
        for follower in _names(before):
            self.connect(step.name, follower)
        return step.cycle_to(cycle_to)

    def connect(self, source: str, target: str, *, cycle: bool = False) -> None:
        """Adds an edge between two steps. The names are looked up when the flow is validated."""
        self.must_be_open()
        if source == PREVIOUS:
            source = next((name for name in reversed(self.steps) if name not in (target, *self.handlers)), ROOT)
        self.edges.append((source, target))
        if cycle:
            self.cycles.add((source, target))

    def error_handler(
        self, class_name: Target | None = None, name: str | None = None, *, before: str | None = None, **options: Any
    ) -> Flow:
        """Gives every step that has no handler of its own one: a new step, after which the flow ends or goes on."""
        self.error_handler_name = self.add_handler(class_name, name, before, options)
        return self

    def add_handler(
        self, class_name: Target | None, name: str | None, before: str | None, options: dict[str, Any]
    ) -> str:
        """Adds a step that handles errors and returns its name."""
        step = self.add_step(class_name, name, after=(), before=before or (), **options)
        self.handlers.add(step.name)
        return step.name

    def add_shared_model(
        self,
        name: str,
        model_class: type[Model] | Model | str = "LLModel",
        execution_mechanism: str = "naive",
        model_artifact: Any = None,
        *,
        inputs: Sequence[str] | None = None,
        outputs: Sequence[str] | None = None,
        input_path: str | None = None,
        result_path: str | None = None,
        override: bool = False,
        **model_parameters: Any,
    ) -> Flow:
        """Adds a model that endpoints of several steps may share; see :meth:`graph.ModelRunnerStep.add_model`.

        It is made and loaded once. :meth:`graph.ModelRunnerStep.add_shared_model_proxy` gives it an endpoint.

        Raises:
            GraphDefinitionError: when the name is taken, or there is no such class of models.
        """
        self.must_be_open()
        added = entry(
            name,
            model_class,
            execution_mechanism,
            model_artifact,
            inputs=inputs,
            outputs=outputs,
            input_path=input_path,
            result_path=result_path,
            parameters=model_parameters,
        )
        self.shared_models.add(added, override=override)
        return self

    def respond(self, *, drafts: Drafts = "hide", on_limit: OnLimit = "error", judge_every: int | None = None) -> Flow:
        """Makes the step that was added last the responder; see :meth:`Step.respond`."""
        if not self.steps:
            raise InvalidStep(f"flow '{self.name}' has no step that could respond")
        next(reversed(self.steps.values())).respond(drafts=drafts, on_limit=on_limit, judge_every=judge_every)
        return self

    def validate(self) -> Flow:
        """Checks the definition and closes it. Called by the first run when nobody else did.

        Raises:
            GraphDefinitionError: for the first fault; the message says what to write instead.
        """
        if self._plan is None:
            plan = compile_plan(self)
            self._verdict = check(self, plan)
            self._plan = plan
        return self

    # --- what a validated flow knows about itself

    @property
    def plan(self) -> Plan:
        """What runs walk."""
        self.validate()
        assert self._plan is not None  # noqa: S101 - validate() has just made it
        return self._plan

    @property
    def streaming(self) -> StreamVerdict:
        """Whether the answer reaches the client live, and why."""
        self.validate()
        assert self._verdict is not None  # noqa: S101
        return self._verdict

    def explain(self) -> str:
        """Every path through the flow, one a line, and why it streams live or not."""
        return explain(self)

    def plot(self, kind: Literal["mermaid", "graphviz"] = "mermaid", *, rankdir: str = "LR") -> Any:
        """The flow as mermaid text (https://mermaid.js.org), or as a ``graphviz.Digraph`` (with the extra).

        Raises:
            ImportError: for graphviz without its extra.
        """
        return mermaid(self, rankdir) if kind == "mermaid" else graphviz(self, rankdir)

    def to_dict(self) -> dict[str, Any]:
        """The flow as plain data; :meth:`from_dict` makes an equal flow of it.

        Raises:
            InvalidStep: when a step cannot be written down, such as a lambda.
        """
        return document.to_dict(self)

    @classmethod
    def from_dict(cls, written: Mapping[str, Any], resolvers: Mapping[str, Resolver] | None = None) -> Flow:
        """The flow that a document describes. It imports what that names, so it must come from somebody trusted.

        Raises:
            GraphDefinitionError: for the first fault, with the name of the step.
        """
        flow = cls(**document.flow_options(written))
        document.from_dict(flow, written, resolvers or {})
        return flow

    # --- runs

    def start(self, event: Event, hooks: Hooks | None = None, outer: FlowRun | None = None) -> FlowRun:
        """A run of this flow that has not begun; pulling its chunks is what moves it. ``outer`` is the run that it is a
        step of."""
        return FlowRun(self.plan, event, hooks or NO_HOOKS, outer)

    def as_step(self) -> SubFlow:
        """This flow as a step of another; ``other.to(flow)`` does it by itself."""
        return SubFlow(self)

    def stream(self, body: Any = None, *, hooks: Hooks | None = None) -> AsyncGenerator[Any, None]:
        """The answer, chunk by chunk. Close the generator (``aclosing``) to stop everything behind it."""
        return self.start(_event_of(body), hooks).chunks()

    async def run(self, body: Any = None, *, hooks: Hooks | None = None) -> Any:
        """The answer. Of a flow that streams: its chunks as a list, the bare chunk if there is one."""
        return await self.start(_event_of(body), hooks).result()

    def to_mock_server(self) -> MockServer:
        """The flow behind a synchronous ``test()``, for notebooks and tests."""
        from graph.mock_server import MockServer  # noqa: PLC0415 - the portal is loaded only where it is used

        return MockServer(self)

    def close(self) -> None:
        """Ends the processes of steps that run in some, here and in the flows inside; a call in one fails.

        Without it they end with the interpreter. A run that comes after it starts new ones.
        """
        for step in self.steps.values():
            if isinstance(step.target, SubFlow):
                step.target.flow.close()
        self.processes.close()

    async def aclose(self) -> None:
        """:meth:`close`, while the loop goes on."""
        await asyncio.to_thread(self.close)

    # --- insides

    def _add(self, step: Step) -> Step:
        self.must_be_open()
        if step.name in self.steps:
            raise DuplicateStep(
                f"flow '{self.name}' has a step '{step.name}' already ({self.steps[step.name].target!r}); "
                f"give {step.target!r} another name="
            )
        self.steps[step.name] = step
        return step

    def must_be_open(self) -> None:
        """Refuses changes after validation.

        Raises:
            FlowIsBuilt: when the flow has been validated.
        """
        if self._plan is not None:
            raise FlowIsBuilt(f"flow '{self.name}' has been validated; build a new one to change it")

    def __repr__(self) -> str:
        return f"Flow({self.name!r}, steps={list(self.steps)})"


def _event_of(body: Any) -> Event:
    return body if isinstance(body, Event) else Event(body)


def _names(names: str | Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _target_of(class_name: Target | None, handler: Target | None) -> tuple[Target, str | None]:
    """The target, and the method of it to call, from MLRun's two ways to name them."""
    if class_name is None:
        if handler is None:
            raise InvalidStep("a step needs a class_name (a class, an instance, a function or a name) or a handler")
        return handler, None
    if handler is None or isinstance(handler, str):
        return class_name, handler
    raise InvalidStep("with a class_name, handler= is the name of one of its methods")


def _name_of(target: Target) -> str:
    name = getattr(target, "name", None) or getattr(target, "__name__", None) or type(target).__name__
    if not isinstance(name, str) or not name.isprintable() or "<" in name:
        raise InvalidStep(f"{target!r} has no name of its own; give it one with name=")
    return name
