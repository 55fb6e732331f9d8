"""Building flows: what may be a step, what is refused, how errors are handled, what watches, what is drawn."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from graph import (
    Choice,
    Collector,
    CyclesNotAllowed,
    DuplicateStep,
    Event,
    Flow,
    FlowIsBuilt,
    FlowRun,
    Hooks,
    Instrument,
    InvalidPath,
    InvalidStep,
    LoopDetected,
    RunTimeout,
    TooManyResponders,
    UnknownStep,
    UnreachableStep,
)
from llm import Usage


class Add:
    """Adds a number; the constructor takes it, and the name of the step."""

    def __init__(self, number: int = 1, name: str = "", context: Any = None) -> None:
        self.number = number
        self.name = name

    def do(self, body: int) -> int:
        return body + self.number

    def twice(self, body: int) -> int:
        return body + 2 * self.number


def double(body: int) -> int:
    return body * 2


async def later(body: int) -> int:
    await asyncio.sleep(0)
    return body + 100


class Undecided(Choice):
    """Would like to wait before it chooses."""

    async def select_outlets(self, body: Any) -> str:  # type: ignore[override]
        return "nowhere"


async def test_a_step_may_be_a_class_an_instance_or_a_function() -> None:
    """Classes are made with their arguments, instances and functions are used as they are."""
    flow = Flow()
    flow.to(Add, name="add", number=5).to(Add(2), name="two").to(double).to(later).to(partial(pow, 2), name="pow")
    flow.steps["pow"].respond()
    assert await flow.run(-56) == 2 ** ((-56 + 7) * 2 + 100)


async def test_a_step_may_be_named_by_a_string() -> None:
    """A string names something where the flow is built, or an importable object."""
    flow = Flow()
    flow.to("Add", name="local", number=3).to(class_name="operator.neg", name="imported").to(handler="double").respond()
    assert await flow.run(1) == -8


async def test_the_handler_names_the_method() -> None:
    """With a class, handler= chooses the method; do_event is given the event, do the body."""

    class Both:
        def do(self, body: Any) -> str:
            return "do"

        def do_event(self, event: Event) -> Event:
            event.body = "do_event"
            return event

    flow = Flow()
    flow.to(Add(5), handler="twice", name="twice").respond()
    assert await flow.run(1) == 11
    both = Flow()
    both.to(Both()).respond()
    assert await both.run() == "do_event"


def test_the_constructor_is_given_its_name_only_if_it_asks() -> None:
    """``name`` and ``context`` reach constructors that have such parameters."""

    class Plain:
        def do(self, body: Any) -> Any:
            return body

    flow = Flow()
    flow.to(Add, name="adder").to(Plain, name="plain").respond()
    assert flow.plan.nodes["adder"].instance.name == "adder"
    assert isinstance(flow.plan.nodes["plain"].instance, Plain)


async def test_full_event_gives_the_event() -> None:
    """A step with full_event may change the event, return another, return a body, or return nothing."""

    def change(event: Event) -> None:
        event.body += 1

    flow = Flow()
    flow.to(change, full_event=True).to(lambda event: event.having(event.body * 10), name="other", full_event=True)
    flow.add_step(lambda event: event.body + 5, "body", after="other", full_event=True).respond()
    assert await flow.run(1) == 25


async def test_a_step_may_return_another_event() -> None:
    """Its body counts; who asked, the id and what was spent stay those of the run."""

    def replace(event: Event) -> Event:
        event.account("model", Usage.of(1, 2))
        return Event("new body", id="another")

    flow = Flow()
    flow.to(replace, full_event=True).to(lambda event: (event.id, event.body), name="show", full_event=True).respond()
    run = flow.start(Event("old body", id="mine"))
    assert await run.result() == ("mine", "new body")
    assert run.usage.total_tokens == 3


async def test_after_prev_is_the_step_that_was_added_last() -> None:
    """Before any other step it is the start; error handlers do not count."""
    flow = Flow()
    flow.add_step(double, "one", after="$prev")
    flow.error_handler(double, name="handler")
    flow.add_step(double, "two", after="$prev").respond()
    assert await flow.run(1) == 4


async def test_paths_into_the_body() -> None:
    """input_path says what a step is given, result_path where its result goes."""
    flow = Flow()
    flow.to(double, input_path="data.b", result_path="out.r").respond()
    assert await flow.run({"data": {"b": 4}}) == {"data": {"b": 4}, "out": {"r": 8}}


@pytest.mark.parametrize(
    ("body", "message"), [([1], "the body is a list, no dict"), ({"data": {}}, "the body at 'data' has no key 'b'")]
)
async def test_paths_that_do_not_fit_are_type_errors(body: Any, message: str) -> None:
    """A body without the path is a TypeError that says where it ends."""
    flow = Flow()
    flow.to(double, input_path="data.b").respond()
    with pytest.raises(TypeError, match=message) as raised:
        await flow.run(body)
    assert isinstance(raised.value, InvalidPath)


async def test_without_a_responder_the_answer_is_the_id() -> None:
    """A flow in which nobody responds answers with the id of its event."""
    flow = Flow()
    flow.to(double)
    event = Event(1)
    assert await flow.start(event).result() == {"id": event.id}


# --- what is refused


def test_two_steps_of_one_name() -> None:
    """The error names both, when the second is added."""
    flow = Flow()
    flow.to(Add, name="x")
    with pytest.raises(DuplicateStep, match=r"a step 'x' already \(.*Add.*give .*double.* another name="):
        flow.to(double, name="x")


def test_a_cycle_must_be_allowed() -> None:
    """cycle_to needs allow_cyclic, which may also be set after the steps were added."""
    flow = Flow()
    flow.to(double, name="a").to(Choice(), name="b").cycle_to("a").respond()
    with pytest.raises(CyclesNotAllowed, match="cyclic graphs are not allowed, enable allow_cyclic"):
        flow.validate()
    flow.allow_cyclic = True
    flow.validate()


def test_an_unknown_name_is_refused_at_build() -> None:
    """A follower or a way back that does not exist is named, with those that do."""
    flow = Flow(allow_cyclic=True)
    flow.to(double, name="a").cycle_to("nope")
    with pytest.raises(UnknownStep, match="no step 'nope'; it has a"):
        flow.validate()
    with pytest.raises(UnknownStep, match="'NoSuchThing' cannot be found"):
        Flow().to("NoSuchThing", name="x")


def test_a_loop_that_is_not_declared() -> None:
    """Steps that follow each other in a circle need cycle_to."""
    flow = Flow(allow_cyclic=True)
    flow.to(double, name="a")
    flow.add_step(double, "b", after="a", before="c")
    flow.add_step(double, "c", before="b")
    flow.edges.remove(("", "c"))
    with pytest.raises(LoopDetected, match=r"loop detected in step b, graph must be acyclic \(DAG\)"):
        flow.validate()


def test_two_responders() -> None:
    """Only one step may answer; the error names both."""
    flow = Flow()
    flow.to(double, name="a").respond().to(double, name="b").respond()
    with pytest.raises(TooManyResponders, match=r"there are more than one responder steps in the graph \(a,b\)"):
        flow.validate()


def test_a_step_that_no_path_reaches() -> None:
    """A step that hangs in the air is refused."""
    flow = Flow()
    flow.to(double, name="a").respond()
    flow.add_step(double, "b", after=())
    with pytest.raises(UnreachableStep, match="no path leads to step 'b'"):
        flow.validate()


def test_a_flow_without_steps_and_one_with_two_starts() -> None:
    """A run must know where to begin."""
    with pytest.raises(InvalidStep, match="has no first step"):
        Flow().validate()
    flow = Flow()
    flow.to(double, name="a")
    flow.to(double, name="b")
    with pytest.raises(InvalidStep, match=r"starts with several steps \(a, b\)"):
        flow.validate()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda flow: flow.to(str), "has no method 'do' or 'do_event'"),
        (lambda flow: flow.to(object()), "has no method 'do' or 'do_event'"),
        (lambda flow: flow.to(Add, handler="nope"), "has no method 'nope'"),
        (lambda flow: flow.to(Add, wrong=1), "Add cannot be made: .*wrong"),
        (lambda flow: flow.to(double, max_iterations=0), "max_iterations=0; write 1 or more"),
        (lambda flow: flow.to(double, max_in_flight=0), "max_in_flight=0; write 1 or more"),
        (lambda flow: flow.to(later, timeout=0), "timeout=0; write a number above 0"),
        (lambda flow: flow.to(double, retries=-1), "retries=-1; write 0 or more"),
        (lambda flow: flow.to(Undecided()), "select_outlets must be a plain def"),
        (lambda flow: flow.to(), "needs a class_name"),
        (lambda flow: flow.to(lambda body: body), "has no name of its own"),
        (lambda flow: flow.to(double).respond(drafts="shown"), "drafts='shown'"),
        (lambda flow: flow.to(double).respond(drafts="reasoning"), "as_reasoning"),
        (lambda flow: flow.respond(), "has no step that could respond"),
    ],
)
def test_things_that_cannot_be_a_step(build: Any, message: str) -> None:
    """What is wrong with a step is said with its name and the remedy."""
    flow = Flow()
    with pytest.raises(InvalidStep, match=message):
        build(flow)
        flow.validate()


@pytest.mark.parametrize(
    "caps", [{"max_iterations": 0}, {"max_steps": 0}, {"max_tokens": 0}, {"max_seconds": 0}, {"max_usd": -1.0}]
)
def test_caps_under_which_no_run_could_be_are_refused(caps: dict[str, Any]) -> None:
    """The message names the cap."""
    flow = Flow(**caps)
    flow.to(double)
    with pytest.raises(InvalidStep, match=f"flow 'flow': {next(iter(caps))}="):
        flow.validate()


def test_a_validated_flow_cannot_be_changed() -> None:
    """Validation closes the definition."""
    flow = Flow()
    step = flow.to(double).respond()
    flow.validate()
    with pytest.raises(FlowIsBuilt):
        step.to(Add, name="more")
    with pytest.raises(FlowIsBuilt):
        flow.connect("double", "double")


# --- error handlers


def fail(body: Any) -> Any:
    raise ValueError(f"cannot do {body}")


async def test_case_18_the_handler_sees_the_event_that_entered_the_step() -> None:
    """It gets the body as it came into the failed step, the exception and the step's name."""
    seen: list[tuple[Any, Any, Any]] = []

    def handle(event: Event) -> str:
        seen.append((event.body, str(event.error), event.origin_state))
        return "handled"

    flow = Flow().error_handler(handle, full_event=True)
    flow.to(double).to(fail).to(double, name="after").respond()
    assert await flow.run(2) == "handled"
    assert seen == [(4, "cannot do 4", "fail")]


