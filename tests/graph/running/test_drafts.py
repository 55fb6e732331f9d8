"""Drafts: what a responder says before anybody accepted it, judged whole or while it grows."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from graph import Choice, Collector, Complete, Event, Filter, Flow, InvalidStep, MaxStepsExceeded
from graph.flow import Flow as FlowType


async def read(flow: FlowType, body: Any) -> list[Any]:
    async with aclosing(flow.stream(body)) as chunks:
        return [chunk async for chunk in chunks]


class Writer:
    """Writes a draft of two chunks; which one it is, stands in the body."""

    full_event = True

    async def do(self, event: Event) -> AsyncGenerator[str, None]:
        event.body["drafts"] += 1
        yield f"draft {event.body['drafts']}"
        yield "!"

    def gather(self, body: dict[str, Any], chunks: list[str]) -> dict[str, Any]:
        return {**body, "text": "".join(chunks)}

    def as_reasoning(self, chunk: str) -> str:
        return f"({chunk})"


class Judge:
    """Accepts the draft with the number that it was made with, and scores all by a table."""

    full_event = True

    def __init__(self, accepted: int, scores: dict[int, float] | None = None) -> None:
        self.accepted = accepted
        self.scores = scores or {}

    def do(self, event: Event) -> None:
        event.score = self.scores.get(event.body["drafts"])

    def select_outlets(self, event: Event) -> str:
        return Complete if event.body["drafts"] == self.accepted else "writer"


def reviewed(judge: Judge, **responding: Any) -> Flow:
    flow = Flow("reviewed", allow_cyclic=True, max_iterations=3)
    flow.to(Writer(), name="writer").respond(**responding).to(judge, name="judge").cycle_to("writer")
    return flow


async def test_hidden_drafts_are_never_sent() -> None:
    """By default the client gets the accepted draft and nothing of those before it."""
    flow = reviewed(Judge(accepted=2))
    assert flow.streaming.kind == "accepted"
    assert await read(flow, {"drafts": 0}) == ["draft 2", "!"]


async def test_live_drafts_come_as_they_are_made() -> None:
    """Whoever asks for it gets every draft, one after the other."""
    flow = reviewed(Judge(accepted=2), drafts="live")
    assert flow.streaming.kind == "live"
    assert await read(flow, {"drafts": 0}) == ["draft 1", "!", "draft 2", "!"]


async def test_drafts_as_reasoning_come_as_they_are_made_and_the_accepted_one_again() -> None:
    """Drafts are shown in the responder's own words for them, the accepted one as the answer."""
    flow = reviewed(Judge(accepted=2), drafts="reasoning")
    assert await read(flow, {"drafts": 0}) == ["(draft 1)", "(!)", "(draft 2)", "(!)", "draft 2", "!"]


async def test_at_the_limit_the_best_draft_is_the_answer() -> None:
    """When no draft is accepted, on_limit='best' answers with the one that scored highest, and says why."""
    flow = reviewed(Judge(accepted=9, scores={1: 0.2, 2: 0.7, 3: 0.4}), on_limit="best")
    run = flow.start(Event({"drafts": 0}))
    assert await run.result() == ["draft 2", "!"]
    assert "Max iterations exceeded in step 'writer'" in str(run.limit)


async def test_at_the_limit_without_scores_the_latest_draft_is_the_answer() -> None:
    """Of drafts that nobody scored the last one stands."""
    assert await reviewed(Judge(accepted=9), on_limit="best").run({"drafts": 0}) == ["draft 3", "!"]


async def test_at_the_limit_an_error_is_the_default() -> None:
    """Without on_limit='best' the cap is an error, and no draft leaks."""
    flow = reviewed(Judge(accepted=9))
    got = []
    with pytest.raises(RuntimeError, match="'writer'"):
        async with aclosing(flow.stream({"drafts": 0})) as chunks:
            async for chunk in chunks:
                got.append(chunk)
    assert got == []


