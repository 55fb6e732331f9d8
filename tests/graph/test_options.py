"""Options of any step: retries, timeouts, slots, caches, and where it runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import aclosing
from typing import Any

import pytest
import stamina

from graph import Cache, Event, Flow, InvalidStep, StepTimeout
from llm import InvalidRequest, UpstreamRateLimited


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    """Retries do not wait, except where a test says so."""
    with stamina.set_testing(True, attempts=10, cap=True):
        yield


class Flaky:
    """Fails so often, then works; as a value, or as a stream."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.failures = failures
        self.error = error or ValueError("not yet")
        self.calls = 0

    def _try(self) -> None:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error

    def do(self, body: Any) -> Any:
        self._try()
        return body

    async def later(self, body: Any) -> Any:
        self._try()
        return body

    async def stream(self, body: Any) -> AsyncGenerator[Any, None]:
        self._try()
        yield body
        if body == "breaks":
            raise ValueError("after the first chunk")
        yield body


def one(step: Any, **options: Any) -> Flow:
    flow = Flow()
    flow.to(step, name="step", **options).respond()
    return flow


@pytest.mark.parametrize("handler", ["do", "later"])
async def test_a_step_is_tried_again(handler: str) -> None:
    """So many times more as retries says, sync or async."""
    flaky = Flaky(2)
    assert await one(flaky, handler=handler, retries=2).run(7) == 7
    assert flaky.calls == 3


async def test_when_all_tries_failed_the_error_is_the_last_one() -> None:
    """It comes out as it is, and a handler may take it."""
    flaky = Flaky(9)
    with pytest.raises(ValueError, match="not yet"):
        await one(flaky, retries=2).run(7)
    assert flaky.calls == 3


async def test_a_stream_is_tried_again_until_its_first_chunk() -> None:
    """After that an error is an error: nothing is said twice."""
    flaky = Flaky(1)
    assert await one(flaky, handler="stream", retries=1).run("x") == ["x", "x"]
    broken = Flaky(0)
    got = []
    with pytest.raises(ValueError, match="after the first chunk"):
        async with aclosing(one(broken, handler="stream", retries=3).stream("breaks")) as chunks:
            async for chunk in chunks:
                got.append(chunk)
    assert (got, broken.calls) == (["breaks"], 1)


@pytest.mark.parametrize("streams", [False, True])
async def test_who_is_cancelled_does_not_try_again(streams: bool) -> None:
    """A run whose client leaves is over, also in a step that would be tried again if it failed."""
    tried, entered = [], asyncio.Event()

    async def waits(body: str) -> str:
        tried.append(body)
        entered.set()
        await asyncio.Event().wait()
        return body

    async def says(body: str) -> AsyncGenerator[str, None]:
        yield await waits(body)

    flow = Flow()
    flow.to(says if streams else waits, name="waits", retries=3, backoff=0.001).respond()
    run = asyncio.create_task(flow.run("a"))
    await entered.wait()
    run.cancel()
    async with asyncio.timeout(10):
        await asyncio.wait([run])
    assert run.cancelled()
    assert tried == ["a"]


async def test_errors_that_would_only_come_again_are_not_retried() -> None:
    """A wrong request stays wrong; and a wait that is too long is not waited for."""
    for error in (InvalidRequest("wrong"), UpstreamRateLimited("later", retry_after=3600)):
        flaky = Flaky(1, error)
        with pytest.raises(type(error)):
            await one(flaky, retries=3).run(7)
        assert flaky.calls == 1


