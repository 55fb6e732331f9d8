"""What goes on beside the answer, and what must not become of it: faults that random graphs have found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from graph import (
    Choice,
    Complete,
    Event,
    Filter,
    FlatMap,
    Flow,
    FlowRun,
    Hooks,
    Instrument,
    InvalidOutlet,
    Merge,
    StreamNotCollected,
)


def same(body: Any) -> Any:
    return body


def fail(body: Any) -> Any:
    raise ValueError("broken")


async def words(body: str) -> AsyncGenerator[str, None]:
    for word in body.split():
        yield word


class Slow:
    """A judge that lets everybody else work first, and accepts."""

    async def do(self, body: Any) -> Any:
        for _ in range(5):
            await asyncio.sleep(0)
        return {"judged": body}

    def select_outlets(self, body: Any) -> str:
        return Complete


async def test_without_a_responder_the_answer_is_the_id_on_several_paths_too() -> None:
    """Paths that do not meet end the run like a single one does."""
    flow = Flow()
    split = flow.to(same, name="split")
    split.to(same, name="one")
    split.to(same, name="two")
    event = Event(1)
    assert await flow.start(event).result() == {"id": event.id}


async def test_a_stream_with_side_branches_that_fails_before_its_first_chunk_is_handled() -> None:
    """Its side branches are ended with it, and their end is nobody's error."""

    async def early(body: Any) -> AsyncGenerator[str, None]:
        if body:
            raise ValueError("too early")
        yield "never"

    flow = Flow().error_handler(lambda body: "sorry", name="sorry")
    stream = flow.to(early, name="stream")
    stream.to(same, name="out").respond()
    stream.to(same, name="side")
    assert await flow.run(1) == "sorry"


async def test_a_merge_that_responds_answers_with_what_it_made() -> None:
    """What follows it works on that, as after any responder."""
    logged: list[Any] = []
    flow = Flow()
    split = flow.to(same, name="split")
    split.to(same, name="one")
    split.to(same, name="two")
    flow.add_step(Merge("list"), "merge", after=["one", "two"]).respond().to(logged.append, name="log")
    assert await flow.run(1) == [1, 1]
    assert logged == [[1, 1]]


async def test_an_error_beside_a_draft_does_not_refuse_it() -> None:
    """A side branch that fails and is handled while a judge thinks leaves the draft as it is."""
    flow = Flow(allow_cyclic=True)
    split = flow.to(same, name="split")
    split.to(lambda body: "draft", name="writer").respond().to(Slow(), name="judge").cycle_to("writer")
    split.to(fail, name="log").error_handler(same, name="sorry")
    assert await flow.run(1) == "draft"


async def test_an_error_beside_the_answer_does_not_lead_to_another_one() -> None:
    """A handler that goes on at the responder is for the path of the answer, not for those beside it."""
    flow = Flow(allow_cyclic=True).error_handler(lambda body: "of the side branch", name="mend", before="answer")
    split = flow.to(same, name="split")
    split.to(fail, name="log")
    split.to(same, name="answer").respond().to(Slow(), name="judge").cycle_to("answer")
    assert await flow.run("of the main path") == "of the main path"


async def test_an_outlet_that_is_wrong_after_a_live_answer_is_told() -> None:
    """To those who watch, and to the handler, as after an answer that did not stream."""
    seen: list[str] = []

    class Errors(Instrument):
        def on_error(self, run: FlowRun, event: Event, error: Exception) -> None:
            seen.append(event.at)

    class Wrong(Choice):
        do = staticmethod(words)

        def select_outlets(self, body: Any) -> str:
            return "nope"

    def handle(event: Event) -> None:
        seen.append(f"{event.origin_state}: {type(event.error).__name__}")

    flow = Flow()
    flow.to(Wrong(), name="wrong").respond().to(same, name="end")
    with pytest.raises(InvalidOutlet) as raised:
        await flow.run("a", hooks=Hooks.of([Errors()]))
    assert raised.value.__notes__ == ["in step 'wrong' of flow 'flow'"]
    handled = Flow().error_handler(handle, name="handler", full_event=True)
    handled.to(Wrong(), name="wrong").respond().to(same, name="end")
    assert await handled.run("a b") == ["a", "b"]
    assert seen == ["wrong", "wrong: InvalidOutlet"]


async def test_complete_beside_another_outlet_does_not_leave_the_graph() -> None:
    """The path goes on where the other outlet leads, and is waited for."""

    class Both(Choice):
        def select_outlets(self, body: Any) -> list[str]:
            return ["on", Complete]

    flow = Flow()
    split = flow.to(same, name="split")
    split.to(Both(), name="both").to(same, name="on")
    split.to(same, name="other")
    flow.add_step(Merge("list"), "merge", after=["on", "other"]).respond()
    assert await flow.run(1) == [1, 1]


async def test_a_side_branch_may_be_inside_a_cycle() -> None:
    """It is walked once a pass; that the cycle comes back to the split is no meeting of paths."""
    logged: list[int] = []

    class Again(Choice):
        def select_outlets(self, body: int) -> str:
            return "count" if body < 3 else "end"

    flow = Flow(allow_cyclic=True)
    count = flow.to(lambda body: body + 1, name="count")
    count.to(logged.append, name="log")
    count.to(Again(), name="again").cycle_to("count").to(same, name="end").respond()
    assert await flow.run(0) == 3
    assert sorted(logged) == [1, 2, 3]


def test_a_stream_that_two_steps_read_behind_a_flat_map_is_refused() -> None:
    """It would be gathered there, and the verdict would call it live."""
    flow = Flow()
    twice = flow.to(words, name="words").to(FlatMap(lambda word: [word, word]), name="twice")
    twice.to(same, name="out").respond()
    twice.to(same, name="log")
    with pytest.raises(StreamNotCollected, match=r"'twice' received a streaming event from 'words'\. Put a Collector"):
        flow.validate()


async def test_a_responder_that_several_steps_follow_streams_live() -> None:
    """They get the whole of its answer afterwards, like a single follower."""
    logged: list[Any] = []
    flow = Flow()
    out = flow.to(words, name="words").to(same, name="out").respond()
    out.to(logged.append, name="one")
    out.to(logged.append, name="two")
    assert flow.streaming.kind == "live"
    async with aclosing(flow.stream("a b")) as chunks:
        assert [chunk async for chunk in chunks] == ["a", "b"]
    assert logged == [["a", "b"], ["a", "b"]]


async def test_an_error_beside_a_run_without_an_answer_fails_the_run() -> None:
    """There is nothing that it could come too late for."""
    flow = Flow()
    split = flow.to(same, name="split")
    split.to(Filter(lambda body: False), name="never").to(same, name="answer").respond()
    split.to(fail, name="log")
    with pytest.raises(ValueError, match="broken"):
        await flow.run(1)
