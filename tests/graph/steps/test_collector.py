"""Collector: what storey lets it expect, and what there is instead."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from graph import Collector, Flow, InvalidStep, Merge


async def words(body: str) -> AsyncGenerator[str, None]:
    for word in body.split():
        yield word


async def letters(body: str) -> AsyncGenerator[str, None]:
    for letter in body.replace(" ", ""):
        yield letter


async def test_case_24_one_completion_is_what_it_waits_for() -> None:
    """The number may be said; the end of the one stream makes the body."""
    flow = Flow()
    flow.to(words).to(Collector(expected_completions=1), name="collector").to(len, name="count").respond()
    assert await flow.run("a b c") == 3


@pytest.mark.parametrize("number", [0, 2, -1, None])
def test_any_other_number_is_refused_with_the_remedy(number: int) -> None:
    """A run would wait for it for ever; the sentence says what to write instead."""
    with pytest.raises(InvalidStep, match=r"a stream ends once in a run.* put a Collector on each and a Merge after"):
        Collector(expected_completions=number)


async def test_the_streams_of_parallel_paths_meet_in_a_merge() -> None:
    """What the refusal says to write gathers two streams into one body."""
    flow = Flow()
    flow.to(str.lower, name="start")
    for source in (words, letters):
        flow.add_step(source, after="start").to(Collector(), name=f"all {source.__name__}")
    flow.add_step(Merge, "merge", after=["all words", "all letters"], into="list").respond()
    assert await flow.run("AB C") == [["ab", "c"], ["a", "b", "c"]]
