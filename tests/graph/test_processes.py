"""Steps in processes: values, streams that are pulled, errors, and every way to leave them."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import aclosing, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest
import stamina
import uvicorn
import uvloop

from graph import (
    Cache,
    Choice,
    Collector,
    Event,
    Filter,
    Flow,
    InvalidStep,
    Merge,
    RunError,
    RunTimeout,
    StepTimeout,
    TokensExceeded,
    ToolsStep,
    WorkerLost,
)
from llm import Usage

MECHANISMS = ("dedicated_process", "process_pool")
Build = Callable[..., Flow]


@pytest.fixture
def build() -> Iterator[Build]:
    """Makes flows of one step, by default in a dedicated process; when they are closed, no process may be left."""
    flows: list[Flow] = []

    def built(
        step: Any = None, mechanism: str = "dedicated_process", /, *, flow: Flow | None = None, **said: Any
    ) -> Flow:
        flows.append(flow or Flow(max_processes=2))
        if step is not None:
            flows[-1].to(step, name="step", execution_mechanism=mechanism, **said).respond()
        return flows[-1]

    yield built
    for flow in flows:
        flow.close()
    assert multiprocessing.active_children() == []


# --- what a test and its workers say to each other


def say(path: str, word: str) -> None:
    """From a worker: tells the test something, and goes on when the test lets it."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(path)
        line.sendall(f"{word}\n".encode())
        line.recv(1)


@dataclass
class Heard:
    """What a worker has said. It waits until it may go on, or is ended."""

    word: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def go_on(self) -> str:
        self.writer.close()
        return self.word

    async def hung_up(self) -> bool:
        """Waits until the worker is no more."""
        try:
            return await self.reader.read() == b""
        except ConnectionResetError:
            return True


@dataclass
class Ear:
    """Where a test listens to its workers."""

    path: str
    words: asyncio.Queue[Heard] = field(default_factory=asyncio.Queue)
    lines: list[asyncio.StreamWriter] = field(default_factory=list)

    async def next(self) -> Heard:
        return await self.words.get()

    async def lets_go_on(self) -> str:
        return (await self.next()).go_on()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.lines.append(writer)
            self.words.put_nowait(Heard((await reader.readline()).decode().strip(), reader, writer))

        async with await asyncio.start_unix_server(listen, self.path):
            yield self
        for line in self.lines:
            line.close()
            with suppress(ConnectionError):
                await line.wait_closed()


@pytest.fixture
async def ear(tmp_path: Path) -> AsyncIterator[Ear]:
    """A socket that workers talk to."""
    async with Ear(str(tmp_path / "ear")).open() as ear:
        yield ear


# --- steps


def add(body: int, to: int = 1) -> int:
    return body + to


async def add_later(body: int) -> int:
    await asyncio.sleep(0)
    return body + 1


def count(body: int) -> Generator[int, None, None]:
    yield from range(body)


async def count_later(body: int) -> AsyncGenerator[int, None]:
    for number in range(body):
        await asyncio.sleep(0)
        yield number


def where(body: Any) -> int:
    return os.getpid()


def tell(body: str) -> str:
    """Says that it has begun, waits, and returns."""
    say(body, "begun")
    return "told"


def stuck(body: str) -> None:
    """Says that it has begun, and never ends."""
    say(body, "begun")
    threading.Event().wait()


def leave(body: Any) -> Any:
    """Ends its process, unless the body says otherwise."""
    if body == "stay":
        return os.getpid()
    os._exit(3)


def leave_once(body: str) -> int:
    """Ends its process in the first call, which it remembers in a file."""
    if not Path(body).exists():
        Path(body).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def fail(body: Any) -> None:
    raise LookupError("nothing here", body)