async def test_a_draft_that_nobody_scored_does_not_inherit_the_score_of_the_one_before() -> None:
    """A score belongs to the draft that was judged."""

    class Once(Judge):
        def do(self, event: Event) -> None:
            if event.body["drafts"] == 1:
                event.score = 0.9

    assert await reviewed(Once(accepted=9), on_limit="best").run({"drafts": 0}) == ["draft 1", "!"]


async def test_at_the_limit_the_best_draft_goes_before_a_handler() -> None:
    """Whoever asked for the best draft gets it, also in a flow that handles errors."""
    flow = reviewed(Judge(accepted=9), on_limit="best")
    flow.error_handler(lambda body: "handled", name="handler")
    assert await flow.run({"drafts": 0}) == ["draft 3", "!"]


async def test_a_draft_that_the_judge_failed_on_is_not_sent() -> None:
    """Nobody has accepted it. What the handler says is the answer."""

    class Broken(Judge):
        def do(self, event: Event) -> None:
            raise ValueError("no verdict")

    flow = reviewed(Broken(accepted=1))
    flow.error_handler(lambda body: "sorry", name="sorry")
    assert await read(flow, {"drafts": 0}) == ["sorry"]


async def test_a_draft_whose_event_is_dropped_is_not_sent() -> None:
    """A Filter between the responder and its judge ends the run without an answer."""
    flow = Flow(allow_cyclic=True)
    step = flow.to(Writer(), name="writer").respond().to(Filter(lambda body: False), name="never")
    step.to(Judge(accepted=1), name="judge").cycle_to("writer")
    assert await read(flow, {"drafts": 0}) == []


async def test_after_the_answer_a_cap_does_not_answer_again() -> None:
    """The accepted draft has left; the cap that strikes behind it is an error, not the best of the others."""

    class Finished(Judge):
        def select_outlets(self, event: Event) -> str:
            return "after" if event.body["drafts"] == self.accepted else "writer"

    flow = Flow(allow_cyclic=True, max_steps=4)
    judge = flow.to(Writer(), name="writer").respond(on_limit="best").to(Finished(accepted=2), name="judge")
    judge.cycle_to("writer").to(lambda body: body, name="after")
    got = []
    with pytest.raises(MaxStepsExceeded):
        async with aclosing(flow.stream({"drafts": 0})) as chunks:
            async for chunk in chunks:
                got.append(chunk)
    assert got == ["draft 2", "!"]


async def test_a_way_back_by_recover_makes_drafts_too() -> None:
    """The client sees none of what a later step sent back by failing."""

    def check(body: dict[str, Any]) -> dict[str, Any]:
        if body["drafts"] < 3:
            raise ValueError("too short")
        return body

    flow = Flow()
    flow.to(Writer(), name="writer").respond().to(check, name="check").recover({ValueError: "writer"})
    assert flow.streaming.kind == "accepted"
    assert await read(flow, {"drafts": 0}) == ["draft 3", "!"]


async def test_a_handler_of_the_whole_flow_does_not_lead_to_a_second_answer() -> None:
    """The answer streams live; an error behind it cannot begin it anew, although the handler leads back."""
    called: list[Any] = []

    def handle(body: Any) -> Any:
        called.append(body)
        return body

    def log(body: Any) -> None:
        raise ValueError("log is full")

    flow = Flow()
    flow.error_handler(handle, before="writer")
    flow.to(Writer(), name="writer").respond().to(log, name="log")
    assert flow.streaming.kind == "live"
    got = []
    with pytest.raises(ValueError, match="log is full"):
        async with aclosing(flow.stream({"drafts": 0})) as chunks:
            async for chunk in chunks:
                got.append(chunk)
    assert (got, called) == (["draft 1", "!"], [])


class Counter:
    """A responder that does not stream."""

    def do(self, body: int) -> int:
        return body + 1

    def as_reasoning(self, body: int) -> str:
        return f"({body})"


