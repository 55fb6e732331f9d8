"""ChoiceByField: case 13 of the behaviour of serving graphs."""

from __future__ import annotations

from typing import Any

import pytest

from graph import Complete, Flow, InvalidOutlet, Merge
from graph.steps.choice_by_field import ChoiceByField


def routed(**options: Any) -> Flow:
    """A choice between ``a`` and ``b``, which meet in a Merge."""
    flow = Flow()
    flow.to(ChoiceByField("to"), name="route", **options)
    flow.add_step(lambda body: "A", "a", after="route")
    flow.add_step(lambda body: "B", "b", after="route")
    flow.add_step(Merge, "merge", after=["a", "b"]).respond()
    return flow


@pytest.mark.parametrize(
    ("to", "answer"),
    [("b", {"b": "B"}), (["a"], {"a": "A"}), (["a", "b"], {"a": "A", "b": "B"}), (("b",), {"b": "B"})],
)
@pytest.mark.parametrize("full_event", [False, True])
async def test_case_13_a_field_names_the_followers(to: Any, answer: Any, full_event: bool) -> None:
    """A string names one, a list several, and the body passes unchanged."""
    assert await routed(full_event=full_event).run({"to": to}) == answer


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"x": 1}, "The field 'to', which names the outlets, is missing; the body has x."),
        ({"to": None}, "The field 'to', which names the outlets, is None; it must be a string or a list of strings."),
        ({"to": 3}, "The field 'to', which names the outlets, is a int; it must be a string or a list of strings."),
        ({"to": ["a", 3]}, "is a list with a int in it; it must be a string or a list of strings."),
        ({"to": []}, "The field 'to', which names the outlets, is an empty list; it must name at least one follower."),
        (["to"], "The field 'to', which names the outlets, cannot be looked up: the body is a list, no dict."),
    ],
)
async def test_case_13_what_is_no_name_is_an_error_of_its_own(body: Any, message: str) -> None:
    """Missing, None, another type and empty are told apart."""
    with pytest.raises(InvalidOutlet) as raised:
        await routed().run(body)
    assert message in str(raised.value)


async def test_case_13_unknown_followers_and_duplicates_are_refused() -> None:
    """As with every Choice."""
    with pytest.raises(InvalidOutlet, match=r"Invalid outlet 'c' for 'route'. Allowed outlets are: Complete, a, b."):
        await routed().run({"to": "c"})
    with pytest.raises(InvalidOutlet, match="selected an outlet twice"):
        await routed().run({"to": ["a", "a"]})


@pytest.mark.parametrize("to", [Complete, ["a", Complete]])
async def test_a_body_cannot_leave_the_graph(to: Any) -> None:
    """Only the author's code may, as the body may come from anybody."""
    with pytest.raises(InvalidOutlet, match="names 'Complete', which is no follower"):
        await routed().run({"to": to})