class Closed(Exception):
    """It cannot be made again from what pickle keeps of it."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} and {two}")


def fail_closed(body: Any) -> None:
    raise Closed("this", "that")


def not_sendable(body: Any) -> Any:
    return lambda: body


def half_sendable(body: str) -> Generator[Any, None, None]:
    try:
        yield 1
        yield lambda: body
    finally:
        Path(body).touch()


def hidden_stream(body: int) -> Any:
    return count(body)


class Logged:
    """Writes into a file what happens to it, and where: when it is made, for each chunk, and when it is closed."""

    def __init__(self, path: Path, name: str, context: str = "") -> None:
        self.path = path
        self.said = f"{name} {context}".strip()
        self.calls = 0
        self._log(f"made {self.said} {os.getpid()}")

    def _log(self, line: str) -> None:
        with self.path.open("a") as file:
            file.write(f"{line}\n")

    def do(self, body: Any) -> tuple[int, int]:
        self.calls += 1
        return self.calls, os.getpid()

    def stream(self, body: int) -> Generator[tuple[int, int], None, None]:
        try:
            for number in range(body):
                self._log(f"chunk {number}")
                yield number, os.getpid()
        finally:
            self._log(f"closed {os.getpid()}")

    async def later(self, body: int) -> AsyncGenerator[tuple[int, int], None]:
        try:
            for number in range(body):
                self._log(f"chunk {number}")
                yield number, os.getpid()
        finally:
            await asyncio.sleep(0)
            self._log(f"closed {os.getpid()}")


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


# --- values and streams


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_step_runs_in_a_process(build: Build, mechanism: str) -> None:
    """A function, with arguments of its own, an async one, a method of the standard library."""
    assert await build(where, mechanism).run() != os.getpid()
    assert await build(add, mechanism, to=5).run(1) == 6
    assert await build(add_later, mechanism).run(1) == 2
    assert await build(str.upper, mechanism).run("loud") == "LOUD"


@pytest.mark.parametrize("step", [count, count_later])
async def test_every_mechanism_gives_the_same_chunks(build: Build, step: Any) -> None:
    """Case 29: on the loop, in a thread, in a process; the flow knows that they stream live."""
    on_loop = build(step, "naive")
    mechanisms = MECHANISMS if step is count_later else (*MECHANISMS, "thread_pool")
    for flow in (on_loop, *(build(step, mechanism) for mechanism in mechanisms)):
        assert flow.streaming.kind == "live"
        for body in (4, 1, 0):
            assert await flow.run(body) == await on_loop.run(body)


@pytest.mark.parametrize("handler", ["stream", "later"])
async def test_a_worker_makes_no_chunk_before_it_is_asked(build: Build, tmp_path: Path, handler: str) -> None:
    """Case 31: however slow the reader, what was made is what was read; and leaving closes the generator there."""
    log = tmp_path / "log"
    flow = build(Logged, handler=handler, path=log)
    async with aclosing(flow.stream(100)) as chunks:
        pid = (await anext(chunks))[1]
        for number in range(1, 4):
            assert lines(log)[1:] == [f"chunk {made}" for made in range(number)]
            assert await anext(chunks) == (number, pid)
    assert lines(log)[1:] == [*(f"chunk {made}" for made in range(4)), f"closed {pid}"]
    assert (await flow.run(2))[0] == (0, pid), "a worker whose stream was closed is used again"


async def test_a_step_is_made_once_in_the_process_and_never_here(build: Build, tmp_path: Path) -> None:
    """At the first call, not before; the constructor is given name and context if it asks for them."""
    log = tmp_path / "log"
    flow = build(flow=Flow(context="somewhere"))
    flow.to(Logged, name="logged", path=log, execution_mechanism="dedicated_process").respond()
    flow.validate()
    assert lines(log) == []
    assert multiprocessing.active_children() == []
    calls = [await flow.run() for _ in range(3)]
    pid = calls[0][1]
    assert calls == [(1, pid), (2, pid), (3, pid)]
    assert lines(log) == [f"made logged somewhere {pid}"] != [f"made logged somewhere {os.getpid()}"]


class Sum:
    """Made here, by hand, and sent as it is."""

    def __init__(self, total: int) -> None:
        self.total = total

    def __call__(self, body: int) -> int:
        self.total += body
        return self.total


async def test_an_object_is_sent_as_it_was_when_the_flow_was_built(build: Build) -> None:
    """What becomes of it there does not come back."""
    here = Sum(10)
    flow = build(here).validate()
    here.total = 0
    assert [await flow.run(1), await flow.run(1), here.total] == [11, 12, 0]
    assert await build(Sum, total=20).run(1) == 21


async def test_large_bodies_come_through(build: Build) -> None:
    """In both directions, in more pieces than one."""
    body = os.urandom(3_000_000)
    assert await build(bytes.swapcase).run(body) == body.swapcase()


# --- errors


async def test_an_exception_comes_back_as_it_was(build: Build) -> None:
    """With its type and arguments; the traceback of the worker is a note, and a handler may take it."""
    with pytest.raises(LookupError) as raised:
        await build(fail).run("x")
    assert raised.value.args == ("nothing here", "x")
    note = raised.value.__notes__[0]
    assert note.startswith("in the process of step 'step':\nTraceback")
    assert 'raise LookupError("nothing here", body)' in note
    handled = build(fail)
    handled.error_handler(lambda event: type(event.error).__name__, name="handler", full_event=True)
    assert await handled.run() == "LookupError"


async def test_an_exception_that_cannot_be_sent_is_told(build: Build) -> None:
    """Its text comes back in a RunError."""
    with pytest.raises(RunError, match=r"Closed: this and that"):
        await build(fail_closed).run()


async def test_the_constructor_fails_in_the_call(build: Build, tmp_path: Path) -> None:
    """With its own exception, each time."""
    flow = build(Logged, path=tmp_path / "no" / "folder")
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            await flow.run()


async def test_what_cannot_be_sent_is_refused_and_the_worker_goes_on(build: Build, tmp_path: Path) -> None:
    """A body on its way there, a value or a chunk on its way back; the generator is closed."""
    flow = build(not_sendable)
    with pytest.raises(RunError, match=r"the body cannot be sent to the process of step 'step': .*lambda"):
        await flow.run(lambda: 1)
    with pytest.raises(RunError, match=r"what step 'step' made cannot be sent back from its process: .*lambda"):
        await flow.run()
    closed = tmp_path / "closed"
    with pytest.raises(RunError, match="cannot be sent back"):
        await build(half_sendable).run(str(closed))
    assert closed.exists()
    with pytest.raises(RunError, match="returned a stream; write it with yield"):
        await build(hidden_stream).run(3)


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_worker_that_dies_loses_the_call_that_was_in_it(build: Build, mechanism: str) -> None:
    """The error says how it ended; the next call has a new one."""
    flow = build(leave, mechanism)
    first = await flow.run("stay")
    with pytest.raises(WorkerLost, match=r"the process of step 'step' ended with exit code 3 before its work did"):
        await flow.run("leave")
    second = await flow.run("stay")
    assert first != second


async def test_a_worker_that_died_between_calls_loses_none(build: Build) -> None:
    """It is replaced before the next one."""
    flow = build(where)
    pid = await flow.run()
    (process,) = multiprocessing.active_children()
    os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(process.join)
    assert await flow.run() != pid


async def test_a_lost_call_is_tried_again(build: Build, tmp_path: Path) -> None:
    """With ``retries=`` around it, in a new process."""
    with stamina.set_testing(True, attempts=2, cap=True):
        assert await build(leave_once, retries=1).run(str(tmp_path / "once")) > 0
    with pytest.raises(WorkerLost, match="was ended by SIGKILL"):
        await build(leave_once).run(str(tmp_path / "never"))


async def test_a_worker_that_cannot_start_is_told_with_the_remedy(build: Build) -> None:
    """A constructor that ends the process is the call's loss too."""
    with pytest.raises(WorkerLost, match=r"ended with exit code 3 before it was ready; .*if __name__ == '__main__':"):
        await build(Exits).run()


