"""Record and replay: what came from outside comes again, and the first difference is found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from datetime import date
from typing import Any

import pytest

from graph import Batch, Complete, Event, Flow, Merge, RemoteRefused, ReplayDiffers, RunError, Tool, ToolsStep, Unbatch
from graph.agents import trip_planner
from graph.parts import Parts
from graph.recording.packing import pack, unpack, unpack_error
from graph.recording.tape import Recording, Replay, digest
from llm import ChatChunk, ChatRequest, Model, ToolCallDelta, UpstreamRateLimited, Usage
from llm.packing import pack_error
from llm.testing import ScriptedProvider, call, fail, say


class Outside:
    """A step that nobody can know the result of."""

    outside = True

    def __init__(self, results: list[Any]) -> None:
        self.results = results

    async def do(self, body: Any) -> Any:
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return {"asked": body, "result": result}

    async def stream(self, body: Any) -> AsyncGenerator[Any, None]:
        for result in self.results:
            yield result


async def recorded(flow: Flow, body: Any) -> tuple[Any, Recording]:
    tape, event = Recording(), Event(body)
    event.tape = tape
    return await flow.start(event).result(), tape


async def replayed(flow: Flow, body: Any, tape: Recording) -> Any:
    again, event = Replay(tape.entries, tape.steps), Event(body)
    event.tape = again
    answer = await flow.start(event).result()
    again.ended()
    return answer


def one(step: Any, **options: Any) -> Flow:
    flow = Flow()
    flow.to(step, name="step", **options).respond()
    return flow


async def test_a_step_from_outside_is_not_run_again() -> None:
    """Its recorded result stands for it."""
    answer, tape = await recorded(one(Outside([7])), "x")
    assert await replayed(one(Outside([])), "x", tape) == answer == {"asked": "x", "result": 7}


async def test_a_stream_from_outside_comes_chunk_by_chunk_again() -> None:
    """The same chunks, none of them made anew."""
    answer, tape = await recorded(one(Outside([1, 2, 3]), handler="stream"), "x")
    assert await replayed(one(Outside([]), handler="stream"), "x", tape) == answer == [1, 2, 3]


async def test_an_error_from_outside_is_the_same_error_again() -> None:
    """Its class, its words and what it carries."""
    tape, event = Recording(), Event("x")
    event.tape = tape
    with pytest.raises(UpstreamRateLimited):
        await one(Outside([UpstreamRateLimited("slow down", retry_after=3)])).start(event).result()
    with pytest.raises(UpstreamRateLimited, match="slow down") as raised:
        await replayed(one(Outside([])), "x", tape)
    assert raised.value.retry_after == 3


async def test_the_clock_and_random_draws_are_the_same_again() -> None:
    """Steps that use the event's clock and its random numbers do the same in a replay."""

    def draw(event: Event) -> list[Any]:
        return [event.now().isoformat(), event.random().random(), event.random().random()]

    answer, tape = await recorded(one(draw, full_event=True), None)
    other, _ = await recorded(one(draw, full_event=True), None)
    assert await replayed(one(draw, full_event=True), None, tape) == answer != other


async def test_parallel_branches_have_their_own_places_on_the_tape() -> None:
    """Whichever is faster the second time, each gets its own result."""

    def fan(first: Callable[[Any], Any], second: Callable[[Any], Any]) -> Flow:
        flow = Flow()
        split = flow.to(lambda body: body, name="split")
        split.to(first, name="one").to(Outside([1]), name="ask1")
        split.to(second, name="two").to(Outside([2]), name="ask2")
        flow.add_step(Merge(), "merge", after=["ask1", "ask2"]).respond()
        return flow

    async def slow(body: Any) -> Any:
        for _ in range(5):
            await asyncio.sleep(0)
        return body

    async def fast(body: Any) -> Any:
        return body

    answer, tape = await recorded(fan(slow, fast), "x")
    assert await replayed(fan(fast, slow), "x", tape) == answer


def plan(provider: ScriptedProvider) -> Flow:
    return trip_planner.build(Parts(Model("m", provider, "m")))


def trip() -> ChatRequest:
    return ChatRequest.of_text("trip-planner", "Plan a trip to Lisbon on 14 May")


async def recorded_trip() -> tuple[Any, Recording]:
    script = (
        say("travel"),
        call("get_weather", {"location": "Lisbon", "date": "tomorrow"}),
        say("done"),
        say('{"score": 5, "reason": "fine"}'),
        say("Go!"),
    )
    with ScriptedProvider.of(*script) as provider:
        return await recorded(plan(provider), trip())


async def test_a_whole_agent_runs_again_without_its_model() -> None:
    """Router, tool, judge and responder, chunk by chunk the same; no model is asked, no tool is called."""
    answer, tape = await recorded_trip()
    assert await replayed(plan(ScriptedProvider.of()), trip(), tape) == answer
    assert [key for key in tape.entries if key.startswith("tools")] == ["tools#1"]


