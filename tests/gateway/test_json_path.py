"""Paths into JSON: what they find, and that they cannot cost more than the document has."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.json_path import MISSING, JSONPath

DOCUMENT = {"a": {"b c": [1, None, {"d": 0}]}, "list": [{"x": 1}, {}, {"x": 2}]}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", DOCUMENT),
        ("$.a['b c'][0]", 1),
        ("$.a['b c'][-1].d", 0),
        ("$.a['b c'][1]", None),
        ("$.list[*].x", [1, 2]),
        ("$.list[0:1]", [{"x": 1}]),
        ("$.nope", MISSING),
        ("$.a.nope.more", MISSING),
        ("$.list[9]", MISSING),
        ("$.list[*].y", MISSING),
    ],
)
def test_what_stands_at_a_path(path: str, found: Any) -> None:
    """One place gives its value, null is one; a star or a slice gives a list; nothing is nothing."""
    assert JSONPath(path).find(DOCUMENT) == found


@pytest.mark.parametrize("document", [None, 1, "text", True, MISSING])
def test_a_document_may_be_anything(document: Any) -> None:
    """In what has no parts there is nothing but itself."""
    assert JSONPath("$.a").find(document) is MISSING
    assert JSONPath("$").find(document) is document


@pytest.mark.parametrize(
    "path",
    [
        *(
            "$..a",
            "$[?@.x == 1]",
            "$['a', 'b']",
            "$[*,*][*,*]",
            "a",
            "",
            "$.",
            "$[",
            "$.a | $.b",
            "$[?match(@, '(a+)+')]",
        ),
        *("$[99999999999999999999]", "$." + "a" * 1000),
    ],
)
def test_what_could_cost_more_than_the_document_is_refused(path: str) -> None:
    """Filters, unions, descents and what is no path, when it is built, in a sentence for the operator."""
    with pytest.raises(ValueError, match=r"is no JSONPath|write names, indexes, slices and stars|at most 1000"):
        JSONPath(path)