class Exits:
    def __init__(self) -> None:
        os._exit(3)

    def do(self, body: Any) -> None: ...


# --- leaving


async def left(flow: Flow, body: Any, ear: Ear) -> Heard:
    """Starts a run, waits until its step has begun, and cancels the run."""
    task = asyncio.create_task(flow.run(body))
    heard = await ear.next()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return heard


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_computation_that_does_not_yield_is_ended(build: Build, ear: Ear, mechanism: str) -> None:
    """Its process is gone when the run has left it; the next call has a new one."""
    flow = build(stuck, mechanism)
    heard = await left(flow, ear.path, ear)
    assert multiprocessing.active_children() == []
    assert await heard.hung_up()
    await left(flow, ear.path, ear)


def stuck_stream(body: str) -> Generator[int, None, None]:
    yield os.getpid()
    stuck(body)


async def test_a_generator_that_is_busy_is_ended(build: Build, ear: Ear) -> None:
    """It cannot be closed between chunks, so its process ends."""
    flow = build(stuck_stream)
    async with aclosing(flow.stream(ear.path)) as chunks:
        pid = await anext(chunks)
        pulling = asyncio.create_task(anext(chunks))
        heard = await ear.next()
        pulling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pulling
    assert await heard.hung_up()
    async with aclosing(flow.stream(ear.path)) as chunks:
        assert await anext(chunks) != pid