async def test_case_18_a_handler_may_lead_back_into_the_flow() -> None:
    """With before= the flow goes on there with what the handler made."""
    flow = Flow().error_handler(lambda body: body + 1, name="mend", before="after")
    flow.to(double).to(fail).to(double, name="after").respond()
    assert await flow.run(2) == 10


async def test_case_18_a_steps_own_handler_goes_before_the_flows() -> None:
    """Only steps without a handler of their own use that of the flow."""
    flow = Flow().error_handler(lambda body: "flow", name="of_flow")
    flow.to(fail).error_handler(lambda body: "step", name="of_step").respond()
    assert await flow.run(1) == "step"


async def test_the_handler_gets_the_body_back_that_the_step_has_spoilt() -> None:
    """What a failed step did to the event does not count."""

    def spoil(event: Event) -> None:
        event.body = "spoilt"
        raise ValueError("broken")

    flow = Flow().error_handler(lambda event: event.body, name="handler", full_event=True)
    flow.to(spoil, full_event=True).respond()
    assert await flow.run("whole") == "whole"


async def test_an_exception_that_is_raised_twice_is_handled_twice() -> None:
    """Also when it is the very same object."""
    error = ValueError("always the same")

    def fail(body: Any) -> Any:
        raise error

    flow = Flow()
    first = flow.to(fail, name="first").error_handler(lambda body: [*body, "first"], name="one", before="second")
    first.to(fail, name="second").error_handler(lambda body: [*body, "second"], name="two").respond()
    assert await flow.run([]) == ["first", "second"]


