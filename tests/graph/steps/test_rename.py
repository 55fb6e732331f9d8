"""Rename."""

from __future__ import annotations

from typing import Any

import pytest

from graph import Event, Flow, InvalidPath, InvalidStep
from graph.steps.rename import Rename


def renaming(*arguments: Any, **options: Any) -> Flow:
    flow = Flow()
    flow.to(Rename(*arguments, **options), name="rename").respond()
    return flow


async def test_keys_get_other_names() -> None:
    """The values, the order and the dict that came in stay."""
    body = {"a": 1, "b": 2, "c": 3}
    renamed = await renaming({"b": "x"}).run(body)
    assert list(renamed.items()) == [("a", 1), ("x", 2), ("c", 3)]
    assert body == {"a": 1, "b": 2, "c": 3}


async def test_two_keys_may_change_places() -> None:
    """All are renamed at once."""
    assert await renaming({"a": "b", "b": "a"}).run({"a": 1, "b": 2}) == {"b": 1, "a": 2}


async def test_a_missing_key_is_named() -> None:
    """Unless it may be missing."""
    with pytest.raises(InvalidPath, match="the body has no key 'x' to rename; it has a, b"):
        await renaming({"a": "c", "x": "y"}).run({"a": 1, "b": 2})
    assert await renaming({"a": "c", "x": "y"}, missing="ignore").run({"a": 1}) == {"c": 1}


async def test_no_value_is_lost() -> None:
    """A name that stays in the body already is an error."""
    for mapping in ({"a": "c"}, {"a": "b", "b": "c"}):
        with pytest.raises(InvalidPath, match="a key cannot be renamed to 'c', which the body has already"):
            await renaming(mapping).run({"a": 1, "b": 2, "c": 3})


async def test_only_a_dict_has_keys() -> None:
    """Another body is an error that says what it is."""
    with pytest.raises(InvalidPath, match="the body is a list, no dict; Rename needs one"):
        await renaming({"a": "b"}).run(["a"])


async def test_of_the_event_it_is_the_body() -> None:
    """With full_event the body is renamed all the same."""
    flow = Flow()
    flow.to(Rename({"a": "b"}), name="rename", full_event=True).respond()
    assert await flow.run(Event({"a": 1})) == {"b": 1}


def test_what_cannot_be_meant_is_refused_at_build() -> None:
    """One new name for two keys, and a word for ``missing`` that nobody knows."""
    with pytest.raises(InvalidStep, match="two keys cannot have the same new name"):
        Rename({"a": "x", "b": "x"})
    with pytest.raises(InvalidStep, match="write 'error' or 'ignore'"):
        Rename({}, missing="maybe")  # type: ignore[arg-type]