def hard_to_close(body: str) -> Generator[int, None, None]:
    try:
        yield 1
    finally:
        stuck(body)


async def test_nobody_waits_long_for_a_generator_that_does_not_close(build: Build, ear: Ear) -> None:
    """After a grace its process is ended."""
    async with aclosing(build(hard_to_close).stream(ear.path)) as chunks:
        await anext(chunks)
    assert await (await ear.next()).hung_up()
    assert multiprocessing.active_children() == []


def fails_to_close(body: Any) -> Generator[int, None, None]:
    try:
        yield 1
    finally:
        raise LookupError("while closing")


async def test_an_error_while_closing_is_raised(build: Build) -> None:
    """As it is on the loop."""
    with pytest.raises(LookupError, match="while closing"):
        async with aclosing(build(fails_to_close).stream()) as chunks:
            await anext(chunks)


async def test_timeouts_reach_the_process(build: Build, ear: Ear) -> None:
    """That of the run and that of the step end what does not yield."""
    limits = [(build(stuck, flow=Flow(max_seconds=0.2)), RunTimeout), (build(stuck, timeout=0.2), StepTimeout)]
    for flow, error in limits:
        while ear.words.empty():
            with pytest.raises(error):
                await flow.run(ear.path)
        assert await (await ear.next()).hung_up()


class SlowToMake:
    """Takes until it is let go on to be made."""

    def __init__(self, path: str) -> None:
        say(path, "making")

    def do(self, body: int) -> int:
        return body + 1


async def test_a_step_is_made_even_if_its_first_caller_does_not_wait(build: Build, ear: Ear) -> None:
    """What takes longer to make than its timeout gets ready, and is made once."""
    flow = build(SlowToMake, path=ear.path)
    making = await left(flow, 1, ear)
    second = asyncio.create_task(flow.run(2))
    await asyncio.sleep(0)
    making.go_on()
    assert await second == 3
    assert await flow.run(3) == 4
    assert ear.words.empty()


# --- concurrency


async def test_a_pool_serves_as_many_calls_as_it_has_workers(build: Build, ear: Ear) -> None:
    """Two at the same time; the third waits for one of them."""
    flow = build(tell, "process_pool")
    runs = [asyncio.create_task(flow.run(ear.path)) for _ in range(3)]
    first, second = await ear.next(), await ear.next()
    assert len(multiprocessing.active_children()) == 2
    assert ear.words.empty()
    first.go_on()
    third = await ear.next()
    second.go_on()
    third.go_on()
    assert await asyncio.gather(*runs) == ["told"] * 3
    assert len(multiprocessing.active_children()) == 2


async def test_a_dedicated_process_serves_one_call_after_the_other(build: Build, tmp_path: Path) -> None:
    """In the order in which they came; one that leaves the queue is passed over."""
    flow = build(Logged, path=tmp_path / "log")
    runs = [asyncio.create_task(flow.run()) for _ in range(5)]
    await asyncio.sleep(0)
    runs[2].cancel()
    done = await asyncio.gather(*runs, return_exceptions=True)
    assert [call[0] for call in done if isinstance(call, tuple)] == [1, 2, 3, 4]
    assert isinstance(done[2], asyncio.CancelledError)
    assert len({call[1] for call in done if isinstance(call, tuple)}) == 1