async def test_retry_after_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that says when to come back is asked again then, not before."""
    waits: list[float] = []
    flaky = Flaky(1, UpstreamRateLimited("later", retry_after=0.05))
    stamina.instrumentation.set_on_retry_hooks([lambda details: waits.append(details.wait_for)])
    try:
        with stamina.set_testing(False):
            assert await one(flaky, retries=1).run(7) == 7
    finally:
        stamina.instrumentation.set_on_retry_hooks(None)
    assert waits == [0.05]


async def test_a_step_that_takes_too_long_is_stopped() -> None:
    """The error names it, and what it was doing is closed."""
    closed = asyncio.Event()

    async def stuck(body: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            closed.set()

    with pytest.raises(StepTimeout, match=r"step 'step' took longer than 0\.01 s"):
        await one(stuck, timeout=0.01).run()
    assert closed.is_set()


async def test_the_timeout_of_a_stream_is_for_each_chunk() -> None:
    """A stream may last as long as it goes on."""
    go_on = asyncio.Event()

    async def halting(body: Any) -> AsyncGenerator[int, None]:
        yield 1
        yield 2
        await go_on.wait()
        yield 3

    got = []
    with pytest.raises(StepTimeout):
        async with aclosing(one(halting, timeout=0.02).stream()) as chunks:
            async for chunk in chunks:
                got.append(chunk)
    assert got == [1, 2]


async def test_a_timeout_is_for_one_try() -> None:
    """With retries each try has its own time."""
    calls = 0

    async def slow_once(body: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.Event().wait()
        return body

    assert await one(slow_once, timeout=0.02, retries=1).run(5) == 5


def test_a_timeout_that_could_not_hold_is_refused_at_build() -> None:
    """A plain def cannot be stopped on the loop; in a thread its waiter can."""
    with pytest.raises(InvalidStep, match=r"a plain def cannot be stopped.*'thread_pool'"):
        one(lambda body: body, timeout=1).validate()
    one(lambda body: body, timeout=1, execution_mechanism="thread_pool").validate()


async def test_no_more_than_so_many_runs_are_in_a_step() -> None:
    """The others wait their turn; a stream keeps its slot until it is closed."""
    inside = most = 0

    async def busy(body: Any) -> AsyncGenerator[int, None]:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        try:
            yield 1
            await asyncio.sleep(0)
            yield 2
        finally:
            inside -= 1

    flow = one(busy, max_in_flight=2)
    answers = await asyncio.gather(*(flow.run() for _ in range(7)))
    assert (most, answers) == (2, [[1, 2]] * 7)
    async with aclosing(flow.stream()) as left:
        await anext(left)
    assert await flow.run() == [1, 2]


async def test_a_cache_uses_again_what_was_made_for_the_same_key() -> None:
    """Hits are copies; other keys are made; failures are not kept."""
    calls: list[Any] = []

    def make(body: dict[str, Any]) -> dict[str, Any]:
        calls.append(body["id"])
        if body["id"] == "bad":
            raise ValueError("bad")
        return {"made": [body["id"]]}

    flow = one(make, cache=Cache(key=lambda body: body["id"]))
    first = await flow.run({"id": "a"})
    first["made"].append("changed by its owner")
    assert await flow.run({"id": "a"}) == {"made": ["a"]}
    assert await flow.run({"id": "b"}) == {"made": ["b"]}
    for _ in range(2):
        with pytest.raises(ValueError, match="bad"):
            await flow.run({"id": "bad"})
    assert calls == ["a", "b", "bad", "bad"]


@pytest.mark.parametrize("returns", [True, False])
async def test_a_cache_keeps_the_body_that_a_step_leaves_in_its_event(returns: bool) -> None:
    """Whether it gives the event back or nothing; a hit left the body as it was."""
    calls: list[str] = []

    def shout(event: Event) -> Event | None:
        calls.append(event.id)
        event.body = [*event.body, "!"]
        return event if returns else None

    flow = one(shout, full_event=True, cache=Cache(key=lambda event: event.body[0]))
    first = await flow.run(["a"])
    first.append("changed by its owner")
    assert await flow.run(["a"]) == ["a", "!"]
    assert len(calls) == 1


async def test_a_cached_stream_is_streamed_again() -> None:
    """Only a stream that was read to its end is kept."""
    calls = 0

    async def words(body: str) -> AsyncGenerator[str, None]:
        nonlocal calls
        calls += 1
        for word in body.split():
            yield word

    flow = one(words, cache=Cache(key=str))
    async with aclosing(flow.stream("a b")) as left:
        await anext(left)
    assert [await flow.run("a b") for _ in range(3)] == [["a", "b"]] * 3
    assert calls == 2


async def test_a_cache_is_bounded_in_size_and_time() -> None:
    """The least recently used entry goes first, and every entry after its time."""
    calls: list[int] = []
    flow = one(calls.append, cache=Cache(key=int, size=2))
    for body in (1, 2, 3, 3, 1):
        await flow.run(body)
    assert calls == [1, 2, 3, 1]
    brief: list[int] = []
    flow = one(brief.append, cache=Cache(key=int, seconds=0))
    for _ in range(2):
        await flow.run(1)
    assert brief == [1, 1]


def in_thread(body: Any) -> bool:
    return threading.current_thread() is not threading.main_thread()


def stream_in_thread(body: Any) -> Generator[bool, None, None]:
    for _ in range(2):
        yield in_thread(body)


async def test_a_plain_def_may_run_in_a_thread() -> None:
    """Values and streams; on the loop without it."""
    assert await one(in_thread).run() is False
    assert await one(in_thread, execution_mechanism="naive").run() is False
    assert await one(in_thread, execution_mechanism="thread_pool").run() is True
    assert await one(stream_in_thread, execution_mechanism="thread_pool").run() == [True, True]


async def test_a_stop_iteration_in_a_thread_is_an_error() -> None:
    """Whoever forgets that next() may find nothing is told, and nobody waits for ever."""
    flow = one(lambda body: next(iter(body)), execution_mechanism="thread_pool")
    with pytest.raises(RuntimeError, match="StopIteration"):
        await asyncio.wait_for(flow.run([]), 5)
    assert await flow.run([1]) == 1


async def test_leaving_a_stream_closes_its_generator_in_its_thread() -> None:
    """The ``finally`` of a generator runs where the rest of it did."""
    closed_in: list[bool] = []

    def stream(body: Any) -> Generator[int, None, None]:
        try:
            yield from range(100)
        finally:
            closed_in.append(in_thread(body))

    async with aclosing(one(stream, execution_mechanism="thread_pool").stream()) as chunks:
        await anext(chunks)
    assert closed_in == [True]


@pytest.mark.parametrize("leaves", [True, False])
async def test_a_stream_that_is_left_inside_its_thread_is_closed_there(leaves: bool) -> None:
    """Who leaves while a chunk is made, or a timeout, is told as such: it was "generator already executing"."""
    making, made, closed = threading.Event(), threading.Event(), threading.Event()

    def stream(_: Any) -> Generator[int, None, None]:
        try:
            yield 1
            making.set()
            made.wait()
            yield 2
        finally:
            closed.set()

    flow = one(stream, execution_mechanism="thread_pool", timeout=None if leaves else 0.2)
    running = asyncio.create_task(flow.run())
    await asyncio.to_thread(making.wait, 5)
    if leaves:
        running.cancel()
    with pytest.raises(asyncio.CancelledError if leaves else StepTimeout):
        await running
    assert not closed.is_set()
    made.set()
    assert await asyncio.to_thread(closed.wait, 5)


@pytest.mark.parametrize(
    ("step", "mechanism", "message"),
    [
        (lambda body: body, "asyncio", "asyncio needs an async def"),
        (lambda body: body, "magic", "'magic' is not known"),
    ],
)
def test_a_mechanism_that_does_not_fit_is_refused_at_build(step: Any, mechanism: str, message: str) -> None:
    """The error says what would fit."""
    with pytest.raises(InvalidStep, match=message):
        one(step, execution_mechanism=mechanism).validate()


async def test_async_steps_cannot_run_in_threads() -> None:
    """They belong to the loop."""

    async def later(body: Any) -> Any:
        return body

    assert await one(later, execution_mechanism="asyncio").run(3) == 3
    with pytest.raises(InvalidStep, match="thread_pool needs a plain def"):
        one(later, execution_mechanism="thread_pool").validate()


async def test_recover_sends_the_event_elsewhere_by_the_kind_of_error() -> None:
    """The most exact class counts, and goes before an error handler."""

    def fail(body: type[Exception]) -> Any:
        raise body("broken")

    flow = Flow().error_handler(lambda body: "handler", name="handler")
    step = flow.to(fail, name="fail").recover({LookupError: "look", KeyError: "key"})
    step.to(lambda body: "never", name="end").respond()
    flow.add_step(lambda event: f"look, {event.origin_state}", "look", after=(), full_event=True)
    flow.add_step(lambda event: event.having("key"), "key", after=(), before="end", full_event=True)
    assert await flow.run(IndexError) == "look, fail"
    assert await flow.run(KeyError) == "never"
    assert await flow.run(ValueError) == "handler"


# --- caps on tokens and money, and flows in flows


def spending(tokens: int, usd: float = 0.0) -> Any:
    from llm import Usage  # noqa: PLC0415

    def spend(event: Event) -> None:
        event.account("m", Usage.of(tokens, 0), usd)

    return spend


@pytest.mark.parametrize(
    ("caps", "message"),
    [
        ({"max_tokens": 25}, "used 30 tokens, 25 are allowed; it was in step 'again'"),
        ({"max_usd": 0.025}, r"cost \$0\.030000, \$0\.025 are allowed; it was in step 'again'"),
    ],
)
async def test_case_11_a_run_may_be_capped_in_tokens_and_money(caps: dict[str, Any], message: str) -> None:
    """The error says which cap it was, how much was used, and where; what was used is booked."""

    class Again:
        full_event = True

        def do(self, event: Event) -> None: ...

        def select_outlets(self, event: Event) -> str:
            return "spend"

    flow = Flow(allow_cyclic=True, **caps)
    flow.to(spending(10, 0.01), name="spend", full_event=True).to(Again(), name="again").cycle_to("spend")
    run = flow.start(Event())
    with pytest.raises(RuntimeError, match=message):
        await run.result()
    assert run.usage.total_tokens == 30


async def test_a_flow_is_a_step_of_another() -> None:
    """Its answer is the body that follows; visits and caps are its own."""
    inner = Flow("inner", max_iterations=1)
    inner.to(lambda body: body * 2, name="double").respond()
    outer = Flow("outer", allow_cyclic=True)

    class Again:
        def do(self, body: int) -> int:
            return body

        def select_outlets(self, body: int) -> str:
            return "inner" if body < 50 else "end"

    outer.to(inner).to(Again(), name="again").cycle_to("inner").to(lambda body: body + 1, name="end").respond()
    assert await outer.run(3) == 97


async def test_what_streams_in_an_inner_flow_streams_in_the_outer() -> None:
    """Chunk by chunk, and leaving closes both."""
    closed: list[bool] = []

    async def words(body: str) -> AsyncGenerator[str, None]:
        try:
            for word in body.split():
                yield word
        finally:
            closed.append(True)

    inner = Flow("inner")
    inner.to(words).to(str.upper, name="upper").respond()
    outer = Flow("outer")
    outer.to(inner).to(lambda word: f"<{word}>", name="mark").respond()
    assert outer.streaming.kind == "live"
    assert await outer.run("a b") == ["<A>", "<B>"]
    async with aclosing(outer.stream("a b")) as chunks:
        await anext(chunks)
    assert closed == [True, True]


async def test_what_an_inner_flow_spends_counts_outside_too() -> None:
    """The outer run knows each call under the names of both steps, and its cap holds inside."""
    inner = Flow("inner")
    inner.to(spending(10), name="spend", full_event=True).to(lambda body: body, name="say").respond()
    outer = Flow("outer", max_tokens=15)
    outer.to(inner, name="first").to(inner, name="second").respond()
    run = outer.start(Event())
    with pytest.raises(RuntimeError, match="used 20 tokens, 15 are allowed"):
        await run.result()
    assert [call.step for call in run.event.meter.calls] == ["first/spend", "second/spend"]


async def test_an_error_of_an_inner_flow_is_the_outer_steps() -> None:
    """The outer step's handler may take it; the notes say both places."""

    def fail(body: Any) -> Any:
        raise ValueError("inside")

    inner = Flow("inner")
    inner.to(fail).respond()
    outer = Flow("outer")
    outer.to(inner).respond()
    with pytest.raises(ValueError, match="inside") as raised:
        await outer.run()
    assert raised.value.__notes__ == ["in step 'fail' of flow 'inner'", "in step 'inner' of flow 'outer'"]
    handled = Flow("handled")
    handled.to(inner).error_handler(lambda body: "handled", name="handler").respond()
    assert await handled.run() == "handled"
