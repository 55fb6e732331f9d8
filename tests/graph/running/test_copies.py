"""Copies of bodies for branches."""

from __future__ import annotations

from typing import Any

from graph.running.copies import copied


def test_a_copy_shares_nothing_that_can_change() -> None:
    """At any depth."""
    body: dict[str, Any] = {"rows": [{"n": 1}, [2, 3]], "text": "a"}
    copy = copied(body)
    copy["rows"][0]["n"] = 5
    copy["rows"][1].append(4)
    assert body == {"rows": [{"n": 1}, [2, 3]], "text": "a"}


def test_what_is_held_twice_stays_one_object() -> None:
    """In the copy as in the body, and also where a body holds itself."""
    row = {"n": 1}
    body: dict[str, Any] = {"first": row, "again": row}
    body["self"] = body
    copy = copied(body)
    assert copy["first"] is copy["again"] is not row
    assert copy["self"] is copy is not body


def test_other_objects_are_copied_their_own_way() -> None:
    """Sets, tuples and instances, inside plain data too."""
    body = {"seen": {1, 2}, "pair": ([1], 2)}
    copy = copied(body)
    copy["seen"].add(3)
    copy["pair"][0].append(2)
    assert body == {"seen": {1, 2}, "pair": ([1], 2)}