async def test_a_stream_keeps_its_worker_until_it_is_closed(build: Build) -> None:
    """Another run waits."""
    flow = build(count)
    async with aclosing(flow.stream(9)) as chunks:
        assert await anext(chunks) == 0
        other = asyncio.create_task(flow.run(2))
        assert [await anext(chunks) for _ in range(3)] == [1, 2, 3]
        assert not other.done()
    assert await other == [0, 1]


async def test_a_run_never_waits_for_a_worker_that_it_keeps_itself(build: Build) -> None:
    """A stream and a step behind it are in different pools, however small those are; steps with values share one."""
    flow = build(flow=Flow(max_processes=1))
    step = flow.to(add, name="before", execution_mechanism="process_pool")
    step = step.to(count, name="stream", execution_mechanism="process_pool")
    step.to(add, name="after", execution_mechanism="process_pool").respond()
    answers = await asyncio.gather(*(flow.run(body) for body in (1, 2, 3)))
    assert answers == [[1, 2], [1, 2, 3], [1, 2, 3, 4]]
    assert len(multiprocessing.active_children()) == 2


# --- the event


@dataclass
class Notes:
    """A state of one's own."""

    seen: list[str] = field(default_factory=list)
    kept: str = "kept"


class Author:
    """Works on the event, as a value, as a stream, and until it fails."""

    full_event = True

    def do(self, event: Event) -> None:
        event.body = {**event.body, "id": event.id, "from": [event.path, event.method, event.headers, event.caller]}
        event.state.seen.append(event.at)
        event.score = 0.5
        event.account("m", Usage.of(7, 1))

    def other(self, event: Event) -> Event:
        event.state.seen.append("other")
        return event.having("another body")

    def stream(self, event: Event) -> Generator[str, None, None]:
        try:
            for word in event.body.split():
                event.state.seen.append(word)
                yield word
        finally:
            event.account("m", Usage.of(1, 0))

    def fail(self, event: Event) -> None:
        event.account("m", Usage.of(30, 0))
        event.state.seen.append("failed")
        event.meter.check(event.at)


def authored(build: Build, handler: str, **caps: Any) -> Flow:
    return build(Author, flow=Flow(state=Notes, **caps), handler=handler)


async def test_what_a_step_does_to_the_event_there_is_done_here(build: Build) -> None:
    """Body, state, score and usage; the event, its state and what they hold of it stay the same objects."""
    event = Event({"n": 1}, path="/p", method="PUT", headers={"h": "1"}, caller="me")
    run = authored(build, "do").start(event)
    state = event.state
    answer = await run.result()
    assert answer == {"n": 1, "id": event.id, "from": ["/p", "PUT", {"h": "1"}, "me"]}
    assert run.event is event
    assert event.state is state
    assert (state.seen, state.kept, run.usage.total_tokens) == (["step"], "kept", 8)


async def test_a_step_may_return_the_event(build: Build) -> None:
    """It comes back as the body that it has, in the event that is here."""
    run = authored(build, "other").start(Event("body"))
    assert await run.result() == "another body"
    assert run.event.state.seen == ["other"]


async def test_the_changes_of_a_stream_come_with_its_end(build: Build) -> None:
    """Whether it was read or left; what others wrote into the state meanwhile stays there."""
    flow = build(flow=Flow(state=Notes))
    stream = flow.to(Author, name="author", handler="stream", execution_mechanism="process_pool")
    stream.to(keep, name="keep", full_event=True).respond()
    run = flow.start(Event("a b"))
    assert await run.result() == ["a", "b"]
    assert (run.event.state.seen, run.event.state.kept, run.usage.total_tokens) == (["a", "b"], "b", 1)
    run = flow.start(Event("a b"))
    async with aclosing(run.chunks()) as chunks:
        await anext(chunks)
    assert (run.event.state.seen, run.event.state.kept, run.usage.total_tokens) == (["a"], "a", 1)


def keep(event: Event) -> str:
    event.state.kept = event.body
    return str(event.body)


async def test_what_a_step_spent_before_it_failed_is_booked(build: Build) -> None:
    """And the caps of the run hold there."""
    run = authored(build, "fail", max_tokens=20).start(Event())
    with pytest.raises(TokensExceeded, match="used 30 tokens, 20 are allowed; it was in step 'step'"):
        await run.result()
    assert (run.usage.total_tokens, run.event.state.seen) == (30, ["failed"])