async def test_the_handler_of_a_cap_is_not_under_it() -> None:
    """A run that may enter no further step may still enter the one that answers for it."""
    flow = Flow(max_steps=1).error_handler(lambda event: str(event.error), name="handler", full_event=True)
    flow.to(double, name="one").to(double, name="two").respond()
    assert "more than 1 steps, the last 'two'" in await flow.run(1)


async def test_case_19_a_failing_handler_reports_its_own_error() -> None:
    """A handler is never its own handler."""
    flow = Flow().error_handler(fail, name="handler")
    flow.to(lambda body: 1 / body, name="divide").respond()
    with pytest.raises(ValueError, match="cannot do 0") as raised:
        await flow.run(0)
    assert raised.value.__notes__ == ["in step 'handler' of flow 'flow'"]


async def test_without_a_handler_the_error_names_its_step() -> None:
    """The exception of a step is raised as it is, with a note where it happened."""
    flow = Flow("sums")
    flow.to(fail).respond()
    with pytest.raises(ValueError, match="cannot do 1") as raised:
        await flow.run(1)
    assert raised.value.__notes__ == ["in step 'fail' of flow 'sums'"]


# --- instruments


class Watch(Instrument):
    """Writes down what it sees."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def before_step(self, run: FlowRun, event: Event) -> None:
        self.seen.append(f"> {event.at}")

    def after_step(self, run: FlowRun, event: Event) -> None:
        self.seen.append(f"< {event.at}")

    def on_chunk(self, run: FlowRun, event: Event, chunk: Any) -> None:
        self.seen.append(f"chunk {chunk}")

    def on_error(self, run: FlowRun, event: Event, error: Exception) -> None:
        self.seen.append(f"error in {event.at}")

    def on_run_end(self, run: FlowRun) -> None:
        self.seen.append(f"end {type(run.error).__name__}")


async def test_instruments_see_every_step_chunk_and_end() -> None:
    """The hooks come in the order in which things happen."""

    async def stream(body: int) -> Any:
        for index in range(body):
            yield index

    watch = Watch()
    flow = Flow()
    flow.to(double).to(stream).to(double, name="each").respond()
    await flow.run(1, hooks=Hooks.of([watch]))
    assert watch.seen == [
        *("> double", "< double", "> stream", "> each"),
        *("chunk 0", "chunk 2", "< stream", "< each", "end NoneType"),
    ]


async def test_instruments_see_errors_and_their_run_end() -> None:
    """A failing run ends once, with its error."""
    watch = Watch()
    flow = Flow()
    flow.to(fail).respond()
    with pytest.raises(ValueError, match="cannot do 1"):
        await flow.run(1, hooks=Hooks.of([watch]))
    assert watch.seen == ["> fail", "error in fail", "end ValueError"]


async def test_instruments_see_that_a_run_took_too_long() -> None:
    """A deadline is of the run, not of a step; who watches is told of it where it struck."""

    async def stuck(body: Any) -> None:
        await asyncio.Event().wait()

    seen: list[tuple[str, type]] = []

    class Errors(Instrument):
        def on_error(self, run: FlowRun, event: Event, error: Exception) -> None:
            seen.append((event.at, type(error)))

    flow = Flow(max_seconds=0.01)
    flow.to(stuck).respond()
    with pytest.raises(RunTimeout):
        await flow.run(hooks=Hooks.of([Errors()]))
    assert seen == [("stuck", RunTimeout)]


def test_hooks_that_nobody_overrides_are_not_called() -> None:
    """An instrument costs only what it watches."""

    class OnlyEnd(Instrument):
        def on_run_end(self, run: FlowRun) -> None: ...

    hooks = Hooks.of([OnlyEnd()])
    called = {name: len(getattr(hooks, name)) for name in Hooks.__slots__}
    assert called == {**dict.fromkeys(Hooks.__slots__, 0), "on_run_end": 1}


# --- drawing, explaining and mock server


async def spell(body: str) -> Any:
    """Streams letters."""
    for letter in body:
        yield letter


def test_explain_says_of_every_path_what_becomes_of_its_stream() -> None:
    """One line a path: live, collected, held, or no stream at all; loops are marked."""
    flow = Flow("many", allow_cyclic=True)
    choose = flow.to(Choice(), name="choose")
    choose.to(spell, name="live")
    choose.to(spell, name="slow").to(Collector(), name="collector")
    choose.to(double, name="plain").cycle_to("choose")
    flow.add_step(double, "answer", after=["live", "collector"]).respond()
    lines = flow.explain().splitlines()
    assert lines[0].startswith("many: live - live → answer streams")
    assert lines[1:] == [
        "  choose → live → answer: the stream of 'live' reaches the client live",
        "  choose → slow → collector → answer: the stream of 'slow' is collected by 'collector'",
        "  choose → plain → choose (again): no step streams, and none of them responds",
    ]


def test_explain_stops_where_there_are_too_many_paths() -> None:
    """A graph with very many paths is not printed for ever."""
    flow = Flow("wide", allow_cyclic=True)
    names = [f"s{index}" for index in range(9)]
    flow.to(Choice(), name=names[0])
    for previous, name in pairwise(names):
        flow.add_step(Choice(), name, after=previous)
    for index, name in enumerate(names):
        for target in names[:index]:
            flow.connect(name, target, cycle=True)
        for target in names[index + 2 :]:
            flow.connect(name, target)
    flow.steps[names[-1]].respond()
    assert flow.explain().splitlines()[-1] == "  … and more than 50 paths in all"


def test_the_plot_marks_cycles_the_answer_and_the_error_handler() -> None:
    """The mermaid text shows what the definition says."""
    flow = Flow(allow_cyclic=True).error_handler(double, name="sorry")
    flow.to(double, name="a").to(Choice(), name="b").cycle_to("a").to(Add, name='say "c"').respond()
    plot = flow.plot()
    assert plot.startswith("flowchart LR\n")
    for line in (
        "start --> s1",
        's1["a<br/><small>double</small>"]',
        "s1 --> s2",
        "s2 -. cycle .-> s1",
        's3["say &quot;c&quot;<br/><small>Add</small>"]',
        "s3 ==> answer((answer))",
        "s1 -. error .-> s0",
    ):
        assert f"    {line}" in plot.splitlines()


async def test_the_mock_server_works_inside_a_running_loop() -> None:
    """As in a notebook: the test runs in a loop, and test() is synchronous all the same."""
    flow = Flow()
    flow.to(later).to(double).respond()
    with flow.to_mock_server() as server:
        assert server.test("/", body=1) == 202
        assert server.test(body=2) == 204


def test_case_47_the_mock_server_streams() -> None:
    """Of a streaming flow test() gives an iterator; leaving it early closes the steps."""
    closed: list[bool] = []

    async def stream(body: str) -> Any:
        try:
            for sign in body:
                yield sign
        finally:
            closed.append(True)

    flow = Flow()
    flow.to(stream).respond()
    with flow.to_mock_server() as server:
        assert list(server.test(body="abc")) == ["a", "b", "c"]
        chunks = server.test(body="abc")
        assert next(chunks) == "a"
        chunks.close()
        assert closed == [True, True]


def test_the_mock_server_raises_what_the_run_raises() -> None:
    """Errors come out as they are."""
    flow = Flow()
    flow.to(fail).respond()
    with flow.to_mock_server() as server, pytest.raises(ValueError, match="cannot do 7"):
        server.test(body=7)


def test_a_mock_server_keeps_no_program_from_ending() -> None:
    """Also where an error of its flow, which holds on to it, ends the program."""
    program = (
        "from graph import Flow\n"
        "async def fails(body):\n    yield body.nothing\n"
        "flow = Flow()\nflow.to(fails).respond()\nserver = flow.to_mock_server()\nlist(server.test(body=7))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "AttributeError" in ended.stderr
