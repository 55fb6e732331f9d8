"""Streaming: cases 22 to 27 and 29 to 32 of the behaviour of serving graphs, and drafts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing
from typing import Any

import pytest

from graph import (
    Choice,
    Collector,
    Event,
    Filter,
    Flow,
    InvalidOutlet,
    Merge,
    RunTimeout,
    StreamNotCollected,
    StreamOnStream,
)
from graph.flow import Flow as FlowType
from llm import Usage


async def words(body: str) -> AsyncGenerator[str, None]:
    """Streams the words of the body."""
    for word in body.split():
        yield word


def shout(chunk: str) -> str:
    return chunk.upper()


async def read(flow: FlowType, body: Any) -> list[Any]:
    async with aclosing(flow.stream(body)) as chunks:
        return [chunk async for chunk in chunks]


async def test_case_22_an_async_generator_streams() -> None:
    """Each value is a chunk, sent at once and in order."""
    flow = Flow()
    flow.to(words).respond()
    assert await read(flow, "one two three") == ["one", "two", "three"]
    assert flow.streaming.kind == "live"


async def test_case_22_chunks_leave_before_the_next_is_made() -> None:
    """The client has a chunk while the step is still working on the next."""
    go_on = asyncio.Event()

    async def halting(body: Any) -> AsyncGenerator[str, None]:
        yield "first"
        await go_on.wait()
        yield "second"

    flow = Flow()
    flow.to(halting).respond()
    async with aclosing(flow.stream()) as chunks:
        assert await anext(chunks) == "first"
        go_on.set()
        assert await anext(chunks) == "second"


async def test_case_22_a_sync_generator_streams() -> None:
    """A plain generator is a streaming step too."""

    class Streamer:
        def __init__(self, num_chunks: int = 3) -> None:
            self.num_chunks = num_chunks

        def do(self, body: str) -> Generator[str, None, None]:
            for index in range(self.num_chunks):
                yield f"chunk {index}: {body}"

    flow = Flow()
    flow.to(Streamer, name="streamer", num_chunks=2).respond()
    assert await read(flow, "x") == ["chunk 0: x", "chunk 1: x"]


async def test_case_22_a_stream_of_nothing_is_an_empty_answer() -> None:
    """A generator without values ends the answer at once."""
    flow = Flow()
    flow.to(words).respond()
    assert await read(flow, "") == []
    assert await flow.run("") == []


async def test_case_23_a_plain_step_after_it_runs_once_a_chunk() -> None:
    """Plain steps, async ones too, work on every chunk."""

    async def mark(chunk: str) -> str:
        return f"<{chunk}>"

    flow = Flow()
    flow.to(words).to(shout).to(mark).respond()
    assert await read(flow, "a b") == ["<A>", "<B>"]


async def test_case_23_a_filter_drops_chunks() -> None:
    """What the predicate refuses does not reach the client."""
    flow = Flow()
    flow.to(words).to(Filter(lambda word: word != "b"), name="filter").respond()
    assert await read(flow, "a b c") == ["a", "c"]


async def test_case_23_the_options_of_a_step_hold_for_each_chunk() -> None:
    """Paths lead into each chunk; a step that works on the event has a chunk for its body, and may return nothing."""

    def numbers(body: Any) -> Generator[dict[str, Any], None, None]:
        yield from ({"in": {"n": index}} for index in range(2))

    def mark(event: Event) -> None:
        event.body["marked"] = True

    flow = Flow()
    step = flow.to(numbers).to(lambda n: n + 10, name="add", input_path="in.n", result_path="out.n")
    step.to(mark, full_event=True).respond()
    assert await read(flow, None) == [
        {"in": {"n": 0}, "out": {"n": 10}, "marked": True},
        {"in": {"n": 1}, "out": {"n": 11}, "marked": True},
    ]


async def test_case_23_a_chunk_may_come_back_as_an_event() -> None:
    """Its body is the chunk."""
    flow = Flow()
    flow.to(words).to(lambda chunk: Event(chunk.upper()), name="wrap").to(
        lambda chunk: chunk + "!", name="end"
    ).respond()
    assert await read(flow, "a b") == ["A!", "B!"]


async def test_what_a_stream_spends_is_booked_on_its_own_step() -> None:
    """Also after steps behind it have had a chunk."""

    async def spending(event: Event) -> AsyncGenerator[int, None]:
        for index in range(2):
            event.account("model", Usage.of(1, 1))
            yield index

    flow = Flow()
    flow.to(spending, full_event=True).to(lambda chunk: chunk, name="behind").respond()
    run = flow.start(Event())
    await run.result()
    assert [booked.step for booked in run.event.meter.calls] == ["spending", "spending"]


async def test_the_deadline_of_a_run_is_one_for_all_chunks() -> None:
    """A stream that never pauses for long still ends in time."""

    async def endless(body: Any) -> AsyncGenerator[int, None]:
        while True:
            await asyncio.sleep(0)
            yield 1

    flow = Flow(max_seconds=0.05)
    flow.to(endless).respond()
    with pytest.raises(RunTimeout, match=r"longer than 0\.05 s; it was in step 'endless'"):
        await flow.run()


async def test_case_10_visits_are_counted_once_an_event() -> None:
    """A step that sees two hundred chunks has been entered once."""
    flow = Flow(max_iterations=1)
    flow.to(words).to(shout).respond()
    assert len(await read(flow, "w " * 200)) == 200


@pytest.mark.parametrize(("body", "gathered"), [("a b", ["a", "b"]), ("a", "a"), ("", [])])
async def test_case_24_a_collector_makes_one_event(body: str, gathered: Any) -> None:
    """Several chunks become a list, one chunk its value, none an empty list."""
    flow = Flow()
    flow.to(words).to(Collector(), name="collector").to(lambda body: {"got": body}, name="wrap").respond()
    assert await flow.run(body) == {"got": gathered}
    assert flow.streaming.kind == "collected"


async def test_case_24_an_event_that_was_not_streamed_passes_unchanged() -> None:
    """A Collector without a stream before it does nothing."""
    flow = Flow()
    flow.to(shout).to(Collector(), name="collector").respond()
    assert await flow.run("a") == "A"


async def test_case_24_two_requests_never_mix() -> None:
    """Collectors of runs at the same time keep their chunks apart."""
    meet = asyncio.Barrier(2)

    async def interleaved(body: str) -> AsyncGenerator[str, None]:
        for index in range(3):
            await meet.wait()
            yield f"{body}{index}"

    flow = Flow()
    flow.to(interleaved).to(Collector(), name="collector").respond()
    answers = list(await asyncio.gather(read(flow, "a"), read(flow, "b")))
    assert answers == [[["a0", "a1", "a2"]], [["b0", "b1", "b2"]]]


async def test_case_24_a_collector_that_responds_answers_with_one_body() -> None:
    """Nothing of the stream before it reaches the client by itself."""
    flow = Flow()
    flow.to(words).to(Collector(), name="collector").respond()
    assert flow.streaming.kind == "collected"
    assert await read(flow, "a b") == [["a", "b"]]
    assert await read(flow, "a") == ["a"]
    assert await read(flow, "") == [[]]


def test_case_25_stream_on_stream_is_refused_at_build() -> None:
    """Two streaming steps in a row are an error with the known wording, before any run."""
    flow = Flow()
    flow.to(words, name="a").to(words, name="b").respond()
    with pytest.raises(
        StreamNotCollected,
        match=r"Streaming on top of streaming is not allowed\. Step 'b' received a streaming event from 'a'\.",
    ):
        flow.validate()


def test_case_25_plain_steps_between_do_not_help() -> None:
    """The stream is followed through plain steps."""
    flow = Flow()
    flow.to(words, name="a").to(shout).to(words, name="b").respond()
    with pytest.raises(StreamNotCollected, match="'b' received a streaming event from 'a'"):
        flow.validate()


async def test_case_25_with_a_collector_between_it_works() -> None:
    """Collected first, a stream may be followed by another."""
    flow = Flow()
    flow.to(words, name="a").to(Collector(), name="collector").to(" ".join, name="join").to(words, name="b").respond()
    assert await read(flow, "x y") == ["x", "y"]


async def test_case_25_a_stream_that_only_shows_at_run_time_is_the_same_error() -> None:
    """A plain def that returns a generator is found when it runs."""

    def hidden(body: str) -> Any:
        return words(body)

    flow = Flow()
    flow.to(hidden).to(words, name="b").respond()
    with pytest.raises(StreamOnStream, match="Step 'b' received a streaming event from 'hidden'"):
        await read(flow, "x")


async def test_a_plain_def_that_returns_a_generator_streams() -> None:
    """Whether a step streams may be decided by what it returns."""
    flow = Flow()
    flow.to(lambda body: words(body) if body else "nothing", name="sometimes").respond()
    assert await read(flow, "a b") == ["a", "b"]
    assert await read(flow, "") == ["nothing"]


def looped(*, collected: bool) -> Flow:
    """A streaming step whose second pass comes from a Choice behind it."""

    class Again(Choice):
        def select_outlets(self, body: Any) -> str:
            return "stream" if len(body) < 3 else "end"

    flow = Flow(allow_cyclic=True)
    step = flow.to(lambda body: [*body, "x"], name="grow").to(words_of_list, name="stream")
    if collected:
        step = step.to(Collector(), name="collector").to(lambda body: [*body, "x"], name="more")
    step.to(Again(), name="again").cycle_to("stream").to(lambda body: body, name="end").respond()
    return flow


async def words_of_list(body: list[str]) -> AsyncGenerator[str, None]:
    for word in [*body, "y"]:
        yield word


def test_case_26_a_stream_into_a_cycle_is_refused() -> None:
    """A streaming step inside a cycle needs a Collector in the loop, and the error says where."""
    with pytest.raises(StreamNotCollected, match="Put a Collector between"):
        looped(collected=False).validate()


async def test_case_26_with_a_collector_in_the_loop_it_works() -> None:
    """Collected, the second pass is a new stream."""
    assert await looped(collected=True).run([]) == ["x", "y", "x"]


def test_case_26_a_streaming_step_that_comes_back_to_itself() -> None:
    """Without any Choice the same loop is refused as stream on stream."""
    flow = Flow(allow_cyclic=True)
    flow.to(words, name="a").to(shout).cycle_to("a")
    with pytest.raises(StreamNotCollected, match="'a' received a streaming event from 'a'"):
        flow.validate()


async def breaking(body: Any) -> AsyncGenerator[str, None]:
    yield "chunk 0"
    if body == "bad":
        raise ValueError("broken")
    yield "chunk 1"


async def test_case_27_a_generator_that_raises_after_its_first_chunk() -> None:
    """The client has chunk 0, then the error; the next request works."""
    flow = Flow()
    flow.to(breaking).respond()
    got: list[str] = []

    async def consume() -> None:
        async with aclosing(flow.stream("bad")) as chunks:
            async for chunk in chunks:
                got.append(chunk)

    with pytest.raises(ValueError, match="broken"):
        await consume()
    assert got == ["chunk 0"]
    assert await read(flow, "good") == ["chunk 0", "chunk 1"]


async def test_case_27_through_a_collector_it_is_an_error_too() -> None:
    """A stream that breaks before it is collected is an error, not an answer."""
    flow = Flow()
    flow.to(breaking).to(Collector(), name="collector").respond()
    got: list[Any] = []
    with pytest.raises(ValueError, match="broken"):
        async with aclosing(flow.stream("bad")) as chunks:
            async for chunk in chunks:
                got.append(chunk)
    assert got == []


async def test_case_20_an_error_before_the_first_chunk_goes_to_the_handler() -> None:
    """As long as nothing has left, a streaming step fails like any other."""

    async def early(body: Any) -> AsyncGenerator[str, None]:
        if body:
            raise ValueError("too early")
        yield "never"

    flow = Flow().error_handler(lambda event: f"handled in {event.origin_state}", name="handler", full_event=True)
    flow.to(early).respond()
    assert await read(flow, "x") == ["handled in early"]


async def test_case_20_after_the_first_chunk_the_handler_is_told() -> None:
    """The client gets what was said and then the error; the handler sees both, and what it returns does not matter."""
    told: list[tuple[str | None, str]] = []

    def handle(event: Event) -> str:
        told.append((event.origin_state, str(event.error)))
        return "too late"

    flow = Flow().error_handler(handle, name="handler", full_event=True)
    flow.to(breaking).respond()
    got: list[str] = []
    with pytest.raises(ValueError, match="broken"):
        async with aclosing(flow.stream("bad")) as chunks:
            async for chunk in chunks:
                got.append(chunk)
    assert (got, told) == (["chunk 0"], [("breaking", "broken")])


class Selected(Choice):
    """Selects the streams that the body names."""

    def select_outlets(self, body: str) -> list[str]:
        return body.split()


async def test_case_29_one_of_two_streams_is_live() -> None:
    """Whichever a Choice selects, its chunks reach the responder as they are made."""
    go_on = asyncio.Event()

    async def halting(body: str) -> AsyncGenerator[str, None]:
        yield "first"
        await go_on.wait()
        yield body

    flow = Flow()
    choice = flow.to(Selected(), name="choice")
    choice.to(words, name="a")
    choice.to(halting, name="b")
    flow.add_step(shout, "out", after=["a", "b"]).respond()
    assert flow.streaming.kind == "live"
    assert await read(flow, "a") == ["A"]
    async with aclosing(flow.stream("b")) as chunks:
        assert await anext(chunks) == "FIRST"
        go_on.set()
        assert [chunk async for chunk in chunks] == ["B"]


async def test_case_29_two_selected_streams_cannot_both_be_the_answer() -> None:
    """Two at once are an error that says where they would meet; collected and merged they are one answer."""
    flow = Flow()
    choice = flow.to(Selected(), name="choice")
    choice.to(words, name="a")
    choice.to(words, name="b")
    flow.add_step(shout, "out", after=["a", "b"]).respond()
    with pytest.raises(InvalidOutlet, match="the paths from 'choice' meet in 'out'; put a Merge before it"):
        await flow.run("a b")
    merged = Flow()
    choice = merged.to(Selected(), name="choice")
    choice.to(words, name="a").to(Collector(), name="all of a")
    choice.to(words, name="b").to(Collector(), name="all of b")
    merged.add_step(Merge("list"), "merge", after=["all of a", "all of b"]).respond()
    assert await merged.run("a b") == [["a", "b"], ["a", "b"]]
    assert await merged.run("b") == ["b"]


async def test_case_30_a_client_that_leaves_closes_every_generator() -> None:
    """Closing the answer runs the ``finally`` of every step below it, innermost first."""
    closed: list[str] = []

    async def outer(body: Any) -> AsyncGenerator[int, None]:
        async def inner() -> AsyncGenerator[int, None]:
            try:
                for index in range(20):
                    yield index
            finally:
                closed.append("inner")

        try:
            async with aclosing(inner()) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            closed.append("outer")

    flow = Flow()
    flow.to(outer).to(lambda chunk: chunk, name="plain").respond()
    async with aclosing(flow.stream()) as chunks:
        assert [await anext(chunks) for _ in range(3)] == [0, 1, 2]
        assert closed == []
    assert closed == ["inner", "outer"]


async def test_case_30_a_client_that_leaves_before_the_first_chunk() -> None:
    """A run that is cancelled while a step waits ends that step at once."""
    waiting, ended = asyncio.Event(), asyncio.Event()

    async def stuck(body: Any) -> AsyncGenerator[str, None]:
        try:
            waiting.set()
            await asyncio.Event().wait()
            yield "never"
        finally:
            ended.set()

    flow = Flow()
    flow.to(stuck).respond()
    task = asyncio.create_task(flow.run())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_case_30_a_client_that_leaves_closes_a_plain_generator_too() -> None:
    """A sync one is closed at once, not when the garbage is collected."""
    closed: list[str] = []

    def plain(body: Any) -> Generator[int, None, None]:
        try:
            yield from range(20)
        finally:
            closed.append("plain")

    flow = Flow()
    flow.to(plain).respond()
    async with aclosing(flow.stream()) as chunks:
        await anext(chunks)
    assert closed == ["plain"]


async def test_a_plain_generator_lets_others_work_between_its_chunks() -> None:
    """The loop goes round once a chunk, although nothing in the step waits."""
    rounds: list[int] = []

    async def others() -> None:
        while True:
            rounds.append(1)
            await asyncio.sleep(0)

    flow = Flow()
    flow.to(lambda body: (index for index in range(50)), name="numbers").to(Collector(), name="all").respond()
    beside = asyncio.create_task(others())
    await flow.run()
    beside.cancel()
    assert len(rounds) >= 49


async def test_case_31_a_slow_reader_stops_the_producer() -> None:
    """No chunk is made before somebody asks for it."""
    made = 0

    async def counting(body: Any) -> AsyncGenerator[int, None]:
        nonlocal made
        for index in range(1000):
            made += 1
            yield index

    flow = Flow()
    flow.to(counting).to(lambda chunk: chunk, name="plain").respond()
    async with aclosing(flow.stream()) as chunks:
        for asked in range(1, 4):
            await anext(chunks)
            assert made == asked


async def test_case_32_requests_at_the_same_time_do_not_wait_for_each_other() -> None:
    """Ten runs that all must be inside the step before any may leave it do not lock each other out."""
    together = asyncio.Barrier(10)

    async def slow(body: int) -> int:
        await together.wait()
        return body

    flow = Flow()
    flow.to(slow).respond()
    assert await asyncio.gather(*(flow.run(index) for index in range(10))) == list(range(10))


async def test_case_32_streams_at_the_same_time_have_their_first_chunk_together() -> None:
    """Ten streams are all under way before any of them ends."""
    together = asyncio.Barrier(10)

    async def slow(body: int) -> AsyncGenerator[int, None]:
        yield body
        await together.wait()
        yield body

    flow = Flow()
    flow.to(slow).respond()
    assert await asyncio.gather(*(flow.run(index) for index in range(10))) == [[index, index] for index in range(10)]


async def test_followers_of_a_responder_outside_a_cycle_run_after_the_answer() -> None:
    """A responder may have followers: the answer is its output, and they get the whole of it."""
    logged: list[Any] = []
    flow = Flow()
    flow.to(words).respond().to(logged.append, name="log")
    assert await read(flow, "a b") == ["a", "b"]
    assert logged == [["a", "b"]]