def change_dict(event: Event) -> str:
    event.state["new"] = 1
    del event.state["old"]
    event.state["list"].append(2)
    event.own_notes["seen"] = True
    return "done"


async def test_a_state_without_a_class_comes_back_too(build: Build) -> None:
    """Keys that are new, changed, and gone."""
    event = Event()
    event.state = {"old": 0, "same": 0, "list": [1]}
    state = event.state
    assert await build(change_dict, full_event=True).run(event) == "done"
    assert state is event.state
    assert state == {"same": 0, "list": [1, 2], "new": 1}
    assert event.notes == {"step": {"seen": True}}


def error_of(event: Event) -> str:
    return f"{event.error!r} in {event.origin_state}"


async def test_a_handler_may_be_in_a_process(build: Build) -> None:
    """The error goes there."""
    flow = build(fail, "naive")
    flow.error_handler(error_of, name="handler", full_event=True, execution_mechanism="dedicated_process")
    assert await flow.run(1) == "LookupError('nothing here', 1) in step"


def odd(body: int) -> bool:
    return bool(body % 2)


async def test_a_filter_may_be_in_a_process(build: Build) -> None:
    """What it drops is dropped here, chunks too."""
    flow = build(flow=Flow())
    flow.to(count, name="count").to(Filter, name="odd", predicate=odd, execution_mechanism="dedicated_process").to(
        add, name="add"
    ).respond()
    assert await flow.run(6) == [2, 4, 6]


# --- options around it


async def test_the_other_options_wrap_around(build: Build, tmp_path: Path, ear: Ear) -> None:
    """A hit in the cache takes no process, and slots hold."""
    log = tmp_path / "log"
    flow = build(Logged, handler="stream", path=log, cache=Cache(key=int))
    assert await flow.run(2) == await flow.run(2)
    assert sum(line.startswith("chunk") for line in lines(log)) == 2
    flow = build(tell, "process_pool", max_in_flight=1)
    runs = [asyncio.create_task(flow.run(ear.path)) for _ in range(2)]
    first = await ear.next()
    assert ear.words.empty()
    first.go_on()
    await ear.lets_go_on()
    assert await asyncio.gather(*runs) == ["told", "told"]
    assert len(multiprocessing.active_children()) == 2, "one for each flow: the second one has one slot"


# --- what is refused


class Chooses(Choice):
    def select_outlets(self, body: Any) -> str:
        return "Complete"


class Gathers:
    def do(self, body: int) -> Generator[int, None, None]:
        yield body

    def gather(self, body: Any, chunks: list[int]) -> int:
        return sum(chunks)


class WantsContext:
    def __init__(self, context: Any) -> None: ...

    def do(self, body: Any) -> None: ...


def local_function() -> Any:
    def inner(body: Any) -> Any:
        return body

    return inner


def local_class() -> Any:
    class Inner:
        def do(self, body: Any) -> Any:
            return body

    return Inner


def decorated(body: Any) -> Any:
    return body


shadowed, decorated = decorated, local_function()