async def test_a_changed_request_is_found_where_it_is_first_asked() -> None:
    """The first question that is another one than was recorded is named."""
    _, tape = await recorded_trip()
    request = ChatRequest.of_text("trip-planner", "Plan a trip to Porto on 14 May")
    with pytest.raises(ReplayDiffers, match=r"step 'router' asks the outside something else \(time 1\)"):
        await replayed(plan(ScriptedProvider.of()), request, tape)


def chain(*steps: Any) -> Flow:
    flow = Flow()
    step = flow.to(steps[0], name="s0")
    for index, more in enumerate(steps[1:], 1):
        step = step.to(more, name=f"s{index}")
    step.respond()
    return flow


def add(number: int) -> Any:
    return lambda body: body + number


@pytest.mark.parametrize(
    ("now", "message"),
    [
        ((add(1), add(9), add(3)), "visit 1 of step 's1' makes something else than when it was recorded"),
        ((add(1), add(2), add(3), add(0)), "visit 1 of step 's3' is not in the recording"),
        ((add(1), add(2)), "visit 1 of step 's2' is in the recording, and does not happen now"),
    ],
)
async def test_a_changed_graph_is_found_at_its_first_changed_step(now: Any, message: str) -> None:
    """Other results, more steps, fewer steps: the first difference is said."""
    _, tape = await recorded(chain(add(1), add(2), add(3)), 0)
    with pytest.raises(ReplayDiffers, match=message):
        await replayed(chain(*now), 0, tape)


async def test_a_question_that_was_never_asked() -> None:
    """A step that now asks the outside more often has no answer on the tape."""
    _, tape = await recorded(one(Outside([1])), "x")
    tape.entries.clear()
    with pytest.raises(ReplayDiffers, match="step 'step' asks the outside 1 times, which the recorded run did not"):
        await replayed(one(Outside([])), "x", tape)


async def test_an_upstream_that_broke_off_breaks_off_again() -> None:
    """What was said before the error comes again, and then the error."""
    with ScriptedProvider.of(say("other"), fail(UpstreamRateLimited("busy"), after="Hel lo")) as provider:
        event = Event(trip())
        event.tape = tape = Recording()
        with pytest.raises(UpstreamRateLimited):
            await plan(provider).start(event).result()
    got: list[Any] = []
    again = Event(trip())
    again.tape = Replay(tape.entries, tape.steps)
    with pytest.raises(UpstreamRateLimited, match="busy"):
        async for chunk in plan(ScriptedProvider.of()).start(again).chunks():
            got.append(chunk.content)
    assert got == ["Hel ", "lo"]


CHUNK = ChatChunk("a", (ToolCallDelta(0, "{}", "c", "f"),), "stop", Usage(1, 2, 3, {"x": {"y": 4}}), {"reasoning": "r"})


@pytest.mark.parametrize(
    "value",
    [
        CHUNK,
        ChatChunk(),
        {"a": [1, None, True, "x", {"b": 0.5}]},
        [CHUNK, "x"],
        "text",
        0,
        b"\xff",
        {"$chunk": {"$bytes": 1}},
    ],
)
def test_what_goes_onto_a_tape_comes_back_the_same(value: Any) -> None:
    """Chunks of a chat and JSON values survive packing."""
    assert unpack(pack(value)) == value


def test_what_has_no_place_on_a_tape_is_said() -> None:
    """Only JSON and chunks come from outside."""
    with pytest.raises(TypeError, match="a set cannot be recorded"):
        pack({"a": {1, 2}})


class Strange(Exception):
    """An error that no recording can bring back."""


def test_errors_come_back_in_their_class_where_that_is_known() -> None:
    """Ours and Python's own, with what they carry, so that retries and recoveries go the same way again. A stranger's
    class is not looked for."""
    refused = RemoteRefused("no", upstream_status=503, retry_after=2.0)
    again = unpack_error(pack_error(refused))
    assert type(again) is RemoteRefused
    assert (again.upstream_status, again.retry_after, again.hopeless, str(again)) == (503, 2.0, False, "no")
    assert unpack_error(pack_error(RemoteRefused("no", upstream_status=404))).hopeless  # type: ignore[attr-defined]
    for error in (KeyError("x"), ValueError("bad"), TimeoutError("late")):
        assert repr(unpack_error(pack_error(error))) == repr(error)
    stranger = unpack_error(pack_error(Strange("odd")))
    assert (type(stranger), str(stranger)) == (RunError, "Strange: odd")


