"""Splits and joins: cases 12 to 16 of the behaviour of serving graphs, side branches, and state."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec
import pytest

from graph import (
    Choice,
    Collector,
    Complete,
    Event,
    Filter,
    Flow,
    FlowRun,
    Hooks,
    Instrument,
    InvalidOutlet,
    Merge,
    PathsMeet,
    RunError,
    StateConflict,
    UnknownStep,
    added,
    joined,
    largest,
    latest,
)


def add(number: int) -> Any:
    """A step that appends a number to the list in the body, in place."""

    def step(body: list[int]) -> list[int]:
        body.append(number)
        return body

    return step


def same(body: Any) -> Any:
    return body


def fan(into: Any = "dict") -> Flow:
    """split → (one, two) → merge, which responds."""
    flow = Flow("fan")
    split = flow.to(same, name="split")
    split.to(add(1), name="one")
    split.to(add(2), name="two")
    flow.add_step(Merge(into), "merge", after=["one", "two"]).respond()
    return flow


async def test_case_14_branches_do_not_see_each_others_changes() -> None:
    """Each path works on a copy, also where it changes the body in place."""
    body = [0]
    assert await fan().run(body) == {"one": [0, 1], "two": [0, 2]}
    assert body == [0]


@pytest.mark.parametrize(
    ("into", "merged"),
    [("dict", {"one": [1], "two": [2]}), ("list", [[1], [2]]), (lambda bodies: bodies[0] + bodies[1], [1, 2])],
)
async def test_case_15_merge_makes_one_body(into: Any, merged: Any) -> None:
    """A dict by the last step of each path, a list in the order of the paths, or what a function makes of it."""
    assert await fan(into).run([]) == merged


async def test_case_15_branches_run_side_by_side() -> None:
    """Both paths are under way before either of them is done."""
    together = asyncio.Barrier(2)

    async def meet(body: Any) -> Any:
        await together.wait()
        return body

    flow = Flow()
    split = flow.to(same, name="split")
    split.to(meet, name="one")
    split.to(meet, name="two")
    flow.add_step(Merge(), "merge", after=["one", "two"]).respond()
    assert await flow.run(1) == {"one": 1, "two": 1}


class Pick(Choice):
    """Selects the outlets that the body names."""

    def select_outlets(self, body: list[str]) -> list[str]:
        return body


@pytest.mark.parametrize("picked", [["a"], ["b"], ["a", "b"], ["c", "a", "b"]])
async def test_case_15_merge_waits_for_exactly_the_branches_that_were_taken(picked: list[str]) -> None:
    """A Choice may take one, some or all of the paths."""
    flow = Flow()
    pick = flow.to(Pick(), name="pick")
    for name in "abc":
        pick.to("{}".format, name=name)
    flow.add_step(Merge(), "merge", after=["a", "b", "c"]).respond()
    assert await flow.run(picked) == {name: str(picked) for name in picked}


def test_case_15_paths_that_meet_without_a_merge_are_refused() -> None:
    """A static split that comes together again needs a Merge; the error names both places."""
    flow = Flow()
    split = flow.to(same, name="split")
    split.to(same, name="one").to(same, name="more")
    split.to(same, name="two")
    flow.add_step(same, "end", after=["more", "two"]).respond()
    with pytest.raises(PathsMeet, match=r"parallel paths from step 'split' meet in 'end'.*put a Merge before 'end'"):
        flow.validate()


async def test_case_15_chosen_paths_that_meet_without_a_merge_fail() -> None:
    """Where a Choice decides while running, one path may go there, two may not."""
    flow = Flow()
    pick = flow.to(Pick(), name="pick")
    pick.to(same, name="a")
    pick.to(same, name="b")
    flow.add_step(same, "end", after=["a", "b"]).respond()
    assert await flow.run(["a"]) == ["a"]
    with pytest.raises(InvalidOutlet, match="the paths from 'pick' meet in 'end'; put a Merge before it"):
        await flow.run(["a", "b"])


def test_a_responder_on_a_path_that_a_merge_joins_is_refused() -> None:
    """The answer of joined paths is given after the Merge."""
    flow = Flow()
    split = flow.to(same, name="split")
    split.to(same, name="one").respond()
    split.to(same, name="two").to(same, name="also")
    flow.add_step(Merge(), "merge", after=["one", "also"])
    assert flow.streaming.kind == "whole"
    joined_flow = Flow(allow_cyclic=True)
    split = joined_flow.to(same, name="split")
    split.to(same, name="one").respond()
    split.to(same, name="two")
    merge = joined_flow.add_step(Merge(), "merge", after=["one", "two"])
    merge.to(Pick(), name="pick").cycle_to("split")
    with pytest.raises(PathsMeet, match="'one' responds on one of the parallel paths from 'split'"):
        joined_flow.validate()


async def test_a_split_inside_a_branch() -> None:
    """Merges may be nested; the inner one is done before the outer one."""
    flow = Flow()
    outer = flow.to(same, name="outer")
    inner = outer.to(add(1), name="inner")
    inner.to(add(2), name="x")
    inner.to(add(3), name="y")
    flow.add_step(Merge("list"), "join", after=["x", "y"])
    outer.to(add(9), name="z")
    flow.add_step(Merge(), "merge", after=["join", "z"]).respond()
    assert await flow.run([0]) == {"join": [[0, 1, 2], [0, 1, 3]], "z": [0, 9]}


async def test_merges_that_follow_each_other_wait_for_each_other() -> None:
    """Of three paths two meet first, and the third meets their result."""
    flow = Flow()
    split = flow.to(same, name="split")
    for number in (1, 2, 3):
        split.to(add(number), name=f"p{number}")
    flow.add_step(Merge("list"), "first", after=["p1", "p2"])
    flow.add_step(Merge("list"), "second", after=["first", "p3"]).respond()
    assert await flow.run([]) == [[[1], [2]], [3]] or await flow.run([]) == [[3], [[1], [2]]]


async def test_a_merge_without_a_split_before_it_gives_the_one_path() -> None:
    """It is a step like any other."""
    flow = Flow()
    flow.to(same, name="only").to(Merge(), name="merge").respond()
    assert await flow.run(7) == {"only": 7}


async def test_a_path_from_the_split_straight_to_the_merge() -> None:
    """It stands under the name of the step that split."""
    flow = Flow(allow_cyclic=True)
    split = flow.to(same, name="split")
    split.to(add(1), name="one")
    flow.add_step(Merge(), "merge", after=["split", "one"]).respond()
    assert await flow.run([0]) == {"one": [0, 1], "split": [0]}


async def test_case_16_a_dropped_path_is_not_waited_for() -> None:
    """What a Filter drops does not arrive; when nothing arrives the run ends without an answer."""
    flow = Flow()
    split = flow.to(same, name="split")
    split.to(Filter(lambda body: body > 1), name="one")
    split.to(Filter(lambda body: body > 2), name="two")
    flow.add_step(Merge(), "merge", after=["one", "two"]).respond()
    assert await flow.run(3) == {"one": 3, "two": 3}
    assert await flow.run(2) == {"one": 2}
    assert await flow.run(1) is None


async def test_case_16_a_dropped_event_ends_the_run() -> None:
    """Filter says no: the answer is none, at once."""
    flow = Flow()
    flow.to(Filter(bool), name="filter").to(same, name="end").respond()
    assert await flow.run(0) is None
    assert await flow.run(5) == 5


async def test_an_error_in_a_branch_is_the_error_of_the_run() -> None:
    """The other branches are cancelled, and the exception is the step's own."""
    cancelled = asyncio.Event()

    async def stuck(body: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def fail(body: Any) -> Any:
        raise ValueError("broken")

    flow = Flow()
    split = flow.to(same, name="split")
    split.to(stuck, name="one")
    split.to(fail, name="two")
    flow.add_step(Merge(), "merge", after=["one", "two"]).respond()
    with pytest.raises(ValueError, match="broken") as raised:
        await flow.run(1)
    assert raised.value.__notes__ == ["in step 'two' of flow 'flow'"]
    assert cancelled.is_set()


async def test_a_handler_that_ends_the_flow_ends_it_from_a_branch_too() -> None:
    """Its output is the answer, and nobody waits for the other branch."""

    async def stuck(body: Any) -> Any:
        await asyncio.Event().wait()

    async def fail(body: Any) -> Any:
        raise ValueError("broken")

    flow = Flow().error_handler(lambda body: "sorry", name="sorry")
    split = flow.to(same, name="split")
    split.to(stuck, name="one")
    split.to(fail, name="two")
    flow.add_step(Merge(), "merge", after=["one", "two"]).respond()
    assert await flow.run(1) == "sorry"


async def test_a_handler_that_leads_back_keeps_the_branch() -> None:
    """With before= the branch goes on, and arrives."""

    def fail(body: list[int]) -> Any:
        raise ValueError("broken")

    flow = Flow()
    split = flow.to(same, name="split")
    split.to(add(1), name="one")
    split.to(fail, name="two").error_handler(add(7), name="mend", before="merge")
    flow.add_step(Merge(), "merge", after=["one", "two"]).respond()
    assert await flow.run([]) == {"one": [1], "mend": [7]}


async def test_complete_leaves_the_graph_from_a_branch() -> None:
    """What the branch had is the answer."""

    class Leave(Choice):
        def select_outlets(self, body: Any) -> str:
            return Complete

    flow = Flow()
    split = flow.to(same, name="split")
    split.to(add(1), name="one").to(Leave(), name="leave")
    split.to(add(2), name="two")
    flow.add_step(Merge(), "merge", after=["leave", "two"]).respond()
    assert await flow.run([]) == [1]


async def test_a_side_branch_runs_beside_the_answer() -> None:
    """A path that does not lead to the responder goes on by itself; the run ends when it has."""
    logged: list[Any] = []
    go_on = asyncio.Event()

    async def log(body: Any) -> None:
        await go_on.wait()
        logged.append(body)

    flow = Flow()
    split = flow.to(same, name="split")
    split.to(add(1), name="answer").respond()
    split.to(log, name="log")
    async with aclosing(flow.stream([0])) as chunks:
        assert await anext(chunks) == [0, 1]
        assert logged == []
        go_on.set()
        assert [chunk async for chunk in chunks] == []
    assert logged == [[0]]


async def test_side_branches_of_a_side_branch_meet_too() -> None:
    """A Merge among paths that do not lead to the answer is waited for like any other."""
    logged: list[Any] = []
    flow = Flow()
    split = flow.to(same, name="split")
    split.to(same, name="answer").respond()
    split.to(add(1), name="x")
    split.to(add(2), name="y")
    flow.add_step(Merge(), "merge", after=["x", "y"]).to(logged.append, name="log")
    assert await flow.run([]) == []
    assert logged == [{"x": [1], "y": [2]}]


class Errors(Instrument):
    """Notes which step failed how."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def on_error(self, run: FlowRun, event: Event, error: Exception) -> None:
        self.seen.append((event.at, str(error)))


async def test_an_error_in_a_side_branch_does_not_spoil_the_answer() -> None:
    """The answer has been given; those who watch are told what went wrong beside it."""

    def fail(body: Any) -> Any:
        raise ValueError("log is full")

    flow = Flow()
    split = flow.to(same, name="split")
    split.to(same, name="answer").respond()
    split.to(fail, name="log")
    errors = Errors()
    assert await flow.run(1, hooks=Hooks.of([errors])) == 1
    assert errors.seen == [("log", "log is full")]


async def test_where_nobody_answers_an_error_in_any_path_is_the_error_of_the_run() -> None:
    """There is no answer that it could come too late for."""

    def fail(body: Any) -> Any:
        raise ValueError("log is full")

    flow = Flow()
    split = flow.to(same, name="split")
    split.to(same, name="store")
    split.to(fail, name="log")
    with pytest.raises(ValueError, match="log is full"):
        await flow.run(1)


async def test_a_client_that_leaves_ends_side_branches() -> None:
    """Closing the answer cancels what still runs beside it."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def stuck(body: Any) -> Any:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def words(body: Any) -> AsyncGenerator[str, None]:
        await begun.wait()
        yield "a"
        yield "b"

    flow = Flow()
    split = flow.to(same, name="split")
    split.to(words, name="answer").respond()
    split.to(stuck, name="side")
    async with aclosing(flow.stream(1)) as chunks:
        await anext(chunks)
    assert ended.is_set()


async def test_a_graph_without_a_responder_waits_for_all_its_paths() -> None:
    """Every path counts, and Merges join them."""
    done: list[Any] = []
    flow = Flow()
    split = flow.to(same, name="split")
    split.to(add(1), name="one")
    split.to(add(2), name="two")
    split.to(done.append, name="three")
    flow.add_step(Merge("list"), "merge", after=["one", "two"]).to(done.append, name="end")
    event = Event([])
    assert await flow.start(event).result() == {"id": event.id}
    assert done == [[], [[1], [2]]]


async def test_a_split_inside_a_cycle() -> None:
    """Each round splits and merges anew; visits are counted once a path."""
    flow = Flow(allow_cyclic=True)
    split = flow.to(lambda body: {"n": body["n"] + 1}, name="split")
    split.to(same, name="one")
    split.to(same, name="two")
    merge = flow.add_step(Merge(lambda bodies: bodies[0]), "merge", after=["one", "two"])

    class Again(Choice):
        def select_outlets(self, body: dict[str, int]) -> str:
            return "split" if body["n"] < 4 else "end"

    merge.to(Again(), name="again").cycle_to("split").to(same, name="end").respond()
    run = flow.start(Event({"n": 0}))
    assert await run.result() == {"n": 4}
    assert (run.visits("one"), run.visits("two"), run.visits("merge")) == (4, 4, 4)


async def test_a_body_that_cannot_be_copied_is_told() -> None:
    """Parallel paths need copies; what has none is an error with the reason."""
    with pytest.raises(RunError, match="cannot be copied for parallel paths"):
        await fan().run(threading.Lock())


# --- state


@dataclass
class Memory:
    """What steps keep for each other."""

    notes: Annotated[list[str], added] = field(default_factory=list)
    total: Annotated[int, added] = 0
    seen: Annotated[set[str], joined] = field(default_factory=set)
    best: Annotated[int, largest] = 0
    last: Annotated[str, latest] = ""
    plain: str = ""


def remember(name: str, number: int) -> Any:
    """A step that writes into every field of the memory."""

    def step(event: Event) -> None:
        memory: Memory = event.state
        memory.notes.append(name)
        memory.total += number
        memory.seen.add(name)
        memory.best = number
        memory.last = name

    return step


def remembering(**options: Any) -> Flow:
    flow = Flow(**options)
    split = flow.to(remember("first", 1), name="split", full_event=True)
    split.to(remember("one", 10), name="one", full_event=True)
    split.to(remember("two", 5), name="two", full_event=True)
    merge = flow.add_step(Merge(), "merge", after=["one", "two"])
    merge.to(lambda event: event.having(event.state), name="show", full_event=True).respond()
    return flow


async def test_state_is_an_instance_of_the_class_that_the_author_gives() -> None:
    """Each run has a state of its own, and reducers make one of what parallel branches leave."""
    flow = remembering(state=Memory)
    for _ in range(2):
        memory = await flow.run()
        assert memory == Memory(["first", "one", "two"], 16, {"first", "one", "two"}, 10, "two")


async def test_state_may_be_a_msgspec_struct() -> None:
    """Fields with reducers are found there too."""

    class Sum(msgspec.Struct):
        total: Annotated[int, added] = 0

    def count(event: Event) -> None:
        event.state.total += 1

    flow = Flow(state=Sum)
    split = flow.to(count, name="split", full_event=True)
    split.to(count, name="one", full_event=True)
    split.to(count, name="two", full_event=True)
    merge = flow.add_step(Merge(), "merge", after=["one", "two"])
    merge.to(lambda event: event.state.total, name="show", full_event=True).respond()
    assert await flow.run() == 3


def note(key: str, value: Any) -> Any:
    def step(event: Event) -> None:
        event.state[key] = value

    return step


def noting(*pairs: tuple[str, Any], **options: Any) -> Flow:
    flow = Flow(**options)
    split = flow.to(note("start", 0), name="split", full_event=True)
    for index, (key, value) in enumerate(pairs):
        split.to(note(key, value), name=f"p{index}", full_event=True)
    merge = flow.add_step(Merge(), "merge", after=[f"p{index}" for index in range(len(pairs))])
    merge.to(lambda event: event.having(event.state), name="show", full_event=True).respond()
    return flow


async def test_without_a_class_the_state_is_a_dict() -> None:
    """Keys that one branch wrote, or all alike, need no reducer."""
    assert await noting(("a", 1), ("b", 2)).run() == {"start": 0, "a": 1, "b": 2}
    assert await noting(("a", 1), ("a", 1)).run() == {"start": 0, "a": 1}


async def test_branches_that_disagree_need_a_reducer() -> None:
    """The error names the key and the remedy; with a reducer it is no error."""
    with pytest.raises(StateConflict, match=r"different values in the state's 'a'.*reducers=\{'a': graph.added\}"):
        await noting(("a", 1), ("a", 2)).run()
    assert await noting(("a", 1), ("a", 2), reducers={"a": largest}).run() == {"start": 0, "a": 2}
    assert await noting(("a", 1), ("a", 2), reducers={"a": lambda _, values: values}).run() == {"start": 0, "a": [1, 2]}


def test_a_state_class_must_be_one_whose_fields_are_known() -> None:
    """Any other class is refused at build."""
    flow = Flow(state=int)
    flow.to(same, name="a").respond()
    with pytest.raises(Exception, match="is no dataclass and no msgspec Struct"):
        flow.validate()


# --- outlets that are promised


def choosing(kind: type) -> Flow:
    flow = Flow()
    flow.to(kind, name="route").to(same, name="end").respond()
    return flow


def test_a_literal_return_type_is_checked_at_build() -> None:
    """Names that select_outlets promises must be followers, or Complete."""

    class Good(Choice):
        def select_outlets(self, body: Any) -> list[Literal["end", "Complete"]]:
            return ["end"]

    class Bad(Choice):
        def select_outlets(self, body: Any) -> Literal["end", "ende"]:
            return "ende"

    choosing(Good).validate()
    with pytest.raises(UnknownStep, match="step 'route' may select 'ende', which does not follow it"):
        choosing(Bad).validate()


# --- a stream with several readers


async def words(body: str) -> AsyncGenerator[str, None]:
    for word in body.split():
        yield word


def teed(log: list[Any], *, per_chunk: bool = False) -> Flow:
    """streamer → out (responds), and beside it streamer → Collector → log."""
    flow = Flow()
    streamer = flow.to(words, name="streamer")
    streamer.to(str.upper, name="out").respond()
    side = streamer if per_chunk else streamer.to(Collector(), name="collector")
    side.to(log.append, name="log")
    return flow


async def test_case_28_the_client_gets_chunks_live_and_the_log_the_whole() -> None:
    """One stream feeds the responder and a side branch that collects it."""
    log: list[Any] = []
    flow = teed(log)
    assert flow.streaming.kind == "live"
    assert await flow.run("a b c") == ["A", "B", "C"]
    assert log == [["a", "b", "c"]]


async def test_case_28_a_side_branch_without_a_collector_sees_each_chunk() -> None:
    """Plain steps there run once a chunk."""
    log: list[Any] = []
    assert await teed(log, per_chunk=True).run("a b") == ["A", "B"]
    assert log == ["a", "b"]


async def test_case_28_a_slow_side_branch_holds_the_stream_back() -> None:
    """There is one bounded window between them: the stream is at most that far ahead."""
    made = 0
    go_on = asyncio.Event()

    async def many(body: Any) -> AsyncGenerator[int, None]:
        nonlocal made
        for index in range(100):
            made += 1
            yield index

    async def slow(chunk: int) -> None:
        await go_on.wait()

    flow = Flow()
    streamer = flow.to(many, name="streamer")
    streamer.to(same, name="out").respond()
    streamer.to(slow, name="slow")
    reading = asyncio.create_task(flow.run())
    for _ in range(200):
        await asyncio.sleep(0)
    assert made < 25
    go_on.set()
    assert len(await reading) == 100


async def test_case_28_a_stream_that_breaks_ends_its_side_branches() -> None:
    """What was collected so far is dropped with the run."""
    log: list[Any] = []

    async def breaking(body: Any) -> AsyncGenerator[str, None]:
        yield "a"
        raise ValueError("broken")

    flow = Flow()
    streamer = flow.to(breaking, name="streamer")
    streamer.to(same, name="out").respond()
    streamer.to(Collector(), name="collector").to(log.append, name="log")
    with pytest.raises(ValueError, match="broken"):
        await flow.run()
    assert log == []


async def test_case_28_a_side_branch_that_breaks_does_not_stop_the_answer() -> None:
    """The client gets all chunks, and those who watch are told."""

    def fail(chunk: str) -> None:
        raise ValueError("no log")

    flow = Flow()
    streamer = flow.to(words, name="streamer")
    streamer.to(same, name="out").respond()
    streamer.to(fail, name="log")
    errors = Errors()
    answer = await flow.run("w " * 50, hooks=Hooks.of([errors]))
    assert len(answer) == 50
    assert errors.seen == [("log", "no log")]


def test_case_28_a_stream_that_two_paths_lead_to_the_answer_is_refused() -> None:
    """Exactly one reader may be the responder's; the others are side branches."""
    flow = Flow()
    streamer = flow.to(words, name="streamer")
    streamer.to(Collector(), name="x")
    streamer.to(Collector(), name="y")
    flow.add_step(Merge(), "merge", after=["x", "y"]).respond()
    with pytest.raises(Exception, match="exactly one may lead to the responder"):
        flow.validate()


@pytest.mark.parametrize("options", [{}, {"retries": 1, "backoff": 0.001}, {"execution_mechanism": "thread_pool"}])
async def test_a_merge_takes_async_functions_and_options(options: dict[str, Any]) -> None:
    """As those of any step: the body became a coroutine that nobody awaited."""

    async def later(bodies: list[int]) -> int:
        return sum(bodies)

    flow = Flow()
    flow.to(lambda body: body, name="start")
    flow.add_step(lambda body: 1, "one", after="start")
    flow.add_step(lambda body: 2, "two", after="start")
    into = sum if options else later
    flow.add_step(Merge(into), "merge", after=["one", "two"], **options).respond()
    assert await flow.run(0) == 3


@pytest.mark.parametrize(
    ("reducer", "values", "whole"),
    [(added, (["a"], ["b"]), ["a", "b"]), (added, (1, 2), 3), (joined, ({"a": 1}, {"b": 2}), {"a": 1, "b": 2})],
)
async def test_what_only_branches_begin_is_reduced_too(reducer: Any, values: Any, whole: Any) -> None:
    """A state that is a dict has no fields before a branch makes one: it was a TypeError."""

    def put(value: Any) -> Any:
        def step(event: Event) -> None:
            event.state["found"] = value

        return step

    flow = Flow(reducers={"found": reducer})
    flow.to(lambda body: body, name="start")
    flow.add_step(put(values[0]), "one", after="start", full_event=True)
    flow.add_step(put(values[1]), "two", after="start", full_event=True)
    flow.add_step(Merge(), "merge", after=["one", "two"])
    flow.add_step(lambda event: event.state["found"], "show", after="merge", full_event=True).respond()
    assert await flow.run() == whole