@pytest.mark.parametrize(
    ("step", "said", "message"),
    [
        (lambda body: body, {}, r"step 'step' cannot be sent .*; write a def at the top of a module instead of the la"),
        (local_function(), {}, r"step 'step' cannot be sent .*; define inner at the top of a module, under its own na"),
        (local_class(), {}, r"step 'step' cannot be sent .*; define Inner at the top of a module"),
        (shadowed, {}, r"step 'step' cannot be sent .*; define decorated at the top of a module, under its own name"),
        (Sum(threading.Lock()), {}, r"step 'step' cannot be .*; give the class Sum and its arguments instead of an"),  # type: ignore[arg-type]
        (Sum, {"total": threading.Lock()}, r"argument 'total' of step 'step' cannot.*; give what it can be made from"),
        (add, {"to": lambda: 1}, r"argument 'to' of step 'step' cannot .*; write a def at the top of a module"),
        (Sum, {"totle": 1}, r"Sum cannot be made: missing a required argument: 'total'"),
        (Sum, {"total": 1, "handler": "gone"}, r"has no method 'gone'"),
        (Notes, {}, r"has no method 'do' or 'do_event'"),
        (WantsContext, {}, r"the flow's context cannot be sent to a process"),
        (Chooses, {}, r"step 'step' has select_outlets, which works on the loop, so it cannot be in a process"),
        (Merge, {}, r"step 'step' has merges, which works on the loop"),
        (Collector, {}, r"step 'step' has collects, which works on the loop"),
        (Gathers, {}, r"step 'step' has gather, which its flow calls on the loop, .* let a plain step after it have"),
        (ToolsStep, {"tools": ()}, r"asks its run what may be done, .* let what it calls compute in one"),
        (Flow().to(add).flow, {}, r"step 'step': a flow cannot be in a process; say it of the steps in it"),
        (Author, {}, r"is given the event, whose state cannot be sent .*; define its class at the top of a module"),
    ],
)
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_what_cannot_be_in_a_process_is_refused_at_build(
    build: Build, step: Any, said: dict[str, Any], message: str, mechanism: str
) -> None:
    """The message says what to write instead."""

    @dataclass
    class Local:
        """A state that no process can import."""

    flow = build(step, mechanism, flow=Flow(context=threading.Lock(), state=Local), **said)
    with pytest.raises(InvalidStep, match=message):
        flow.validate()


def test_a_flow_needs_at_least_one_process() -> None:
    """None would wait for ever."""
    with pytest.raises(InvalidStep, match="max_processes=0"):
        Flow(max_processes=0)


PROMPT = """
from graph import Flow

def step(body): ...

flow = Flow()
flow.to(step, execution_mechanism="process_pool").respond()
flow.validate()
"""


def test_what_was_defined_at_a_prompt_is_refused() -> None:
    """A process could not import it."""
    done = subprocess.run([sys.executable, "-c", PROMPT], capture_output=True, text=True, check=False)
    assert "step 'step': step was defined at a prompt, where a process cannot find it; write it into" in done.stderr


# --- the end


async def test_a_closed_flow_has_no_processes_and_may_be_run_again(build: Build, tmp_path: Path) -> None:
    """Flows inside are closed too; an open stream is closed in its process, and its reader is told."""
    inner = Flow("inner")
    inner.to(Logged, handler="stream", path=tmp_path / "log", execution_mechanism="process_pool").respond()
    flow = build(flow=Flow("outer"))
    flow.to(inner).respond()
    async with aclosing(flow.stream(5)) as chunks:
        await anext(chunks)
        assert len(multiprocessing.active_children()) == 1
        await flow.aclose()
        assert multiprocessing.active_children() == []
        assert lines(tmp_path / "log")[-1].startswith("closed")
        with pytest.raises(WorkerLost, match="was closed while it worked"):
            await anext(chunks)
    assert len(await flow.run(5)) == 5


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_closing_ends_a_process_that_is_being_started(build: Build, mechanism: str) -> None:
    """The call in it fails, and nothing of it is left."""
    flow = build(add, mechanism)
    flow.validate()
    call = asyncio.create_task(flow.run(2))
    for _ in range(5):  # the call begins, and its worker starts in a thread
        await asyncio.sleep(0)
    flow.close()
    with pytest.raises(WorkerLost, match="was closed"):
        await call
    assert multiprocessing.active_children() == []


async def test_closing_ends_calls_and_those_that_wait(build: Build, ear: Ear) -> None:
    """Each of them fails with WorkerLost, and nothing new is started."""
    flow = build(stuck)
    runs = [asyncio.create_task(flow.run(ear.path)) for _ in range(3)]
    heard = await ear.next()
    await flow.aclose()
    assert await heard.hung_up()
    assert [type(error) for error in await asyncio.gather(*runs, return_exceptions=True)] == [WorkerLost] * 3
    assert multiprocessing.active_children() == []


def test_a_forgotten_flow_takes_its_processes_along() -> None:
    """When nobody holds it any more, and nobody has closed it."""
    flow: Flow | None = Flow()
    assert flow is not None
    flow.to(where, name="step", execution_mechanism="dedicated_process").respond()
    asyncio.run(flow.run())
    assert len(multiprocessing.active_children()) == 1
    flow = None
    gc.collect()
    assert multiprocessing.active_children() == []


