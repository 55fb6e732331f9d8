"""ForEach."""

from __future__ import annotations

from typing import Any

import pytest

from graph import Event, Flow, InvalidStep
from graph.steps.flat_map import Flatten
from graph.steps.for_each import ForEach


@pytest.mark.parametrize("later", [False, True])
async def test_the_function_is_called_and_the_body_passes(later: bool) -> None:
    """Whatever it returns, and awaited when it is async."""
    seen: list[Any] = []

    def note(body: Any) -> str:
        seen.append(body)
        return "nobody cares"

    async def note_later(body: Any) -> None:
        note(body)

    flow = Flow()
    flow.to(ForEach(note_later if later else note), name="note").respond()
    assert await flow.run([1]) == [1]
    assert seen == [[1]]


async def test_every_chunk_of_a_stream_is_one() -> None:
    """It sees each as it goes by."""
    seen: list[int] = []
    flow = Flow()
    flow.to(Flatten(), name="numbers").to(ForEach(seen.append), name="note").respond()
    assert await flow.run([1, 2, 3]) == [1, 2, 3] == seen


async def test_with_the_event() -> None:
    """The function may change the event; what passes is the event."""

    def count(event: Event) -> None:
        event.state["seen"] = event.body

    flow = Flow()
    flow.to(ForEach(count), name="count", full_event=True).to(
        lambda event: (event.body, event.state), name="end", full_event=True
    ).respond()
    assert await flow.run(5) == (5, {"seen": 5})


def test_only_a_function_will_do() -> None:
    """What cannot be called, and what nobody would run, is refused when it is given."""

    async def generator(body: Any) -> Any:
        yield body

    for fn in (None, "body", generator):
        with pytest.raises(InvalidStep, match="ForEach"):
            ForEach(fn)  # type: ignore[arg-type]