def test_digests_depend_on_contents_only() -> None:
    """Equal values have equal digests, objects by their members, whatever their addresses are."""
    first, second = (ChatRequest.of_text("m", "x") for _ in range(2))
    assert digest(first) == digest(second) != digest(ChatRequest.of_text("m", "y"))
    assert digest({"a": 1, "b": {1, 2}}) == digest({"b": {2, 1}, "a": 1})
    assert digest(object()) == digest(object())


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (date(2026, 1, 2), '{"result": "2026-01-02"}'),
        (object(), '{"error": "the tool returned something that is not JSON"}'),
    ],
)
async def test_a_tool_may_return_what_is_no_json(returned: object, told: str) -> None:
    """A recorded run tells the model the same of it as one that is not recorded."""

    def today() -> object:
        """The day."""
        return returned

    def body() -> ChatRequest:
        wanted = {"id": "1", "type": "function", "function": {"name": "today", "arguments": "{}"}}
        request = ChatRequest.of_text("m", "when?")
        request.messages.append({"role": "assistant", "tool_calls": [wanted]})
        return request

    flow = one(ToolsStep([Tool.of(today)]))
    plain = await flow.run(body())
    answer, tape = await recorded(flow, body())
    again = await replayed(flow, body(), tape)
    assert answer.messages[-1]["content"] == told
    assert plain.messages == answer.messages == again.messages


class Judge(Outside):
    """Accepts all that it is given."""

    def select_outlets(self, body: Any) -> str:
        return Complete


def watched(results: list[Any]) -> Flow:
    flow = Flow(allow_cyclic=True)
    writer = flow.to(letters, name="writer").respond(judge_every=2)
    writer.to(Judge(results), name="judge").cycle_to("writer")
    return flow


def breaking(results: list[Any]) -> Flow:
    flow = Flow().error_handler(Outside(results), name="handler")
    flow.to(broken, name="broken").respond()
    return flow


def expanding(results: list[Any]) -> Flow:
    class Pieces:
        outside = expands = True

        def do(self, chunk: str) -> Generator[Any, None, None]:
            yield from (chunk, results.pop(0))

    flow = Flow()
    flow.to(letters, name="letters").to(Pieces(), name="pieces").respond()
    return flow


async def letters(_: Any) -> AsyncGenerator[str, None]:
    for letter in "abcd":
        yield letter


async def broken(_: Any) -> AsyncGenerator[str, None]:
    yield "a"
    raise ValueError("broken")


@pytest.mark.parametrize("build", [watched, breaking, expanding])
async def test_what_a_stream_asks_the_outside_comes_from_the_tape_too(build: Callable[[list[Any]], Flow]) -> None:
    """In a replay the judge of what grows, the handler of what broke and the maker of more chunks were asked anew."""
    results = [1, 2, 3, 4]
    tape, event = Recording(), Event("x")
    event.tape = tape
    first = await asyncio.gather(build(results).start(event).result(), return_exceptions=True)
    assert len(results) < 4
    second = await asyncio.gather(replayed(build([]), "x", tape), return_exceptions=True)
    assert repr(second) == repr(first)


async def test_flows_side_by_side_have_their_own_places_on_the_tape() -> None:
    """Whose steps have the same names: which is first, in the run or in its replay, does not matter."""
    slow = asyncio.Event()

    class Ask:
        outside = True

        async def do(self, body: str) -> str:
            await (slow.wait() if body == "one" else asyncio.sleep(0))
            slow.set()
            return f"{body}!"

    def built() -> Flow:
        flow = Flow()
        flow.to(lambda body: body, name="split")
        for name in ("one", "two"):
            inner = Flow("inner")
            inner.to(Ask(), name="ask").respond()
            flow.add_step(lambda _, name=name: name, f"to {name}", after="split").to(inner, name=name)
        flow.add_step(Merge("list"), "merge", after=["one", "two"]).respond()
        return flow

    answer, tape = await recorded(built(), "x")
    assert await replayed(built(), "x", tape) == answer == ["one!", "two!"]


async def test_a_replay_ends_at_a_batch_and_asks_nothing() -> None:
    """The steps between, which have no tape as they work for several runs, were run anew."""
    asked: list[Any] = []

    async def model(bodies: list[Any]) -> list[Any]:
        asked.append(bodies)
        return bodies

    flow = Flow()
    flow.to(Batch(1), name="batch").to(model).to(Unbatch(), name="unbatch").respond()
    answer, tape = await recorded(flow, "x")
    with pytest.raises(ReplayDiffers, match="step 'batch' gathered events of several runs"):
        await replayed(flow, "x", tape)
    assert (answer, asked) == ("x", [["x"]])


@pytest.mark.parametrize("how", ["in the event", "in an event", "as a value"])
async def test_a_step_from_outside_may_work_on_the_event(how: str) -> None:
    """What it leaves there is on the tape, and comes again."""

    def built(results: list[int]) -> Flow:
        class Weather:
            outside = full_event = True

            async def do(self, event: Event) -> Any:
                made = {"city": event.body, "temp": results.pop()}
                if how == "as a value":
                    return made
                event.body = made
                return event if how == "in an event" else None

        return one(Weather())

    answer, tape = await recorded(built([18]), "Lisbon")
    assert await replayed(built([]), "Lisbon", tape) == answer == {"city": "Lisbon", "temp": 18}