class UpTo3(Choice):
    """Accepts the number three."""

    def select_outlets(self, body: int) -> str:
        return Complete if body == 3 else "count"


@pytest.mark.parametrize(
    ("drafts", "seen"), [("hide", [3]), ("live", [1, 2, 3]), ("reasoning", ["(1)", "(2)", "(3)", 3])]
)
async def test_drafts_of_a_responder_that_does_not_stream(drafts: Any, seen: list[Any]) -> None:
    """Each is one chunk, shown in the same three ways."""
    flow = Flow(allow_cyclic=True)
    flow.to(Counter(), name="count").respond(drafts=drafts).to(UpTo3(), name="judge").cycle_to("count")
    assert await read(flow, 0) == seen


# --- drafts that are judged while they grow


class Scribe:
    """Writes the draft that the number in the body says, letter by letter."""

    full_event = True

    def __init__(self) -> None:
        self.made: list[str] = []
        self.closed = 0

    async def do(self, event: Event) -> AsyncGenerator[str, None]:
        event.body = {**event.body, "n": event.body["n"] + 1}
        try:
            for letter in "BAD! never wanted" if event.body["n"] == 1 else "fine words":
                self.made.append(letter)
                yield letter
        finally:
            self.closed += 1

    def gather(self, body: dict[str, Any], chunks: list[str]) -> dict[str, Any]:
        return {**body, "text": "".join(chunks)}


class Reader:
    """Refuses what begins badly."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def do(self, body: dict[str, Any]) -> dict[str, Any]:
        self.read.append(body["text"])
        return {**body, "refused": [*body.get("refused", []), body["text"]] if "BAD" in body["text"] else []}

    def select_outlets(self, body: dict[str, Any]) -> str:
        return "writer" if body["refused"] else "Complete"


@pytest.mark.parametrize("drafts", ["hide", "reasoning"])
async def test_a_refusal_stops_a_growing_draft_at_once(drafts: str) -> None:
    """The judge sees the draft so far; when it refuses, the writer is closed and begins again with the refusal."""

    class Shown(Scribe):
        def as_reasoning(self, chunk: str) -> None: ...

    writer, reader = Shown(), Reader()
    flow = Flow(allow_cyclic=True)
    step = flow.to(writer, name="writer").respond(drafts=drafts, judge_every=4)  # type: ignore[arg-type]
    step.to(reader, name="judge").cycle_to("writer")
    run = flow.start(Event({"n": 0}))
    assert "".join(await run.result()) == "fine words"
    assert "".join(writer.made) == "BAD!fine words"
    assert reader.read == ["BAD!", "fine", "fine wor", "fine words"]
    assert writer.closed == 2
    assert (run.visits("writer"), run.visits("judge")) == (2, 2)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda flow: flow.to(Scribe()).respond(judge_every=0), "from 1 on"),
        (lambda flow: flow.to(Scribe()).respond(judge_every=9), "needs one follower that selects"),
    ],
)
def test_judging_a_growing_draft_needs_a_judge(build: Any, message: str) -> None:
    """Without a step that can send the draft back there is nothing to judge by."""
    flow = Flow()
    build(flow)
    with pytest.raises(InvalidStep, match=message):
        flow.validate()


def test_the_best_draft_is_no_answer_where_all_were_shown() -> None:
    """It was an error after them all the same."""
    with pytest.raises(InvalidStep, match="drafts='live' has shown every draft"):
        reviewed(Judge(accepted=9), drafts="live", on_limit="best").validate()


def test_what_gathers_cannot_show_its_drafts() -> None:
    """With drafts='live' only the accepted one was shown."""
    flow = Flow(allow_cyclic=True)
    gathering = flow.to(Writer(), name="writer").to(Collector(), name="collector").respond(drafts="live")
    gathering.to(Judge(accepted=2), name="judge").cycle_to("writer")
    with pytest.raises(InvalidStep, match="step 'collector' cannot show its drafts"):
        flow.validate()
