"""Random graphs: each is refused with a sentence, or does what a small model says of it, and leaves nothing open."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as some

from graph import (
    DROPPED,
    Choice,
    Collector,
    Complete,
    Event,
    FlatMap,
    Flow,
    FlowRun,
    GraphDefinitionError,
    GraphError,
    Hooks,
    Instrument,
    InvalidOutlet,
    MaxIterationsExceeded,
    Merge,
)
from tests.graph.model import START, Boom, Graph, Model, Spec, fails, made, passes, weight

EXAMPLES = settings(
    max_examples=int(os.environ.get("PENSTOCK_EXAMPLES", "200")),
    derandomize="PENSTOCK_EXAMPLES" not in os.environ,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
KINDS = {"boom": Boom, "limit": MaxIterationsExceeded, "outlet": InvalidOutlet}


# --- a graph of the engine, from its description


@dataclass
class Watch(Instrument):
    """What happens in a run: chunks that are made and that leave, steps that are entered, generators that are open."""

    log: list[tuple[str, Any]] = field(default_factory=list)
    entered: Counter[str] = field(default_factory=Counter)
    opened: int = 0
    closed: int = 0
    ended: int = 0

    def before_step(self, run: FlowRun, event: Event) -> None:
        self.entered[event.at] += 1

    def on_run_end(self, run: FlowRun) -> None:
        self.ended += 1


class Steps:
    """What a step of a random graph may do; each kind of step is a method."""

    def __init__(self, spec: Spec, watch: Watch) -> None:
        self.spec = spec
        self.watch = watch

    def plain(self, body: Any) -> Any:
        return made(self.spec.name, body)

    async def later(self, body: Any) -> Any:
        await asyncio.sleep(0)
        return made(self.spec.name, body)

    def event(self, event: Event) -> None:
        event.body = made(self.spec.name, event.body)

    def same(self, body: Any) -> Any:
        return body

    def fail(self, body: Any) -> Any:
        if fails(body):
            raise Boom(self.spec.name)
        return made(self.spec.name, body)

    def filter(self, body: Any) -> Any:
        return body if passes(body) else DROPPED

    def stream(self, body: Any) -> Generator[Any, None, None]:
        self.watch.opened += 1
        try:
            for index in range(self.spec.chunks):
                yield self._chunk(body, index)
            self._breaks(self.spec.chunks)
        finally:
            self.watch.closed += 1

    async def flow(self, body: Any) -> AsyncGenerator[Any, None]:
        self.watch.opened += 1
        try:
            for index in range(self.spec.chunks):
                yield self._chunk(body, index)
            self._breaks(self.spec.chunks)
        finally:
            self.watch.closed += 1
            await asyncio.sleep(0)  # as whoever closes a connection does

    def expand(self, body: Any) -> Generator[Any, None, None]:
        yield from self.stream(body)

    def merge(self, bodies: list[Any]) -> Any:
        return made(self.spec.name, bodies)

    def _chunk(self, body: Any, index: int) -> Any:
        self._breaks(index)
        chunk = made(f"{self.spec.name}#{index}", body)
        self.watch.log.append(("made", chunk))
        return chunk

    def _breaks(self, index: int) -> None:
        if self.spec.breaks == index:
            raise Boom(self.spec.name)


def step_of(spec: Spec, watch: Watch) -> Any:
    """A step as its description says."""
    if spec.kind == "collector":
        return Collector()
    function = getattr(Steps(spec, watch), spec.kind)
    if spec.kind in ("merge", "expand"):
        return Merge(function) if spec.kind == "merge" else FlatMap(function)
    return function if spec.script is None else chooser(spec, function)


def chooser(spec: Spec, function: Callable[..., Any]) -> Any:
    """A step that selects its outlets by its script."""
    script = spec.script or ()

    class Chooser(Choice):
        do = staticmethod(function)

        def select_outlets(self, body: Any) -> list[str]:
            body = body.body if isinstance(body, Event) else body
            return list(script[weight(body) % len(script)])

    return Chooser()


def built(graph: Graph, watch: Watch) -> Flow:
    """The flow that a description describes."""
    flow = Flow(max_iterations=graph.max_iterations, allow_cyclic=any(spec.cycles for spec in graph.steps))
    for spec in graph.steps:
        options: dict[str, Any] = {"full_event": True} if spec.kind == "event" else {}
        where: dict[str, Any] = {"before": spec.before or ()} if spec.handles else {"cycle_to": spec.cycles}
        after = "" if spec is graph.steps[0] else spec.after
        step = flow.add_step(
            step_of(spec, watch), spec.name, after=after, max_iterations=spec.limit, **options, **where
        )
        if spec.handles:
            flow.handlers.add(spec.name)
        step.error_handler_name = spec.handler
        if spec.recovery is not None:
            step.recover({Boom: spec.recovery})
        if spec.responds:
            step.respond(drafts=spec.drafts, on_limit=spec.on_limit)
    flow.error_handler_name = graph.handler
    return flow


# --- what must hold


async def check(graph: Graph, leaves_after: int) -> None:
    """Runs a graph that could be built, twice: to its end beside the model, and with a client that leaves."""
    watch = Watch()
    flow = built(graph, watch).validate()
    assert flow.explain().startswith(f"flow: {flow.streaming.kind} - ")
    model = Model(graph).run()
    event(f"sure: {model.sure}, error: {model.error}, verdict: {flow.streaming.kind}, spoke: {sorted(model.spoke)}")
    run = flow.start(Event(START, id="id"), Hooks.of([watch]))
    error: BaseException | None = None
    async with asyncio.timeout(20):
        try:
            async with aclosing(run.chunks()) as chunks:
                async for chunk in chunks:
                    watch.log.append(("got", chunk if chunk != {"id": "id"} else "id"))
        except (Exception, asyncio.CancelledError) as raised:  # nobody has cancelled it
            error = raised
    check_ended(graph, watch, error)
    if model.sure:
        check_like_the_model(flow, run, watch, model, error)
    await check_left(graph, leaves_after)


def check_ended(graph: Graph, watch: Watch, error: BaseException | None) -> None:
    """What holds of every run, also where the model is not sure."""
    assert error is None or isinstance(error, tuple(KINDS.values())), repr(error)
    assert watch.opened == watch.closed
    assert watch.ended == 1
    for spec in graph.steps:
        limit = graph.max_iterations if spec.limit is None else spec.limit
        assert watch.entered[spec.name] <= limit, spec.name


def check_like_the_model(flow: Flow, run: FlowRun, watch: Watch, model: Model, error: BaseException | None) -> None:
    """The same chunks in the same order, the same visits, the same error; and streams came as the verdict says."""
    seen, said = ([entry for entry in log if of_main(entry, model.others)] for log in (watch.log, model.log))
    assert seen == said
    assert error is None if model.error is None else isinstance(error, KINDS[model.error])
    assert {spec.name: run.visits(spec.name) for spec in model.graph.steps} == {
        spec.name: model.visits[spec.name] for spec in model.graph.steps
    }
    assert model.spoke <= {flow.streaming.kind}


def of_main(entry: tuple[str, Any], others: set[str]) -> bool:
    """Whether it is an answer, or a chunk of a step that only the walk that answers came to."""
    return entry[0] == "got" or entry[1][1].partition("#")[0] not in others


async def check_left(graph: Graph, after: int) -> None:
    """A client that leaves closes everything below it."""
    watch = Watch()
    run = built(graph, watch).start(Event(START, id="id"), Hooks.of([watch]))
    async with asyncio.timeout(20):
        try:
            async with aclosing(run.chunks()) as chunks:
                for _ in range(after):
                    await anext(chunks, None)
        except (Exception, asyncio.CancelledError) as error:
            check_ended(graph, watch, error)
    assert watch.opened == watch.closed
    assert watch.ended == (after > 0)


# --- graphs that are right by construction


class Builder:
    """Draws a graph from pieces that fit: what one ends with, the next one follows."""

    def __init__(self, draw: some.DrawFn) -> None:
        self.draw = draw
        self.steps: list[Spec] = []
        self.ends: tuple[str, ...] = ()

    def add(self, kind: Any, **options: Any) -> Spec:
        """A step after what there is."""
        options.setdefault("after", self.ends)
        spec = Spec(f"{kind}{len(self.steps)}", kind, **options)
        self.steps.append(spec)
        self.ends = (spec.name,)
        return spec

    def pick(self, *values: Any) -> Any:
        return self.draw(some.sampled_from(values))

    def pieces(self, depth: int) -> None:
        """One to three pieces."""
        simple = (self.line, self.line, self.collected, self.caught)
        deep = (self.parallel, self.choice, self.loop, self.aside)
        for _ in range(self.draw(some.integers(1, 3))):
            self.pick(*simple, *(deep if depth else ()))(depth - 1)

    def line(self, _depth: int) -> None:
        self.add(self.pick("plain", "later", "event"))

    def collected(self, _depth: int) -> None:
        """A stream through some steps to a Collector."""
        self.add(self.pick("stream", "flow"), chunks=self.pick(0, 1, 2, 3))
        for _ in range(self.pick(0, 1, 2)):
            self.add(self.pick("plain", "later", "filter", "expand"))
        self.add("collector")

    def caught(self, _depth: int) -> None:
        """A step that may fail, or a stream that does, and what goes on after it all the same."""
        failing, rest = self.pick(("fail", "plain"), ("flow", "collector"))
        spec = self.add(failing, breaks=self.pick(0, 1) if failing == "flow" else None)
        if self.pick(True, False):
            spec.handler = f"handler{len(self.steps)}"
            self.steps.append(Spec(spec.handler, "plain", handles=True, before=f"{rest}{len(self.steps) + 1}"))
        else:
            spec.recovery = f"recovery{len(self.steps)}"
            self.steps.append(Spec(spec.recovery, "plain"))
            self.ends = (spec.name, spec.recovery)
        self.add(rest)

    def parallel(self, depth: int) -> None:
        """Two or three paths that a Merge joins; all of them are walked, or some are chosen."""
        split = self.add("plain")
        heads: list[str] = []
        ends: list[str] = []
        for _ in range(self.pick(2, 3)):
            self.ends = (split.name,)
            heads.append(self.add("plain").name)
            self.pieces(depth)
            ends += self.ends
        if self.pick(True, False):
            split.script = self.entries([tuple(heads), (heads[0],), (heads[-1], heads[0])])
        self.ends = tuple(ends)
        self.add("merge")

    def choice(self, depth: int) -> None:
        """Two paths of which one is taken."""
        chooser = self.add("same")
        heads: list[str] = []
        ends: list[str] = []
        for _ in range(2):
            self.ends = (chooser.name,)
            heads.append(self.add("plain").name)
            self.pieces(depth)
            ends += self.ends
        chooser.script = self.entries([(head,) for head in heads])
        self.ends = tuple(ends)
        self.add("plain")

    def loop(self, depth: int) -> None:
        """Some pieces that are walked again, until the chooser behind them goes on."""
        head = self.add("plain")
        self.pieces(depth)
        chooser = self.add(self.pick("same", "plain"), cycles=(head.name,))
        after = self.add("plain")
        chooser.script = self.entries([(head.name,), (after.name,)])

    def aside(self, depth: int) -> None:
        """A path that leads nowhere, beside the one that goes on."""
        split = self.add("plain")
        self.pieces(depth)
        self.ends = (split.name,)
        self.add("plain")

    def entries(self, choices: list[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
        return tuple(self.draw(some.lists(some.sampled_from(choices), min_size=1, max_size=4)))

    def answer(self) -> None:
        """The responder: a step, the end of a stream, or one that a chooser behind it may send back."""
        how = self.pick("whole", "stream", "teed", "judged")
        if how in ("stream", "teed", "judged"):
            source = self.add(
                self.pick("stream", "flow"), chunks=self.pick(0, 1, 3), breaks=self.pick(None, None, 0, 2)
            )
        for _ in range(self.pick(0, 1)):
            self.add(self.pick("plain", "later", "filter", "expand"))
        responder = self.add(self.pick("plain", "later"), responds=True)
        if how == "judged":
            responder.drafts, responder.on_limit = self.pick("hide", "live"), self.pick("error", "best")
            chooser = self.add("same", cycles=(source.name,))
            chooser.script = self.entries([(source.name,), (Complete,)])
        elif how == "teed":
            self.ends = (source.name,)
            self.add(self.pick("plain", "collector", "filter"))
            self.add("plain")
        elif self.pick(True, False):
            self.pieces(0)


@some.composite
def right_graphs(draw: some.DrawFn) -> Graph:
    """Graphs that must be built."""
    builder = Builder(draw)
    builder.add("plain")
    builder.pieces(2)
    if draw(some.booleans()):
        builder.answer()
    graph = Graph(builder.steps, max_iterations=draw(some.integers(1, 4)))
    if draw(some.booleans()):
        graph.steps.append(Spec("sorry", "plain", handles=True))
        graph.handler = "sorry"
    return graph


@EXAMPLES
@given(graph=right_graphs(), leaves_after=some.integers(0, 3))
async def test_graphs_that_are_right_do_what_the_model_says(graph: Graph, leaves_after: int) -> None:
    """Put together of pieces that fit, every graph is built, and its runs are those of the model."""
    await check(graph, leaves_after)


# --- graphs that may be wrong


@some.composite
def any_graphs(draw: some.DrawFn) -> Graph:
    """Graphs of steps that are connected at random."""
    kinds = (
        "plain",
        "plain",
        "later",
        "event",
        "same",
        "fail",
        "filter",
        "stream",
        "flow",
        "expand",
        "collector",
        "merge",
    )
    steps: list[Spec] = []
    for index in range(draw(some.integers(1, 9))):
        spec = Spec(f"s{index}", draw(some.sampled_from(kinds)))
        names = [step.name for step in steps if not step.handles]
        if index > 0 and draw(some.integers(0, 9)) == 0:
            spec.handles, spec.kind = True, draw(some.sampled_from(("plain", "fail", "flow")))
            spec.before = draw(some.sampled_from([None, *names]))
        elif index > 0:
            count = (
                draw(some.sampled_from((1, 1, 1, 2, 3)))
                if spec.kind == "merge"
                else draw(some.sampled_from((1, 1, 1, 1, 2)))
            )
            spec.after = tuple(dict.fromkeys(draw(some.sampled_from(names)) for _ in range(count)))
            if draw(some.integers(0, 4)) == 0:
                spec.cycles = (draw(some.sampled_from([*names, spec.name])),)
        spec.chunks, spec.breaks = draw(some.integers(0, 3)), draw(some.sampled_from((None, None, None, 0, 1)))
        spec.limit = draw(some.sampled_from((None, None, None, 1, 2)))
        steps.append(spec)
    return connected(draw, Graph(steps, draw(some.integers(1, 3))))


def connected(draw: some.DrawFn, graph: Graph) -> Graph:
    """What can be said of steps only when all of them are known: responders, outlets that are selected, handlers."""
    handlers = [None, *(step.name for step in graph.steps if step.handles)]
    plain = [step for step in graph.steps if not step.handles]
    for _ in range(draw(some.sampled_from((0, 1, 1, 1, 1, 1, 2)))):
        responder = draw(some.sampled_from(plain))
        responder.responds = True
        responder.drafts = draw(some.sampled_from(("hide", "live")))
        responder.on_limit = draw(some.sampled_from(("error", "best")))
    graph.handler = draw(some.sampled_from(handlers))
    for step in plain:
        step.handler = draw(some.sampled_from([None, None, *handlers]))
        step.recovery = draw(some.sampled_from([None] * 6 + [other.name for other in plain if other is not step]))
        outlets = graph.followers(step.name)
        chooses = step.cycles or (len(outlets) > 1 and draw(some.booleans()))
        if outlets and chooses and step.kind in ("plain", "same", "event", "later", "stream", "flow"):
            sets = some.lists(some.sampled_from([*outlets, Complete]), max_size=2, unique=True).map(tuple)
            step.script = tuple(draw(some.lists(sets, min_size=1, max_size=4)))
    return graph


@EXAMPLES
@given(graph=any_graphs(), leaves_after=some.integers(0, 3))
async def test_any_graph_is_refused_with_a_sentence_or_does_what_the_model_says(
    graph: Graph, leaves_after: int
) -> None:
    """Connected at random, a graph is either a GraphDefinitionError with a message, or its runs are the model's."""
    if (refused := refusal(graph)) is None:
        await check(graph, leaves_after)
    else:
        event(f"refused: {type(refused).__name__}")
        assert isinstance(refused, GraphDefinitionError)
        assert len(str(refused).split()) > 3


def refusal(graph: Graph) -> GraphError | None:
    """Why a graph cannot be built."""
    try:
        built(graph, Watch()).validate()
    except GraphError as error:
        return error
    return None


def test_the_model_says_when_each_chunk_is_made_and_leaves() -> None:
    """Of a live stream, every chunk leaves before the next one is made."""
    graph = Graph([Spec("a", "plain"), Spec("b", "stream", after=("a",), responds=True)])
    assert Model(graph).run().log == [
        *(("made", (2, "b#0", (1, "a", START))), ("got", (2, "b#0", (1, "a", START)))),
        *(("made", (2, "b#1", (1, "a", START))), ("got", (2, "b#1", (1, "a", START)))),
    ]