def test_a_process_outlives_the_loop_that_started_it(build: Build, tmp_path: Path) -> None:
    """One that is busy when the loop ends does not; loops may use it one after the other, and side by side."""
    flow = build(Logged, path=tmp_path / "log")
    assert [asyncio.run(flow.run())[0] for _ in range(2)] == [1, 2]
    server = flow.to_mock_server()
    with closing(server):
        assert server.test()[0] == 3

        async def many() -> list[int]:
            return [(await flow.run())[0] for _ in range(20)]

        threads = [threading.Thread(target=asyncio.run, args=(many(),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.test()[0] == 64


class StuckToMake:
    """Is never made."""

    def __init__(self, path: str) -> None:
        stuck(path)

    def do(self, body: Any) -> None: ...


def test_what_is_busy_when_its_loop_ends_is_ended(build: Build, tmp_path: Path) -> None:
    """Also what is only being made."""

    async def leave_all() -> list[asyncio.Task[Any]]:
        async with Ear(str(tmp_path / "ear")).open() as ear:
            tasks = [asyncio.create_task(flow.run(ear.path)) for flow in flows]
            assert len([await ear.next() for _ in flows]) == 2
        return tasks

    flows = [build(stuck), build(StuckToMake, path=str(tmp_path / "ear"))]
    asyncio.run(leave_all())
    assert multiprocessing.active_children() == []


SCRIPT = """
import asyncio, os, sys
from tests.graph.test_processes import *

async def main():
    flow = Flow()
    flow.to(stuck if "stuck" in sys.argv else where, name="step", execution_mechanism="dedicated_process").respond()
    if "stuck" in sys.argv:
        await flow.run(sys.argv[1])
    async with aclosing(flow.stream()) as chunks:
        print(await anext(chunks))

if __name__ == "__main__":
    asyncio.run(main())
"""


def script(tmp_path: Path) -> list[str]:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return [sys.executable, "-W", "error", str(path), str(tmp_path / "ear")]


def test_nothing_is_left_when_the_interpreter_exits(tmp_path: Path) -> None:
    """A flow that nobody closed ends with the program, in silence."""
    done = subprocess.run(script(tmp_path), capture_output=True, text=True, check=True, env={"PYTHONPATH": os.getcwd()})
    assert done.stderr == ""
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


async def test_a_worker_does_not_outlive_its_killed_parent(tmp_path: Path, ear: Ear) -> None:
    """However busy it is."""
    program = await asyncio.create_subprocess_exec(*script(tmp_path), "stuck", env={"PYTHONPATH": os.getcwd()})
    heard = await ear.next()
    program.kill()
    assert await program.wait() == -signal.SIGKILL
    assert await heard.hung_up()


def test_uvloop_does_it_too(build: Build, tmp_path: Path) -> None:
    """Calls, streams, what is left, and what dies."""

    async def everything() -> None:
        async with Ear(str(tmp_path / "ear")).open() as ear:
            await left(build(stuck), ear.path, ear)
        stream = build(Logged, handler="stream", path=tmp_path / "log")
        async with aclosing(stream.stream(5)) as chunks:
            pid = (await anext(chunks))[1]
        assert await stream.run(2) == [(0, pid), (1, pid)]
        with pytest.raises(WorkerLost, match="exit code 3"):
            await build(leave).run()
        await stream.aclose()

    uvloop.run(everything())


def test_a_server_streams_from_a_process(build: Build) -> None:
    """Under uvicorn, with a flow that its lifespan closes."""
    flow = build(count)
    listener = socket.create_server(("127.0.0.1", 0))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await flow.aclose()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        async with aclosing(flow.stream(3)) as chunks:
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": f"[{chunk}]".encode(), "more_body": True})
        await send({"type": "http.response.body"})
        server.should_exit = True

    server = uvicorn.Server(uvicorn.Config(app, loop="uvloop", lifespan="on", log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    with socket.create_connection(listener.getsockname()) as client, client.makefile("rb") as answer:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        body = answer.read()
    thread.join()
    assert [part for part in body.split(b"\r\n") if part.startswith(b"[")] == [b"[0]", b"[1]", b"[2]"]
    assert multiprocessing.active_children() == []
